//! The three ways in which a supervisor's document comes in a stanza, and its answer goes back:
//! as an IQ's payload, as a message's child element, or as a message's body text.
//!
//! Nothing here is called before the sender has been found among the supervisors.

mod delay;
mod envelope;
pub(super) mod headline;

use jiff::Timestamp;
use quick_xml::Reader;
use quick_xml::events::Event;
use tokio_xmpp::Stanza;
use xmpp_parsers::iq::Iq;
use xmpp_parsers::jid::Jid;
use xmpp_parsers::message::{Message, MessageType, Thread};
use xmpp_parsers::minidom::Element;
use xmpp_parsers::ns;
use xmpp_parsers::stanza_error::{DefinedCondition, ErrorType};

use crate::bridge::{Bridge, ReplyRoom};
use crate::windmill::{self, Fault, FaultCode, Reply};

use super::guard;
use super::queries;

/// A longer stanza ID does not serve as a request's ID, in characters.
const MAX_ID_CHARS: usize = 128;

/// A supervisor's document, and the way that its answer takes.
#[derive(Debug)]
pub(super) struct Letter {
    from: Jid,
    id: Option<String>,
    form: Form,
    document: String,
    sent_at: Option<Timestamp>,
}

/// How the document came, and so how the answer goes.
#[derive(Clone, Debug)]
enum Form {
    Iq,
    Child(MessageType, Option<Thread>),
    Body(MessageType, Option<Thread>),
}

/// What is to be done about a stanza.
#[derive(Debug)]
pub(super) enum Delivery {
    /// Serve it.
    Letter(Letter),
    /// Send this back.
    Refused(Box<Stanza>),
    /// Nothing: it is no request.
    Ignored,
}

impl Letter {
    /// Takes an IQ; every get and set that holds no document is refused.
    pub(super) fn from_iq(iq: &Iq) -> Delivery {
        let (is_set, payload) = match iq {
            Iq::Set { payload, .. } => (true, payload),
            Iq::Get { payload, .. } => (false, payload),
            Iq::Result { .. } | Iq::Error { .. } => return Delivery::Ignored,
        };
        let Some(from) = iq.from() else {
            return refused(queries::unavailable(iq));
        };
        if let Some(cut) = cut_in(payload) {
            return refused(envelope::iq_error(from.clone(), iq.id(), &cut_fault(cut)));
        }
        if !is_document(payload) {
            return refused(queries::unavailable(iq));
        }
        if !is_set {
            let condition = DefinedCondition::BadRequest;
            return refused(queries::refusal(iq, ErrorType::Modify, condition));
        }
        Delivery::Letter(Self {
            from: from.clone(),
            id: Some(iq.id().to_owned()),
            form: Form::Iq,
            document: String::from(payload),
            sent_at: None,
        })
    }

    /// Takes a message.
    pub(super) fn from_message(message: Message) -> Delivery {
        let Some(from) = message.from.clone() else {
            return Delivery::Ignored;
        };
        if is_unanswerable(&message) {
            return Delivery::Ignored;
        }
        let sent_at = delay::sent_at(&message);
        let cut = message
            .payloads
            .iter()
            .find(|child| is_cut(child))
            .map(cut_fault);
        let children = message.payloads.iter();
        let mut children = children.filter(|child| is_document(child));
        let (form, document, others) = if let Some(child) = children.next() {
            if is_answer(child.name()) {
                return Delivery::Ignored;
            }
            let document = String::from(child);
            let others = children.count();
            let form = Form::Child(message.type_, message.thread);
            (form, document, others)
        } else {
            let (text, others) = body(&message);
            let is_empty = text.is_empty() && cut.is_none();
            if is_empty || root_name(text).is_some_and(|name| is_answer(&name)) {
                return Delivery::Ignored;
            }
            let text = text.to_owned();
            let form = Form::Body(message.type_, message.thread);
            (form, text, others)
        };
        let fault = cut.or_else(|| (others > 0).then(more_than_one));
        let letter = Self {
            from,
            id: message.id.map(|id| id.0),
            form,
            document,
            sent_at,
        };
        match fault {
            None => Delivery::Letter(letter),
            Some(fault) => refused(letter.refused(fault)),
        }
    }

    /// Who sent it.
    pub(super) fn from(&self) -> &Jid {
        &self.from
    }

    /// The document as text.
    pub(super) fn document(&self) -> &str {
        &self.document
    }

    /// When it was sent, where it was delayed on its way.
    pub(super) fn sent_at(&self) -> Option<Timestamp> {
        self.sent_at
    }

    /// Serves as the request's ID where it has none.
    pub(super) fn stanza_id(&self) -> Option<String> {
        let id = self.id.as_ref();
        id.filter(|id| id.chars().count() <= MAX_ID_CHARS).cloned()
    }

    /// What is left of a stanza of `max_stanza` bytes beside the answer's envelope.
    pub(super) fn room(&self, max_stanza: usize) -> ReplyRoom {
        ReplyRoom {
            max_bytes: max_stanza.saturating_sub(envelope::bytes(self)),
            as_text: matches!(self.form, Form::Body(..)),
        }
    }

    /// The stanza that answers it; `None` where no answer is wanted.
    pub(super) fn answer(&self, reply: &Reply, bridge: &Bridge) -> Option<Stanza> {
        let wanted = matches!(self.form, Form::Iq) || bridge.wants_receipt(reply);
        wanted.then(|| envelope::seal(self, reply, bridge.write(reply)))
    }

    fn refused(&self, fault: Fault) -> Message {
        let reply = Reply {
            call: windmill::peek_kind(&self.document),
            in_reply_to: windmill::peek_id(&self.document).or_else(|| self.stanza_id()),
            content: Err(fault),
        };
        let style = windmill::Style { strict: false };
        envelope::message(self, &reply, windmill::write_reply(&reply, style))
    }
}

/// The text to read of a message that may have one in each of several languages: the one that is a
/// document, and how many others are a document, too, and another one.
fn body(message: &Message) -> (&str, usize) {
    let texts = message.bodies.values().map(|body| body.trim());
    let documents: Vec<_> = texts.filter(|text| root_name(text).is_some()).collect();
    let Some(first) = documents.first() else {
        let best = message.get_best_body(Vec::new());
        return (best.map_or("", |(_, body)| body.trim()), 0);
    };
    let others = documents.iter().filter(|text| *text != first).count();
    (first, others)
}

fn more_than_one() -> Fault {
    let text = "the message holds more than one document; send each in a message of its own";
    Fault::new(FaultCode::Invalid, text)
}

fn refused(answer: impl Into<Stanza>) -> Delivery {
    Delivery::Refused(Box::new(answer.into()))
}

/// What would be answered by a machine for ever, or is not meant for us.
fn is_unanswerable(message: &Message) -> bool {
    let kinds = [
        MessageType::Error,
        MessageType::Groupchat,
        MessageType::Headline,
    ];
    let is_copy = |payload: &Element| {
        payload.has_ns(ns::FORWARD)
            || payload.is("sent", ns::CARBONS)
            || payload.is("received", ns::CARBONS)
            || payload.is("result", ns::MAM)
    };
    kinds.contains(&message.type_)
        || message.from == message.to
        || message.payloads.iter().any(is_copy)
}

/// Whether an element is meant as a document of the supervisor's language. What has no namespace
/// of its own is, for XMPP leaves nothing of its own in these places.
fn is_document(element: &Element) -> bool {
    element.has_ns(windmill::NAMESPACE) || element.has_ns(ns::JABBER_CLIENT) || element.has_ns("")
}

fn is_answer(name: &str) -> bool {
    name.ends_with("Response") || name == "error" || name == windmill::JOB_CHANGED
}

/// The name of a document's root, without its prefix.
fn root_name(document: &str) -> Option<String> {
    let mut reader = Reader::from_str(document);
    loop {
        match reader.read_event() {
            Ok(Event::Start(root) | Event::Empty(root)) => {
                return Some(root.local_name().as_ref().to_owned());
            }
            Ok(Event::Decl(_) | Event::Comment(_) | Event::PI(_)) => {}
            Ok(Event::Text(text)) if text.trim_ascii().is_empty() => {}
            _ => return None,
        }
    }
}

fn is_cut(element: &Element) -> bool {
    element.is("cut", guard::NAMESPACE)
}

/// The guard puts its mark into an IQ's payload, or in the place of one.
fn cut_in(payload: &Element) -> Option<&Element> {
    let marks = std::iter::once(payload).chain(payload.children());
    marks.into_iter().find(|mark| is_cut(mark))
}

/// What is said of a stanza that the guard cut short.
fn cut_fault(mark: &Element) -> Fault {
    let (code, text) = match mark.attr("limit") {
        Some("depth") => (FaultCode::Malformed, "elements are nested too deep"),
        Some("markup") => (
            FaultCode::Malformed,
            "comments, processing instructions and declarations cannot be sent over XMPP",
        ),
        Some("unreadable") => (
            FaultCode::Malformed,
            "the stanza holds what cannot be read as XML here",
        ),
        Some("stanza") => (
            FaultCode::TooLarge,
            "the stanza is too long; send fewer jobs at a time",
        ),
        Some("elements") => (
            FaultCode::TooLarge,
            "the stanza has too many elements; send fewer jobs at a time",
        ),
        _ => (
            FaultCode::TooLarge,
            "a tag, a name or an attribute is too long; long data stands in text",
        ),
    };
    Fault::new(code, text)
}

#[cfg(test)]
mod tests;
