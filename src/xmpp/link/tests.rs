use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::super::guard::UNPROVED;
use super::super::settings::Security;
use super::super::settings::TimeLimits;
use super::*;
use crate::job::policy::Backoff;

const PATIENCE: Duration = Duration::from_secs(30);

const JID: &str = "executor@here/panda";

/// A server that says what the test says: PLAIN, and no stream management.
struct Server(TcpListener);

impl Server {
    async fn start() -> Self {
        Self(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap())
    }

    fn settings(&self) -> Settings {
        let soon = Backoff {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(1),
        };
        Settings {
            jid: JID.parse().unwrap(),
            password: "secret".to_owned().into(),
            server: Some(self.0.local_addr().unwrap().to_string().parse().unwrap()),
            security: Security::Plaintext,
            ca_file: None,
            allow_plain: true,
            max_stanza: 256 * 1024,
            max_request: 4 << 20,
            supervisors: Vec::new(),
            queue: 64,
            limits: TimeLimits {
                brief: soon,
                unreachable: soon,
                ..TimeLimits::default()
            },
        }
    }

    /// The next session, bound.
    async fn session(&self) -> TcpStream {
        let (mut tcp, _) = self.0.accept().await.unwrap();
        let mechanisms = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                          <mechanism>PLAIN</mechanism></mechanisms>";
        open(&mut tcp, mechanisms).await;
        expect(&mut tcp, "</auth>").await;
        say(
            &mut tcp,
            "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        )
        .await;
        open(&mut tcp, "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>").await;
        expect(&mut tcp, "</iq>").await;
        let bound = format!(
            "<iq type='result' id='resource-binding'>\
             <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>{JID}</jid></bind></iq>"
        );
        say(&mut tcp, &bound).await;
        tcp
    }
}

async fn open(tcp: &mut TcpStream, features: &str) {
    expect(tcp, "version='1.0'").await;
    let header = format!(
        "<stream:stream xmlns='jabber:client' version='1.0' id='s' from='here' \
         xmlns:stream='http://etherx.jabber.org/streams'>\
         <stream:features>{features}</stream:features>"
    );
    say(tcp, &header).await;
}

async fn say(tcp: &mut TcpStream, text: &str) {
    tcp.write_all(text.as_bytes()).await.unwrap();
}

/// Reads up to the end of this text.
async fn expect(tcp: &mut TcpStream, end: &str) {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        text.push(tcp.read_u8().await.unwrap());
    }
}

/// Both sides of the next new session.
async fn next_session(server: &Server, link: &mut Link) -> TcpStream {
    let both = async { tokio::join!(server.session(), link.next()) };
    let (tcp, event) = timeout(PATIENCE, both).await.expect("a session");
    assert!(matches!(event, Ok(LinkEvent::Fresh)), "{event:?}");
    tcp
}

/// A line, what it counts, and the sender that it would hear others by.
fn line(server: &Server) -> (Link, Arc<Vitals>, mpsc::Sender<Parcel>) {
    let vitals = Arc::<Vitals>::default();
    let (sender, outgoing) = mpsc::channel(1);
    let (link, _) = Link::new(Arc::new(server.settings()), outgoing, vitals.clone());
    (link, vitals, sender)
}

fn unreadable(id: &str) -> String {
    format!("<message {id}><a></b></message>")
}

async fn next_id(link: &mut Link) -> Option<String> {
    let heard = timeout(PATIENCE, link.next()).await.expect("a stanza");
    match heard.unwrap() {
        LinkEvent::Stanza(stanza) => match *stanza {
            Stanza::Message(message) => message.id.map(|id| id.0),
            other => panic!("no message: {other:?}"),
        },
        LinkEvent::Fresh => panic!("a new session"),
    }
}

#[tokio::test]
async fn what_the_proof_let_through_once_is_cut_when_it_is_sent_again() {
    let server = Server::start().await;
    let (mut link, vitals, _sender) = line(&server);
    let unreadable = unreadable("id='unproved'");
    let mut tcp = next_session(&server, &mut link).await;
    say(&mut tcp, &unreadable).await;
    let mut tcp = next_session(&server, &mut link).await;
    assert!(link.may_be_seen());
    say(&mut tcp, &unreadable).await;
    say(&mut tcp, "<message id='next'><body>x</body></message>").await;
    assert_eq!(next_id(&mut link).await.as_deref(), Some("unproved"));
    assert_eq!(next_id(&mut link).await.as_deref(), Some("next"));
    let cut: u64 = vitals.trips.iter().map(|(_, count)| count).sum();
    assert_eq!(cut, 1);
}

#[tokio::test]
async fn who_is_sent_again_and_again_what_no_parser_reads_is_not_seen_any_more() {
    let server = Server::start().await;
    let (mut link, vitals, _sender) = line(&server);
    let unreadable = unreadable(UNPROVED[1]);

    // A session that ends in another way is between the first two.
    for ends_by_parser in [true, false, true, true] {
        let mut tcp = next_session(&server, &mut link).await;
        assert!(link.may_be_seen() && !vitals.is_hidden());
        let words = if ends_by_parser {
            &unreadable
        } else {
            "</stream:stream>"
        };
        say(&mut tcp, words).await;
    }
    let mut tcp = next_session(&server, &mut link).await;
    assert!(!link.may_be_seen() && vitals.is_hidden());
    say(&mut tcp, "<message id='next'><body>x</body></message>").await;
    assert_eq!(next_id(&mut link).await.as_deref(), Some("next"));
    drop(tcp);
    let _tcp = next_session(&server, &mut link).await;
    assert!(link.may_be_seen() && !vitals.is_hidden());
}
