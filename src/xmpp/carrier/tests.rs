use proptest::prelude::*;
use tokio_xmpp::PrintRawXml;

use super::*;
use crate::job::{Attempt, JobId, RecordId};
use crate::windmill::{Answer, AttemptRef, Receipt, ReceiptResult, write_reply};
use crate::windmill::{CallKind, DataAnswer, Existence, Style};

const STYLE: Style = Style { strict: false };

fn parse<T: TryFrom<Element>>(xml: &str) -> T {
    let stanza = xml.replacen(' ', " xmlns='jabber:client' ", 1);
    let element: Element = stanza.parse().unwrap();
    T::try_from(element).ok().unwrap()
}

fn letter(message: &str) -> Letter {
    match Letter::from_message(parse(message)) {
        Delivery::Letter(letter) => letter,
        other => panic!("{message}: {other:?}"),
    }
}

fn text(stanza: &Stanza) -> String {
    PrintRawXml(stanza).to_string()
}

fn reply(content: Result<Answer, Fault>) -> Reply {
    Reply {
        call: Some(CallKind::ExecuteJobs),
        in_reply_to: Some("s-1".into()),
        content,
    }
}

fn sealed(letter: &Letter, reply: &Reply) -> String {
    text(&envelope::seal(letter, reply, write_reply(reply, STYLE)))
}

fn receipt(result: ReceiptResult) -> Receipt {
    Receipt {
        index: 1,
        job_id: Some(JobId::new("7").unwrap()),
        attempt: AttemptRef::Readable(Attempt::FIRST),
        result,
    }
}

#[test]
fn documents_are_found_wherever_they_are() {
    for message in [
        "<message from='a@b/c'><body> \n<?xml version='1.0'?><numJobsWanted/>\n</body><subject/></message>",
        "<message from='a@b/c' type='chat'><body xml:lang='de'>&lt;numJobsWanted/></body></message>",
        "<message from='a@b/c'><numJobsWanted/><body>for people</body></message>",
        "<message from='a@b/c'><x xmlns='jabber:x:event'/><numJobsWanted xmlns='urn:windmill:executor:1'/></message>",
        "<message from='a@b/c'><w:numJobWanted xmlns:w='urn:windmill:executor:1'/></message>",
    ] {
        let message = message.replace(
            "<?xml version='1.0'?><numJobsWanted/>",
            "&lt;?xml version='1.0'?>&lt;numJobsWanted/>",
        );
        let letter = letter(&message);
        let kind = windmill::peek_kind(letter.document());
        assert_eq!(kind, Some(CallKind::NumJobsWanted), "{}", letter.document());
        assert_eq!(letter.from().as_str(), "a@b/c");
    }
}

#[test]
fn what_is_no_request_is_not_answered() {
    let document = "<numJobsWanted xmlns='urn:windmill:executor:1'/>";
    let body = "<body>&lt;numJobsWanted/></body>";
    for message in [
        format!("<message from='a@b/c' type='error'>{document}</message>"),
        format!("<message from='a@b/c' type='groupchat'>{body}</message>"),
        format!("<message from='a@b/c' type='headline'>{body}</message>"),
        format!("<message from='a@b/c' to='a@b/c'>{body}</message>"),
        format!("<message >{body}</message>"),
        format!("<message from='a@b/c'><sent xmlns='urn:xmpp:carbons:2'/>{body}</message>"),
        format!("<message from='a@b/c'><received xmlns='urn:xmpp:carbons:2'/>{body}</message>"),
        format!("<message from='a@b/c'><forwarded xmlns='urn:xmpp:forward:0'/>{body}</message>"),
        format!("<message from='a@b/c'><result xmlns='urn:xmpp:mam:2'/>{body}</message>"),
        "<message from='a@b/c'><active xmlns='http://jabber.org/protocol/chatstates'/></message>".into(),
        "<message from='a@b/c'><body> \n </body></message>".into(),
        "<message from='a@b/c'><body>&lt;?xml version='1.0'?>\n&lt;w:getStatusResponse xmlns:w='x'></body></message>".into(),
        "<message from='a@b/c'><errorResponse xmlns='urn:windmill:executor:1'/><body>&lt;numJobsWanted/></body></message>".into(),
        "<message from='a@b/c'><executeJobsResponse xmlns='urn:windmill:executor:1'/><cut xmlns='urn:gristmill:guard:0' limit='stanza'/></message>".into(),
    ] {
        let delivery = Letter::from_message(parse(&message));
        assert!(matches!(delivery, Delivery::Ignored), "{message}: {delivery:?}");
    }
}

#[test]
fn the_oldest_stamp_counts() {
    let stamps = "<x xmlns='jabber:x:delay' stamp='20020910T23:08:25'/>\
        <delay xmlns='urn:xmpp:delay' stamp='2003-01-01T00:00:00Z'/>";
    let message = format!("<message from='a@b'>{stamps}<body>x</body></message>");
    let sent_at = letter(&message).sent_at().unwrap().to_string();
    assert_eq!(sent_at, "2002-09-10T23:08:25Z");
    assert_eq!(
        letter("<message from='a@b'><body>x</body></message>").sent_at(),
        None
    );
    let unreadable =
        "<message from='a@b'><delay xmlns='urn:xmpp:delay' stamp='?'/><body>x</body></message>";
    assert_eq!(letter(unreadable).sent_at(), Some(Timestamp::UNIX_EPOCH));
}

#[test]
fn an_answer_takes_the_way_of_its_request() {
    let stored = reply(Ok(Answer::Receipts(vec![
        receipt(ReceiptResult::Stored(RecordId::MAX)),
        receipt(ReceiptResult::Conflict),
    ])));
    let child = letter(
        "<message from='a@b/c' type='chat' id='5'><thread>t</thread><executeJobs/></message>",
    );
    let answer = sealed(&child, &stored);
    for part in [
        "to='a@b/c'",
        "type='chat'",
        "<body>executeJobs: 1 stored, 1 conflict</body>",
        "<thread>t</thread>",
        "<executeJobsResponse xmlns='urn:windmill:executor:1'",
        "<private xmlns='urn:xmpp:carbons:2'",
        "<no-copy xmlns='urn:xmpp:hints'",
    ] {
        assert!(answer.contains(part), "{part} is not in {answer}");
    }
    let body = letter("<message from='a@b/c'><body>x</body></message>");
    let answer = sealed(&body, &stored);
    assert!(
        answer.contains("<body>&lt;executeJobsResponse "),
        "{answer}"
    );
    assert!(!answer.contains("<thread"), "{answer}");
}

#[test]
fn an_iq_gets_a_result_or_an_error() {
    let iq =
        "<iq type='set' from='a@b/c' id='9'><executeJobs xmlns='urn:windmill:executor:1'/></iq>";
    let Delivery::Letter(letter) = Letter::from_iq(&parse(iq)) else {
        panic!("{iq}");
    };
    let answer = sealed(&letter, &reply(Ok(Answer::NumJobs(5))));
    assert!(
        answer.contains("type='result'") && answer.contains("id='9'"),
        "{answer}"
    );
    for code in FaultCode::ALL {
        let answer = sealed(&letter, &reply(Err(Fault::new(code, "why"))));
        let error: Iq = answer.parse::<Element>().unwrap().try_into().unwrap();
        let Iq::Error { error, .. } = error else {
            panic!("{answer}");
        };
        let ours = error.other.unwrap();
        assert!(ours.is("error", windmill::NAMESPACE), "{answer}");
        assert_eq!(ours.attr("code"), Some(code.name()));
        let waits = matches!(code, FaultCode::Busy | FaultCode::DatabaseUnavailable);
        assert_eq!(error.type_ == ErrorType::Wait, waits);
        assert_eq!(
            error.defined_condition == DefinedCondition::ResourceConstraint,
            waits
        );
    }
}

#[test]
fn other_iqs_get_an_error_that_fits() {
    let cut = "<cut xmlns='urn:gristmill:guard:0' limit='depth'/>";
    for (iq, condition) in [
        (
            "<iq type='set' from='a@b' id='1'><query xmlns='jabber:iq:roster'/></iq>".to_owned(),
            DefinedCondition::ServiceUnavailable,
        ),
        (
            "<iq type='get' from='a@b' id='1'><getStatus xmlns='urn:windmill:executor:1'/></iq>"
                .into(),
            DefinedCondition::BadRequest,
        ),
        (
            format!("<iq type='set' from='a@b' id='1'><getStatus>{cut}</getStatus></iq>"),
            DefinedCondition::BadRequest,
        ),
        (
            format!(
                "<iq type='set' from='a@b' id='1'>{}</iq>",
                cut.replace("depth", "attribute")
            ),
            DefinedCondition::NotAcceptable,
        ),
    ] {
        let Delivery::Refused(answer) = Letter::from_iq(&parse(&iq)) else {
            panic!("{iq}");
        };
        let Stanza::Iq(Iq::Error { error, to, id, .. }) = *answer else {
            panic!("{answer:?}");
        };
        assert_eq!(error.defined_condition, condition, "{iq}");
        assert_eq!((to.unwrap().as_str(), id.as_str()), ("a@b", "1"));
    }
}

#[test]
fn a_message_that_was_cut_short_gets_a_fault() {
    for (content, wanted) in [
        (
            "<executeJobs/><cut xmlns='urn:gristmill:guard:0' limit='depth'/>",
            "<executeJobsResponse xmlns='urn:windmill:executor:1' inReplyTo='5'><error code='malformed'",
        ),
        (
            "<body>&lt;executeJobs></body><cut xmlns='urn:gristmill:guard:0' limit='stanza'/>",
            "&lt;error code=\"too-large\"",
        ),
    ] {
        let message = format!("<message from='a@b' id='5'>{content}</message>");
        let Delivery::Refused(answer) = Letter::from_message(parse(&message)) else {
            panic!("{message}");
        };
        let answer = text(&answer);
        assert!(answer.contains(wanted), "{answer}");
    }
}

fn letters() -> impl Strategy<Value = Letter> {
    let form = (0..3, "[a-z&'<é]{0,40}").prop_map(|(form, id)| {
        let thread = Some(Thread { parent: None, id });
        match form {
            0 => Form::Iq,
            1 => Form::Child(MessageType::Chat, thread),
            _ => Form::Body(MessageType::Normal, None),
        }
    });
    (form, "[ -~é]{0,50}").prop_map(|(form, id)| Letter {
        from: Jid::new("supervisor@grid.example/<'&'>").unwrap(),
        id: Some(id),
        form,
        document: String::new(),
        sent_at: None,
    })
}

proptest! {
    #[test]
    fn an_answer_that_fits_makes_no_longer_stanza(
        letter in letters(),
        jobs in prop::collection::vec(("[ -~\té\n]{1,20}", any::<bool>()), 0..30),
        max_stanza in 300..4000_usize,
    ) {
        let entries = jobs.iter().filter_map(|(id, known)| Some(DataAnswer {
            job_id: JobId::new(id.as_str()).ok()?,
            attempt: known.then_some(Attempt::FIRST),
            existence: match known {
                true => Existence::Accepted(RecordId::MAX),
                false => Existence::Rejected(Some(windmill::Reason { code: "x".into(), text: id.clone() })),
            },
        }));
        let reply = reply(Ok(Answer::ExecutorData(entries.collect())));
        let response = write_reply(&reply, STYLE);
        let room = letter.room(max_stanza);
        let stanza = text(&envelope::seal(&letter, &reply, response.clone()));
        prop_assert!(!room.holds(&response) || stanza.len() <= max_stanza, "{stanza}");
        // Nor is much room given away.
        let generous = letter.room(stanza.len() + 400 + response.len() / 10);
        prop_assert!(generous.as_text || generous.holds(&response));
    }
}

#[test]
fn of_bodies_in_two_languages_the_document_is_read() {
    let prose = "<body xml:lang='de'>Bitte sehr</body>";
    let call = "<body xml:lang='en'>&lt;numJobsWanted/></body>";
    for bodies in [[prose, call].concat(), [call, prose].concat()] {
        let message = format!("<message from='a@b/c'>{bodies}</message>");
        assert_eq!(letter(&message).document(), "<numJobsWanted/>");
    }
    let same = call.replace("'en'", "'fr'");
    let message = format!("<message from='a@b/c'>{call}{same}</message>");
    assert_eq!(letter(&message).document(), "<numJobsWanted/>");
}

#[test]
fn a_message_of_two_documents_is_refused() {
    for content in [
        "<numJobsWanted/><executeJobs xmlns='urn:windmill:executor:1'/>",
        "<body>&lt;numJobsWanted/></body><body xml:lang='en'>&lt;executeJobs/></body>",
    ] {
        let message = format!("<message from='a@b/c' id='7'>{content}</message>");
        match Letter::from_message(parse(&message)) {
            Delivery::Refused(answer) => {
                let answer = text(&answer);
                assert!(answer.contains("invalid"), "{answer}");
                assert!(answer.contains("more than one document"), "{answer}");
            }
            other => panic!("{message}: {other:?}"),
        }
    }
}

/// slixmpp 1.8 and other clients know no more, and take others for no error at all.
#[test]
fn conditions_are_those_that_old_clients_know() {
    const KNOWN: [&str; 5] = [
        "bad-request",
        "feature-not-implemented",
        "not-acceptable",
        "resource-constraint",
        "internal-server-error",
    ];
    for code in crate::windmill::FaultCode::ALL {
        let fault = Fault::new(code, "why");
        let iq = envelope::iq_error("a@b/c".parse().unwrap(), "7", &fault);
        let Iq::Error { error, .. } = iq else {
            panic!("{iq:?}");
        };
        let error = Element::from(error);
        let condition = error.children().next().unwrap().name();
        assert!(KNOWN.contains(&condition), "{condition}");
    }
}
