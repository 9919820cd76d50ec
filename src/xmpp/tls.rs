//! TLS to the server: rustls with ring, the certificate checked by the JID's domain.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{CertificateError, ClientConfig, ProtocolVersion, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::wire::ConnectError;

/// Length of RFC 9266's channel binding data, in bytes.
const EXPORTER_BYTES: usize = 32;

/// Says on a port of many services which one is meant (XEP-0368).
const ALPN: &[u8] = b"xmpp-client";

/// What the server's certificate is checked by.
pub fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, ConnectError> {
    let roots = match ca_file {
        Some(file) => roots_of_file(file)?,
        None => roots_of_system()?,
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| ConnectError::Refused(format!("TLS cannot be set up: {e}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// The TLS handshake; `domain` is what the certificate must be for.
pub async fn handshake(
    config: Arc<ClientConfig>,
    domain: &str,
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let name = ascii_domain(domain)
        .and_then(|ascii| ServerName::try_from(ascii).ok())
        .ok_or_else(|| {
            ConnectError::Refused(format!(
                "{domain} is no domain that a certificate can be for"
            ))
        })?;
    TlsConnector::from(config)
        .connect(name, tcp)
        .await
        .map_err(|e| explain(&e, domain))
}

/// RFC 9266's `tls-exporter` data; none before TLS 1.3.
pub fn exporter(tls: &TlsStream<TcpStream>) -> Option<Vec<u8>> {
    let (_, connection) = tls.get_ref();
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    connection
        .export_keying_material(vec![0; EXPORTER_BYTES], b"EXPORTER-Channel-Binding", None)
        .ok()
}

/// A domain in the spelling of DNS; `None` where it has none.
pub fn ascii_domain(domain: &str) -> Option<String> {
    let host = url::Host::parse(domain).ok()?;
    Some(match host {
        url::Host::Domain(name) => name,
        url::Host::Ipv4(address) => address.to_string(),
        url::Host::Ipv6(address) => address.to_string(),
    })
}

/// Whether a file holds certificate authorities to trust; else why not.
pub fn check_authorities(file: &Path) -> Result<(), String> {
    authorities(file).map(drop)
}

fn roots_of_file(file: &Path) -> Result<RootCertStore, ConnectError> {
    authorities(file).map_err(|why| {
        let file = file.display();
        ConnectError::Refused(format!("xmpp.ca_file {file} cannot be used: {why}"))
    })
}

fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|e| e.to_string())? {
        let certificate = certificate.map_err(|e| e.to_string())?;
        roots.add(certificate).map_err(|e| e.to_string())?;
    }
    if roots.is_empty() {
        return Err("it holds no certificate in PEM form".to_owned());
    }
    Ok(roots)
}

fn roots_of_system() -> Result<RootCertStore, ConnectError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(ConnectError::Refused(
            "the system has no root certificates; install ca-certificates or set xmpp.ca_file"
                .into(),
        ));
    }
    Ok(roots)
}

/// What went wrong, and what an operator can do about it.
fn explain(error: &io::Error, domain: &str) -> ConnectError {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(tls) = tls else {
        return ConnectError::Unreachable(format!("the TLS handshake broke off: {error}"));
    };
    let rustls::Error::InvalidCertificate(reason) = tls else {
        return ConnectError::Refused(format!(
            "the TLS handshake failed: {tls}; is xmpp.security right for this port?"
        ));
    };
    ConnectError::Refused(match reason {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!(
                "the server's certificate is not for {domain} ({reason}); \
                 it must name the JID's domain"
            )
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the server's certificate has expired ({reason}); renew it on the server")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the server's certificate is not valid yet ({reason}); check both clocks")
        }
        CertificateError::UnknownIssuer => format!(
            "the server's certificate for {domain} is signed by nobody we trust \
             (self-signed, or by a private authority); set xmpp.ca_file to that authority's certificate"
        ),
        other => format!("the server's certificate for {domain} is not acceptable: {other}"),
    })
}
