use tokio_xmpp::{PrintRawXml, Stanza};
use xmpp_parsers::iq::Iq;
use xmpp_parsers::message::Message;
use xmpp_parsers::minidom::Element;

use super::*;

const CALL: &str = "\u{feff}<?xml version='1.0'?><numJobsWanted id='s-1'/>";

fn conversation() -> Arc<Conversation> {
    Arc::new(Conversation::new("x@y/z".parse().unwrap()))
}

fn message(xml: &str) -> Stanza {
    let xml = xml.replacen(' ', " xmlns='jabber:client' ", 1);
    Message::try_from(xml.parse::<Element>().unwrap())
        .unwrap()
        .into()
}

fn iq(xml: &str) -> Stanza {
    let xml = xml.replacen(' ', " xmlns='jabber:client' ", 1);
    Iq::try_from(xml.parse::<Element>().unwrap())
        .unwrap()
        .into()
}

/// Asks by `carrier` and hears what `answer` makes of the question's ID.
async fn told(carrier: Carrier, answer: impl FnOnce(&str) -> Stanza) -> Result<String, PeerError> {
    let conversation = conversation();
    let question = Question::new(carrier, CALL, 7);
    let id = match question.stanza(&"x@y/z".parse().unwrap()).unwrap() {
        Stanza::Iq(iq) => iq.id().to_owned(),
        Stanza::Message(message) => message.thread.unwrap().id,
        Stanza::Presence(_) => unreachable!(),
    };
    let told = conversation.expect(question);
    for stranger in [
        format!("<message from='x@y/other'><body>no</body><thread>{id}</thread></message>"),
        "<message from='x@y/z'><body>no</body><thread>other</thread></message>".into(),
    ] {
        assert_eq!(conversation.hear(message(&stranger)), None);
    }
    conversation.hear(answer(&id));
    timeout(Duration::from_secs(10), told).await.unwrap()
}

#[tokio::test]
async fn an_answer_finds_its_question() {
    let child = "<numJobsWantedResponse xmlns='urn:windmill:executor:1'/>";
    let answer = told(Carrier::Message, |id| {
        message(&format!(
            "<message from='x@y/z'>{child}<body>for people</body><thread>{id}</thread></message>"
        ))
    });
    assert!(answer.await.unwrap().starts_with("<numJobsWantedResponse "));
    let answer = told(Carrier::Body, |id| {
        message(&format!(
            "<message from='x@y/z'><body>&lt;a/></body><thread>{id}</thread></message>"
        ))
    });
    assert_eq!(answer.await.unwrap(), "<a/>");
    let answer = told(Carrier::Iq, |id| {
        iq(&format!(
            "<iq type='result' from='x@y/z' id='{id}'>{child}</iq>"
        ))
    });
    assert!(answer.await.unwrap().starts_with("<numJobsWantedResponse "));
}

#[tokio::test]
async fn a_fault_is_an_answer_and_an_error_is_none() {
    let fault = "<error xmlns='urn:windmill:executor:1' code='busy' retry='yes'>later</error>";
    let iq_error = |id: &str, inside: &str| {
        let condition = "<resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>";
        iq(&format!(
            "<iq type='error' from='x@y/z' id='{id}'><error type='wait'>{condition}{inside}</error></iq>"
        ))
    };
    let answer = told(Carrier::Iq, |id| iq_error(id, fault)).await.unwrap();
    let reply = crate::windmill::read_reply(&answer).unwrap();
    assert_eq!(reply.in_reply_to.as_deref(), Some("s-1"));
    assert_eq!(reply.content.unwrap_err().text, "later");

    let refused = Err(PeerError::Refused("resource-constraint".into()));
    assert_eq!(told(Carrier::Iq, |id| iq_error(id, "")).await, refused);
    let bounced = told(Carrier::Body, |id| {
        let error = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
        message(&format!(
            "<message type='error' from='x@y/z' id='{id}'>{error}</message>"
        ))
    });
    assert_eq!(
        bounced.await,
        Err(PeerError::Refused("service-unavailable".into()))
    );
}

#[test]
fn what_xmpp_cannot_carry_is_not_sent() {
    let executor: Jid = "x@y/z".parse().unwrap();
    let deep = "<a>".repeat(100_000);
    for (carrier, document) in [
        (Carrier::Iq, "<a>"),
        (Carrier::Message, "no XML"),
        (Carrier::Iq, deep.as_str()),
        (Carrier::Body, "<a>\0</a>"),
        (Carrier::Body, "\u{ffff}"),
    ] {
        let unsent = Question::new(carrier, document, 1).stanza(&executor);
        assert!(
            matches!(unsent, Err(PeerError::Unsendable(_))),
            "{document}"
        );
    }
    let body = Question::new(Carrier::Body, "<a><!-- any text -->", 1);
    assert!(body.stanza(&executor).is_ok());
}

#[test]
fn an_element_travels_without_comments() {
    let document =
        "\u{feff}<?xml version='1.0'?><!-- a --><a b='&lt;'>x<!-- y --><![CDATA[<z>]]></a>\n";
    let bare = Question::new(Carrier::Iq, document, 1).element().unwrap();
    assert_eq!((bare.attr("b"), bare.text().as_str()), (Some("<"), "x<z>"));
}

#[test]
fn we_are_polite_to_who_asks_us() {
    let ping = "<iq type='get' from='server' id='1'><ping xmlns='urn:xmpp:ping'/></iq>";
    let set = "<iq type='set' from='a@b' id='2'><x xmlns='y'/></iq>";
    for (asked, wanted) in [(ping, "type='result'"), (set, "service-unavailable")] {
        let answer = conversation().hear(iq(asked)).unwrap();
        let answer = PrintRawXml(&answer).to_string();
        assert!(answer.contains(wanted), "{answer}");
    }
}
