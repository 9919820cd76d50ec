//! The stanza around an answer.

use std::collections::BTreeMap;

use tokio_xmpp::{PrintRawXml, Stanza};
use xmpp_parsers::iq::Iq;
use xmpp_parsers::jid::Jid;
use xmpp_parsers::message::{Lang, Message};
use xmpp_parsers::minidom::Element;
use xmpp_parsers::ns;
use xmpp_parsers::stanza_error::{DefinedCondition, ErrorType, StanzaError};

use crate::windmill::{self, Answer, Counts, Fault, FaultCode, Reply};

use super::{Form, Letter};

/// XEP-0334's namespace.
const HINTS: &str = "urn:xmpp:hints";
/// No summary is longer, in bytes.
const SUMMARY_BYTES: usize = 200;
/// What a server may count that we do not, in bytes: white space between stanzas, a stream's lang.
pub(super) const SPARE_BYTES: usize = 64;

/// How many bytes of a stanza an answer cannot have. Measured on one with next to nothing in it.
pub(super) fn bytes(letter: &Letter) -> usize {
    let stanza = match letter.form {
        Form::Iq => Stanza::Iq(result(letter, Element::bare("x", windmill::NAMESPACE))),
        Form::Child(..) | Form::Body(..) => {
            let summary = "x".repeat(SUMMARY_BYTES);
            let mut message = empty_message(letter);
            message.bodies.insert(Lang::new(), summary);
            Stanza::Message(message)
        }
    };
    PrintRawXml(&stanza).to_string().len() + SPARE_BYTES
}

/// The stanza that carries `response`, which says `reply`.
pub(super) fn seal(letter: &Letter, reply: &Reply, response: String) -> Stanza {
    match (&letter.form, &reply.content) {
        (Form::Iq, Err(fault)) => {
            let id = letter.id.as_deref().unwrap_or_default();
            iq_error(letter.from.clone(), id, fault).into()
        }
        (Form::Iq, Ok(_)) => result(letter, element(&response)).into(),
        (Form::Child(..) | Form::Body(..), _) => message(letter, reply, response).into(),
    }
}

/// The message that carries `response`.
pub(super) fn message(letter: &Letter, reply: &Reply, response: String) -> Message {
    let mut message = empty_message(letter);
    let body = if let Form::Child(..) = letter.form {
        message.payloads.push(element(&response));
        summary(reply)
    } else {
        response
    };
    message.bodies.insert(Lang::new(), body);
    message
}

/// A fault as an IQ's error.
pub(super) fn iq_error(to: Jid, id: &str, fault: &Fault) -> Iq {
    let (type_, defined_condition) = condition(fault.code);
    Iq::Error {
        from: None,
        to: Some(to),
        id: id.to_owned(),
        error: StanzaError {
            type_,
            by: None,
            defined_condition,
            texts: BTreeMap::from([("en".to_owned(), fault.text.clone())]),
            other: Some(element(&windmill::write_fault(fault))),
        },
        payload: None,
    }
}

fn result(letter: &Letter, payload: Element) -> Iq {
    Iq::Result {
        from: None,
        to: Some(letter.from.clone()),
        id: letter.id.clone().unwrap_or_default(),
        payload: Some(payload),
    }
}

/// Of the request's type and thread.
fn empty_message(letter: &Letter) -> Message {
    let mut message = Message::normal(letter.from.clone());
    if let Form::Child(type_, thread) | Form::Body(type_, thread) = &letter.form {
        message.type_ = type_.clone();
        message.thread.clone_from(thread);
    }
    message.payloads = hints().into();
    message
}

/// No server is to copy or keep it.
pub(super) fn hints() -> [Element; 2] {
    [
        Element::bare("private", ns::CARBONS),
        Element::bare("no-copy", HINTS),
    ]
}

/// Only what RFC 3920 has as well: clients that know no other take it for no error at all.
fn condition(code: FaultCode) -> (ErrorType, DefinedCondition) {
    use DefinedCondition as C;
    match code {
        FaultCode::Malformed | FaultCode::Invalid => (ErrorType::Modify, C::BadRequest),
        FaultCode::UnsupportedCall => (ErrorType::Cancel, C::FeatureNotImplemented),
        FaultCode::TooLarge | FaultCode::ReplyTooLarge => (ErrorType::Modify, C::NotAcceptable),
        FaultCode::Stale => (ErrorType::Cancel, C::NotAcceptable),
        FaultCode::Busy | FaultCode::DatabaseUnavailable => {
            (ErrorType::Wait, C::ResourceConstraint)
        }
        FaultCode::Internal => (ErrorType::Cancel, C::InternalServerError),
    }
}

/// A few words for people whose program shows no child elements.
fn summary(reply: &Reply) -> String {
    let call = reply.call.map_or("request", windmill::CallKind::name);
    let content = match &reply.content {
        Err(fault) => fault.code.name().to_owned(),
        Ok(Answer::NumJobs(number)) => number.to_string(),
        Ok(Answer::Receipts(receipts)) => counts(Counts::of(receipts)),
        Ok(Answer::ExecutorData(jobs)) => of_jobs(jobs.len()),
        Ok(Answer::Statuses(jobs)) => of_jobs(jobs.len()),
        Ok(Answer::Kills(jobs)) => of_jobs(jobs.len()),
        Ok(Answer::Fixes(jobs)) => of_jobs(jobs.len()),
        Ok(Answer::Acknowledged) => "kept".to_owned(),
    };
    format!("{call}: {content}")
}

pub(super) fn of_jobs(number: usize) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} job{plural}")
}

fn counts(counts: Counts) -> String {
    let named = [
        (counts.stored, "stored"),
        (counts.duplicate, "duplicate"),
        (counts.conflict, "conflict"),
        (counts.refused, "refused"),
    ];
    let named = named.iter().filter(|(number, _)| *number > 0);
    let words: Vec<_> = named
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
    words.join(", ")
}

/// Our own writer's text as an element.
pub(super) fn element(xml: &str) -> Element {
    xml.parse().unwrap_or_else(|error| {
        tracing::error!(%error, "an answer of ours cannot be read as XML");
        Element::bare("error", windmill::NAMESPACE)
    })
}
