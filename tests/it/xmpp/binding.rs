//! Channel binding by `tls-exporter`, which newer servers than Debian's offer, and servers that
//! only pretend to know the password.

use std::sync::Arc;

use gristmill::xmpp::{ConnectError, Connector, Established, Security, Settings};
use rstest::rstest;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sasl::common::scram::Sha256;
use sasl::common::{ChannelBinding, Identity};
use sasl::secret::Pbkdf2Sha256;
use sasl::server::mechanisms::Scram;
use sasl::server::{Mechanism, Provider, ProviderError, Response, Validator, ValidatorError};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_xmpp::minidom::Element;
use xmpp_parsers::sasl::{Auth, Challenge, Response as FinalMessage, Success};

use crate::rig::gristmill::{EXECUTOR, EXECUTOR_JID};
use crate::rig::pki::Authority;
use crate::rig::{DOMAIN, folder};

use super::scripted::{Line, SASL, Scripted};

/// How the server cheats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cheat {
    Nothing,
    /// Somebody between us speaks TLS with both.
    OtherBinding,
    /// It answers another client's challenge.
    OtherNonce,
    /// It says yes without a proof that it knows the password.
    NoProof,
    /// It makes us hash for ever.
    ManyRounds,
}

/// Knows the executor's password.
struct Accounts;

impl Validator<Pbkdf2Sha256> for Accounts {
    fn validate(&self, _: &Identity, _: &Pbkdf2Sha256) -> Result<(), ValidatorError> {
        Ok(())
    }
}

impl Provider<Pbkdf2Sha256> for Accounts {
    fn provide(&self, _: &Identity) -> Result<Pbkdf2Sha256, ProviderError> {
        Ok(Pbkdf2Sha256::derive(EXECUTOR.1, b"salt of the mill", 4096)?)
    }
}

/// Logs in at a server that cheats so.
async fn open(cheat: Cheat) -> Result<Established, ConnectError> {
    let folder = folder::new();
    let authority = Authority::new(folder.path());
    let certificate = authority.issue(folder.path(), DOMAIN);
    let chain = CertificateDer::pem_file_iter(&certificate.chain).unwrap();
    let key = PrivateKeyDer::from_pem_file(&certificate.key).unwrap();
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings {
        server: Some(listener.local_addr().unwrap().to_string().parse().unwrap()),
        security: Security::DirectTls,
        ca_file: Some(authority.file.clone()),
        allow_plain: false,
        ..Scripted::start().await.settings()
    };
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let tls = TlsAcceptor::from(Arc::new(config))
            .accept(tcp)
            .await
            .unwrap();
        let binding = tls
            .get_ref()
            .1
            .export_keying_material(vec![0; 32], b"EXPORTER-Channel-Binding", Some(b""))
            .unwrap();
        let mut line = Line::over(tls);
        admit(&mut line, binding, cheat).await;
        // Holds the line until the client has seen enough.
        line.expect("</stream:stream>").await;
    });
    Connector::new(Arc::new(settings)).open().await
}

async fn admit(line: &mut Line, mut binding: Vec<u8>, cheat: Cheat) {
    if cheat == Cheat::OtherBinding {
        binding[0] ^= 1;
    }
    // The crate's server knows but one kind of binding by name; the bytes are what counts.
    let binding = ChannelBinding::TlsUnique(binding);
    let mut server = Scram::<Sha256, _>::new(Accounts, binding);
    line.open(&format!(
        "<mechanisms xmlns='{SASL}'><mechanism>SCRAM-SHA-256-PLUS</mechanism>\
         <mechanism>SCRAM-SHA-256</mechanism></mechanisms>\
         <sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>\
         <channel-binding type='tls-exporter'/></sasl-channel-binding>"
    ))
    .await;
    let first = Auth::try_from(line.element("</auth>").await).unwrap();
    assert!(first.data.starts_with(b"p=tls-exporter,,"));
    let Ok(Response::Proceed(mut data)) = server.respond(&first.data) else {
        panic!("no challenge");
    };
    match cheat {
        Cheat::OtherNonce => data[2] ^= 1,
        Cheat::ManyRounds => data.extend(b"000"),
        _ => {}
    }
    line.say(&String::from(&Element::from(Challenge { data })))
        .await;
    let last = FinalMessage::try_from(line.element("</response>").await).unwrap();
    let data = match server.respond(&last.data) {
        _ if cheat == Cheat::NoProof => b"v=AAAA".to_vec(),
        Ok(Response::Success(_, data)) => data,
        _ => {
            let failure = format!("<failure xmlns='{SASL}'><not-authorized/></failure>");
            return line.say(&failure).await;
        }
    };
    line.say(&String::from(&Element::from(Success { data })))
        .await;
    line.open("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>")
        .await;
}

#[tokio::test]
async fn we_are_bound_to_the_tls_session_where_the_server_can() {
    let established = open(Cheat::Nothing).await.unwrap();
    assert_eq!(established.connection.identity.as_str(), EXECUTOR_JID);
}

#[rstest]
#[case::somebody_between_us(Cheat::OtherBinding, "refused the password")]
#[case::another_nonce(Cheat::OtherNonce, "not for our log-in")]
#[case::no_proof(Cheat::NoProof, "did not prove")]
#[case::many_rounds(Cheat::ManyRounds, "rounds of hashing")]
#[tokio::test]
async fn who_does_not_know_the_password_does_not_pass_for_the_server(
    #[case] cheat: Cheat,
    #[case] why: &str,
) {
    let error = open(cheat).await.err().expect("no way in");
    assert!(!matches!(error, ConnectError::Unreachable(_)), "{error}");
    assert!(error.to_string().contains(why), "{error}");
}
