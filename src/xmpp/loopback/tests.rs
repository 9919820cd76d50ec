use std::net::Ipv4Addr;

use futures::{SinkExt, StreamExt};
use tokio_xmpp::Stanza;
use tokio_xmpp::xmlstream::{
    FallibleStreamElement, StreamHeader, Timeouts, XmlStream, XmppStreamElement, initiate_stream,
};
use xmpp_parsers::bind::{BindQuery, BindResponse};
use xmpp_parsers::iq::Iq;
use xmpp_parsers::jid::Jid;
use xmpp_parsers::message::{Message, MessageType};
use xmpp_parsers::ns;
use xmpp_parsers::ping::Ping;
use xmpp_parsers::presence::Presence;
use xmpp_parsers::sasl::{Auth, Mechanism, Nonza};
use xmpp_parsers::stanza_error::DefinedCondition;

use super::*;

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

struct Client {
    stream: XmlStream<tokio::io::BufStream<TcpStream>, FallibleStreamElement>,
}

async fn server(names: &[&str]) -> (SocketAddr, tokio_util::sync::DropGuard) {
    let accounts = names.iter().map(|name| Account {
        jid: BareJid::new(&format!("{name}@here")).unwrap(),
        password: format!("{name}'s password").into(),
    });
    let server = Loopback::bind(accounts, (Ipv4Addr::LOCALHOST, 0).into())
        .await
        .unwrap();
    let address = server.address();
    let shutdown = CancellationToken::new();
    tokio::spawn(server.run(shutdown.clone()));
    (address, shutdown.drop_guard())
}

impl Client {
    /// `None` where the server does not let us in.
    async fn log_in(address: SocketAddr, name: &str, password: &str) -> Option<Self> {
        let header = || StreamHeader {
            to: Some("here".into()),
            ..StreamHeader::default()
        };
        let tcp = tokio::io::BufStream::new(TcpStream::connect(address).await.unwrap());
        let timeouts = Timeouts::tight();
        let pending = initiate_stream(tcp, ns::JABBER_CLIENT, header(), timeouts)
            .await
            .unwrap();
        let (features, stream) = pending.recv_features().await.unwrap();
        assert!(features.sasl_mechanisms.contains("PLAIN"));
        let mut client = Self { stream };
        let auth = Nonza::Auth(Auth {
            mechanism: Mechanism::Plain,
            data: format!("\0{name}\0{password}").into_bytes(),
        });
        client
            .stream
            .send(&XmppStreamElement::Sasl(auth))
            .await
            .unwrap();
        let XmppStreamElement::Sasl(Nonza::Success(_)) = client.next().await else {
            return None;
        };
        let fresh = client
            .stream
            .initiate_reset()
            .send_header(header())
            .await
            .unwrap();
        let (features, stream) = fresh.recv_features().await.unwrap();
        assert!(features.can_bind());
        Some(Self { stream })
    }

    async fn online(address: SocketAddr, name: &str, resource: &str) -> Self {
        let password = format!("{name}'s password");
        let mut client = Self::log_in(address, name, &password).await.unwrap();
        let query = BindQuery::new(Some(resource.to_owned()));
        client.send(Iq::from_set("bind", query)).await;
        let Stanza::Iq(Iq::Result { payload, .. }) = client.stanza().await else {
            panic!("not bound");
        };
        let bound = BindResponse::try_from(payload.unwrap()).unwrap().jid;
        assert_eq!(bound.to_string(), format!("{name}@here/{resource}"));
        client
    }

    async fn next(&mut self) -> XmppStreamElement {
        let next = timeout(PATIENCE, self.stream.next()).await.unwrap();
        next.unwrap().unwrap().into_read_error().unwrap()
    }

    async fn stanza(&mut self) -> Stanza {
        match self.next().await {
            XmppStreamElement::Stanza(stanza) => stanza,
            other => panic!("no stanza: {other:?}"),
        }
    }

    async fn send(&mut self, stanza: impl Into<Stanza>) {
        self.stream.send(&stanza.into()).await.unwrap();
    }

    /// Until what was sent before has been dealt with.
    async fn settle(&mut self) {
        self.send(Iq::from_get("settle", Ping)).await;
        let Stanza::Iq(Iq::Result { id, .. }) = self.stanza().await else {
            panic!("no pong");
        };
        assert_eq!(id, "settle");
    }

    async fn message(&mut self) -> Message {
        match self.stanza().await {
            Stanza::Message(message) => message,
            other => panic!("no message: {other:?}"),
        }
    }
}

#[allow(clippy::unnecessary_wraps, reason = "as stanzas have it")]
fn jid(text: &str) -> Option<Jid> {
    Some(Jid::new(text).unwrap())
}

fn message(to: &str, text: &str) -> Message {
    let mut message = Message::normal(jid(to));
    message.from = jid("forged@here/x");
    message.with_body("".into(), text.to_owned())
}

#[tokio::test]
async fn others_cannot_reach_it() {
    for address in ["0.0.0.0:0", "192.0.2.1:0", "[::]:0"] {
        let refused = Loopback::bind([], address.parse().unwrap()).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("no loopback address"), "{refused}");
    }
}

#[tokio::test]
async fn who_has_no_account_is_not_let_in() {
    let (address, _server) = server(&["a"]).await;
    for (name, password) in [("a", "wrong"), ("a", ""), ("b", "a's password"), ("", "")] {
        assert!(
            Client::log_in(address, name, password).await.is_none(),
            "{name}"
        );
    }
    assert!(Client::log_in(address, "a", "a's password").await.is_some());
}

#[tokio::test]
async fn messages_and_iqs_find_their_session() {
    let (address, _server) = server(&["a", "b"]).await;
    let mut a = Client::online(address, "a", "1").await;
    let mut b = Client::online(address, "b", "é").await;
    a.send(message("b@here/é", "to the session")).await;
    let received = b.message().await;
    assert_eq!(
        (received.from, received.to),
        (jid("a@here/1"), jid("b@here/é"))
    );

    a.send(Iq::from_get("7", Ping).with_to(jid("b@here/é").unwrap()))
        .await;
    let Stanza::Iq(asked) = b.stanza().await else {
        panic!("no IQ");
    };
    assert_eq!(asked.from(), jid("a@here/1").as_ref());
    b.send(Iq::empty_result(asked.from().unwrap().clone(), asked.id()))
        .await;
    let Stanza::Iq(Iq::Result { from, id, .. }) = a.stanza().await else {
        panic!("no result");
    };
    assert_eq!((from, id.as_str()), (jid("b@here/é"), "7"));

    b.send(Presence::available()).await;
    b.settle().await;
    a.send(message("b@here", "to the account")).await;
    assert_eq!(b.message().await.bodies[""], "to the account");
}

#[tokio::test]
async fn what_reaches_nobody_comes_back_as_an_error() {
    let (address, _server) = server(&["a", "b"]).await;
    let mut a = Client::online(address, "a", "1").await;
    let _b = Client::online(address, "b", "silent").await;
    for to in ["b@here", "b@here/other", "nobody@here/x", "a@elsewhere"] {
        a.send(message(to, "secret")).await;
        let bounced = a.message().await;
        assert_eq!((bounced.type_, bounced.from), (MessageType::Error, jid(to)));
        assert!(bounced.bodies.is_empty());
        a.send(Iq::from_set("8", BindQuery::new(None)).with_to(jid(to).unwrap()))
            .await;
        let Stanza::Iq(Iq::Error { from, error, .. }) = a.stanza().await else {
            panic!("no error");
        };
        assert_eq!(from, jid(to));
        assert_eq!(
            error.defined_condition,
            DefinedCondition::ServiceUnavailable
        );
    }
    let mut error = message("b@here/other", "x");
    error.type_ = MessageType::Error;
    a.send(error).await;
    a.settle().await;
}

#[tokio::test]
async fn a_resource_belongs_to_its_last_client() {
    let (address, _server) = server(&["a"]).await;
    let mut first = Client::online(address, "a", "1").await;
    let mut second = Client::online(address, "a", "1").await;
    let XmppStreamElement::StreamError(error) = first.next().await else {
        panic!("no stream error");
    };
    assert!(error.to_string().contains("conflict"), "{error}");
    assert!(matches!(first.stream.next().await, Some(Err(_))));
    second.send(message("a@here/1", "to myself")).await;
    assert_eq!(second.message().await.bodies[""], "to myself");
}

#[tokio::test]
async fn two_clients_that_read_late_do_not_block_each_other() {
    const MESSAGES: usize = 500;
    let (address, _server) = server(&["a", "b"]).await;
    let mut a = Client::online(address, "a", "1").await;
    let mut b = Client::online(address, "b", "1").await;
    for _ in 0..MESSAGES {
        a.send(message("b@here/1", "x")).await;
        b.send(message("a@here/1", "x")).await;
    }
    for _ in 0..MESSAGES {
        assert_eq!(a.message().await.type_, MessageType::Normal);
        assert_eq!(b.message().await.type_, MessageType::Normal);
    }
}

#[tokio::test]
async fn everybody_is_sent_home_at_the_end() {
    let (address, server) = server(&["a"]).await;
    let mut a = Client::online(address, "a", "1").await;
    drop(server);
    let last = timeout(PATIENCE, a.stream.next()).await.unwrap();
    assert!(matches!(last, None | Some(Err(_))), "{last:?}");
}
