//! A visit to the server, step by step: which one fails, and how long its certificates last.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::SinkExt;
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use tokio::time::timeout;
use tokio_xmpp::Stanza;
use tokio_xmpp::stanzastream::XmppStream;
use tokio_xmpp::xmlstream::XmppStreamElement;
use xmpp_parsers::bind::BindQuery;
use xmpp_parsers::iq::Iq;

use super::connector::Connector;
use super::guard::GuardReport;
use super::server_clock;
use super::settings::Settings;
use super::wire::{ConnectError, broken, next_element};
use crate::job::policy::Clock;

/// How far we came. A step that was not come to is `None`.
#[derive(Debug)]
pub struct Visit {
    /// Who took the connection.
    pub reached: Result<SocketAddr, ConnectError>,
    /// The server's certificate that ends first; none without TLS.
    pub secured: Option<Result<Option<Certificate>, ConnectError>>,
    /// Whether we may enter.
    pub entered: Option<Result<(), ConnectError>>,
    /// What the server says of the time.
    pub time: Option<Result<ServerTime, ConnectError>>,
}

/// What the server's clock said at some moment between two of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerTime {
    /// By our clock.
    pub asked: Timestamp,
    /// By the server's, without the fraction of a second.
    pub told: Timestamp,
    /// By our clock.
    pub answered: Timestamp,
}

/// What is told of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// For whom it is, in its own words.
    pub subject: String,
    /// When it ends.
    pub ends: Timestamp,
}

/// Connects and logs in once, binds a resource of the server's choice and sends no presence, asks
/// for the time and leaves again: a daemon that is online with the same account does not notice.
pub async fn visit(settings: &Settings, clock: &dyn Clock) -> Visit {
    let connector = Connector::new(Arc::new(settings.clone()));
    let mut visit = Visit {
        reached: Err(ConnectError::Unreachable("not tried".to_owned())),
        secured: None,
        entered: None,
        time: None,
    };
    let tcp = match connector.reach().await {
        Ok(tcp) => tcp,
        Err(error) => {
            visit.reached = Err(error);
            return visit;
        }
    };
    visit.reached = tcp.peer_addr().map_err(broken);
    let secured = match connector.secure(tcp, &GuardReport::default()).await {
        Ok(secured) => secured,
        Err(error) => {
            visit.secured = Some(Err(error));
            return visit;
        }
    };
    visit.secured = Some(Ok(first_to_end(&secured.chain)));
    let entered = connector.enter(secured).await;
    visit.entered = Some(match entered {
        Ok((mut stream, _)) => {
            let limit = settings.limits.bind;
            let asking = timeout(limit, ask_time(&mut stream, settings, clock));
            let late = |_| {
                Err(ConnectError::Unreachable(format!(
                    "no answer within {limit:?}"
                )))
            };
            visit.time = Some(asking.await.unwrap_or_else(late));
            Ok(())
        }
        Err(error) => Err(error),
    });
    visit
}

async fn ask_time(
    stream: &mut XmppStream,
    settings: &Settings,
    clock: &dyn Clock,
) -> Result<ServerTime, ConnectError> {
    ask(stream, Iq::from_set("bind", BindQuery::new(None))).await?;
    let asked = clock.now();
    let answer = ask(stream, server_clock::question(&settings.jid)).await?;
    let answered = clock.now();
    let silent = || ConnectError::Unreachable("it does not tell its time (XEP-0202)".into());
    let told = server_clock::time_told(&answer).ok_or_else(silent)?;
    Ok(ServerTime {
        asked,
        told,
        answered,
    })
}

async fn ask(stream: &mut XmppStream, question: Iq) -> Result<Iq, ConnectError> {
    let id = question.id().to_owned();
    let question = XmppStreamElement::Stanza(question.into());
    stream.send(&question).await.map_err(broken)?;
    loop {
        match next_element(stream).await? {
            XmppStreamElement::Stanza(Stanza::Iq(iq)) if iq.id() == id => return Ok(iq),
            _ => {}
        }
    }
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
