//! A client that sends any bytes and reads text: what a library would not send.

use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_xmpp::minidom::Element;
use xmpp_parsers::sasl::{Auth, Mechanism};

use crate::rig::gristmill::EXECUTOR_JID;
use crate::rig::{Account, DOMAIN, XmppServer};

/// How long an answer may take where a test says nothing else.
pub const PATIENCE: Duration = Duration::from_secs(20);

const HEADER: &str = "<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' to='grid.test' version='1.0'>";

/// A stream that is logged in and bound.
pub struct Raw {
    stream: TlsStream<TcpStream>,
    /// What came and was not asked for yet.
    text: String,
    /// The end of a character whose begin came already.
    partial: Vec<u8>,
}

impl Raw {
    /// Logs in as `account/resource`; sends no presence.
    pub async fn login(
        server: &dyn XmppServer,
        (user, password): Account<'_>,
        resource: &str,
    ) -> Self {
        let tcp = begin_tls(server).await;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(server.ca_file()).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(DOMAIN).unwrap();
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await
            .unwrap();
        let mut raw = Self {
            stream,
            text: String::new(),
            partial: Vec::new(),
        };
        raw.send(HEADER).await;
        raw.until("</stream:features>").await;
        let auth = Auth {
            mechanism: Mechanism::Plain,
            data: format!("\0{user}\0{password}").into_bytes(),
        };
        raw.send(&String::from(&Element::from(auth))).await;
        raw.until("<success").await;
        raw.send(HEADER).await;
        raw.until("</stream:features>").await;
        raw.send(&format!(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <resource>{resource}</resource></bind></iq>"
        ))
        .await;
        raw.until("</iq>").await;
        raw
    }

    /// Sends text as it is.
    pub async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Waits for a text; gives all that came up to its end.
    pub async fn until(&mut self, needle: &str) -> String {
        let arrived = timeout(PATIENCE, self.read_until(needle)).await;
        assert!(
            arrived.is_ok(),
            "no {needle:?} within {PATIENCE:?}, but {:?}",
            self.text
        );
        let end = self.text.find(needle).unwrap() + needle.len();
        self.text.drain(..end).collect()
    }

    /// Waits for all of these texts; gives all that came up to then.
    pub async fn until_all(&mut self, needles: &[&str]) -> String {
        for needle in needles {
            let arrived = timeout(PATIENCE, self.read_until(needle)).await;
            assert!(arrived.is_ok(), "no {needle:?}, but {:?}", self.text);
        }
        std::mem::take(&mut self.text)
    }

    /// Whether this came and was not asked for yet.
    pub fn has(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// The same, after a look at what has come by now.
    pub async fn has_arrived(&mut self, text: &str) -> bool {
        while timeout(Duration::ZERO, self.read()).await.is_ok() {}
        self.has(text)
    }

    async fn read_until(&mut self, needle: &str) {
        let mut from = 0;
        while !self.text[from..].contains(needle) {
            from = self.text.len().saturating_sub(needle.len());
            while !self.text.is_char_boundary(from) {
                from -= 1;
            }
            self.read().await;
        }
    }

    async fn read(&mut self) {
        let mut buffer = vec![0; 16 * 1024];
        let count = self.stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the server hung up after {:?}", self.text);
        self.partial.extend(&buffer[..count]);
        let valid = match std::str::from_utf8(&self.partial) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        let rest = self.partial.split_off(valid);
        self.text += std::str::from_utf8(&self.partial).unwrap();
        self.partial = rest;
    }

    /// Asks the executor, by IQ, how many jobs it wants; gives the answer.
    pub async fn ask_jobs_wanted(&mut self, id: &str) -> String {
        self.send(&jobs_wanted(id)).await;
        self.answer(id).await
    }

    /// Waits for the answer to an IQ; what else came stays to be asked for.
    pub async fn answer(&mut self, id: &str) -> String {
        let arrived = timeout(PATIENCE, async {
            loop {
                if let Some(stanza) = self.take_iq(id) {
                    return stanza;
                }
                self.read().await;
            }
        });
        let answer: Result<String, _> = arrived.await;
        answer.unwrap_or_else(|_| panic!("no answer to {id}, but {:?}", self.text))
    }

    fn take_iq(&mut self, id: &str) -> Option<String> {
        let (single, double) = (format!(" id='{id}'"), format!(" id=\"{id}\""));
        let at = (self.text.find(&single)).or_else(|| self.text.find(&double))?;
        let (start, end) = (self.text[..at].rfind("<iq")?, stanza_end(&self.text, at)?);
        Some(self.text.drain(start..end).collect())
    }

    /// Waits until the executor answers.
    pub async fn wait_for_executor(&mut self) {
        let until = Instant::now() + PATIENCE;
        for attempt in 0.. {
            assert!(Instant::now() < until, "the executor is not online");
            let id = format!("up-{attempt}");
            if is_result(&self.ask_jobs_wanted(&id).await) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Whether an IQ is a result.
pub fn is_result(iq: &str) -> bool {
    iq.contains("type='result'") || iq.contains("type=\"result\"")
}

/// Where the IQ ends that has an attribute at `at`.
fn stanza_end(text: &str, at: usize) -> Option<usize> {
    let tag_end = at + text[at..].find('>')?;
    if text[..tag_end].ends_with('/') {
        return Some(tag_end + 1);
    }
    let closing = "</iq>";
    Some(tag_end + text[tag_end..].find(closing)? + closing.len())
}

/// An IQ that asks the executor how many jobs it wants.
pub fn jobs_wanted(id: &str) -> String {
    format!(
        "<iq type='set' id='{id}' to='{EXECUTOR_JID}'>\
         <numJobsWanted xmlns='urn:windmill:executor:1'/></iq>"
    )
}

async fn begin_tls(server: &dyn XmppServer) -> TcpStream {
    let mut tcp = TcpStream::connect(server.address()).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    tcp.write_all(HEADER.as_bytes()).await.unwrap();
    read_tcp_until(&mut tcp, "</stream:features>").await;
    tcp.write_all(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        .await
        .unwrap();
    read_tcp_until(&mut tcp, "<proceed").await;
    tcp
}

async fn read_tcp_until(tcp: &mut TcpStream, needle: &str) {
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    while !text.contains(needle) || !text.ends_with('>') {
        let count = tcp.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the server hung up after {text:?}");
        text += std::str::from_utf8(&buffer[..count]).unwrap();
    }
}
