//! A server that does what the test says, for what no real server can be made to do.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use gristmill::xmpp::{Security, Settings};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_xmpp::minidom::Element;

use crate::rig::XmppServer;
use crate::rig::gristmill::EXECUTOR_JID;

use super::door;

/// The namespace of log-ins.
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

const PATIENCE: Duration = Duration::from_secs(20);

/// Where clients come in.
pub struct Scripted {
    listener: TcpListener,
    address: SocketAddr,
}

/// What a line is made of.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// One client.
pub struct Line {
    wire: Box<dyn Wire>,
    /// What came and was not asked for yet.
    text: String,
}

impl Scripted {
    /// One that waits for clients.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    /// How a door finds it; it knows no TLS and only PLAIN.
    pub fn settings(&self) -> Settings {
        Settings {
            security: Security::Plaintext,
            allow_plain: true,
            ..door::settings(self)
        }
    }

    /// The next client, before anything was said.
    pub async fn accept(&self) -> Line {
        let accepted = timeout(PATIENCE, self.listener.accept()).await;
        let (tcp, _) = accepted.expect("a client").unwrap();
        Line::over(tcp)
    }

    /// Whether a client comes within this time.
    pub async fn accept_within(&self, limit: Duration) -> Option<Line> {
        let (tcp, _) = timeout(limit, self.listener.accept()).await.ok()?.unwrap();
        Some(Line::over(tcp))
    }

    /// The next client, logged in.
    pub async fn log_in(&self) -> Line {
        let mut line = self.accept().await;
        line.log_in().await;
        line
    }

    /// The next client, bound, with stream management that can be resumed.
    pub async fn bind(&self, session: &str) -> Line {
        let mut line = self.log_in().await;
        line.bind(EXECUTOR_JID).await;
        line.expect("<enable").await;
        line.say(&format!(
            "<enabled xmlns='urn:xmpp:sm:3' id='{session}' resume='true'/>"
        ))
        .await;
        line
    }
}

impl XmppServer for Scripted {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn ca_file(&self) -> &Path {
        Path::new("/dev/null")
    }
}

impl Line {
    /// A client that has connected.
    pub fn over(wire: impl Wire + 'static) -> Self {
        Self {
            wire: Box::new(wire),
            text: String::new(),
        }
    }

    /// Waits for an element that ends so.
    pub async fn element(&mut self, end: &str) -> Element {
        self.expect(end).await.parse().unwrap()
    }

    /// Waits for a text; gives all that came up to its end.
    pub async fn expect(&mut self, needle: &str) -> String {
        loop {
            if let Some(at) = self.text.find(needle) {
                return self.text.drain(..at + needle.len()).collect();
            }
            let mut buffer = [0; 4096];
            let read = timeout(PATIENCE, self.wire.read(&mut buffer)).await;
            let Ok(Ok(count @ 1..)) = read else {
                panic!("no {needle:?}, but {:?} ({read:?})", self.text);
            };
            self.text += std::str::from_utf8(&buffer[..count]).unwrap();
        }
    }

    /// Says this.
    pub async fn say(&mut self, text: &str) {
        self.wire.write_all(text.as_bytes()).await.unwrap();
        self.wire.flush().await.unwrap();
    }

    /// Begins a stream with these features.
    pub async fn open(&mut self, features: &str) {
        self.expect("<stream:stream").await;
        self.expect(">").await;
        self.say(&format!(
            "<stream:stream xmlns='jabber:client' version='1.0' id='s' from='grid.test' \
             xmlns:stream='http://etherx.jabber.org/streams'>\
             <stream:features>{features}</stream:features>"
        ))
        .await;
    }

    /// Lets the client in, whatever its password.
    pub async fn log_in(&mut self) {
        self.open(&format!(
            "<mechanisms xmlns='{SASL}'><mechanism>PLAIN</mechanism></mechanisms>"
        ))
        .await;
        self.expect("</auth>").await;
        self.say(&format!("<success xmlns='{SASL}'/>")).await;
        self.open("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/>")
            .await;
    }

    /// Does not let it in.
    pub async fn refuse(&mut self) {
        self.open(&format!(
            "<mechanisms xmlns='{SASL}'><mechanism>PLAIN</mechanism></mechanisms>"
        ))
        .await;
        self.expect("</auth>").await;
        self.say(&format!(
            "<failure xmlns='{SASL}'><not-authorized/></failure>"
        ))
        .await;
    }

    /// Answers the wish for a resource with this JID.
    pub async fn bind(&mut self, jid: &str) {
        self.expect("</iq>").await;
        self.say(&format!(
            "<iq type='result' id='resource-binding'>\
             <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>{jid}</jid></bind></iq>"
        ))
        .await;
    }
}
