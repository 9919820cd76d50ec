//! A visit to the server, step by step: which one fails, and how long its certificates last.

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;

use super::connector::Connector;
use super::guard::GuardReport;
use super::settings::Settings;
use super::wire::ConnectError;

/// How far we came. A step that was not come to is `None`.
#[derive(Debug)]
pub struct Visit {
    /// Who took the connection.
    pub reached: Result<SocketAddr, ConnectError>,
    /// The server's certificate that ends first; none without TLS.
    pub secured: Option<Result<Option<Certificate>, ConnectError>>,
    /// Whether we may enter.
    pub entered: Option<Result<(), ConnectError>>,
}

/// What is told of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// For whom it is, in its own words.
    pub subject: String,
    /// When it ends.
    pub ends: Timestamp,
}

/// Connects and logs in once, binds nothing, and leaves again: a daemon that is online with the
/// same account does not notice.
pub async fn visit(settings: &Settings) -> Visit {
    let connector = Connector::new(Arc::new(settings.clone()));
    let mut visit = Visit {
        reached: Err(ConnectError::Unreachable("not tried".to_owned())),
        secured: None,
        entered: None,
    };
    let tcp = match connector.reach().await {
        Ok(tcp) => tcp,
        Err(error) => {
            visit.reached = Err(error);
            return visit;
        }
    };
    visit.reached = tcp.peer_addr().map_err(super::wire::broken);
    let secured = match connector.secure(tcp, &GuardReport::default()).await {
        Ok(secured) => secured,
        Err(error) => {
            visit.secured = Some(Err(error));
            return visit;
        }
    };
    visit.secured = Some(Ok(first_to_end(&secured.chain)));
    visit.entered = Some(connector.enter(secured).await.map(drop));
    visit
}

fn first_to_end(chain: &[CertificateDer<'_>]) -> Option<Certificate> {
    let certificates = chain.iter().filter_map(read);
    certificates.min_by_key(|certificate| certificate.ends)
}

/// What rustls has accepted is read; what is unreadable to us is no reason to distrust it.
fn read(certificate: &CertificateDer<'_>) -> Option<Certificate> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let ends = certificate.validity().not_after.timestamp();
    Some(Certificate {
        subject: certificate.subject().to_string(),
        ends: Timestamp::from_second(ends).ok()?,
    })
}
