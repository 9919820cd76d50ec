//! Which answer belongs to which question.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_xml::events::Event;
use quick_xml::{Reader, Writer};
use tokio::sync::oneshot;
use tokio_xmpp::Stanza;
use xmpp_parsers::iq::Iq;
use xmpp_parsers::jid::Jid;
use xmpp_parsers::message::{Message, MessageType, Thread};
use xmpp_parsers::minidom::Element;
use xmpp_parsers::ns;
use xmpp_parsers::stanza_error::StanzaError;

use crate::windmill::{self, CallKind, Limits};

use super::super::guard::{Guard, GuardLimits, GuardReport};
use super::super::queries;
use super::{Carrier, PeerError};

/// What a document is sent in.
const STREAM_HEADER: &str = "<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

type Answer = Result<String, PeerError>;

/// The open questions.
#[derive(Debug)]
pub(super) struct Conversation {
    executor: Jid,
    /// Unlike another process's, or another run's of this one.
    open: Mutex<HashMap<String, Open>>,
}

#[derive(Debug)]
struct Open {
    question: Question,
    answer: oneshot::Sender<Answer>,
}

/// A document on its way.
#[derive(Clone, Debug)]
pub(super) struct Question {
    carrier: Carrier,
    document: String,
    /// The stanza's ID, and its thread.
    id: String,
}

impl Question {
    /// One with an ID that no other one has.
    pub(super) fn new(carrier: Carrier, document: &str, number: u64) -> Self {
        Self {
            carrier,
            document: document.to_owned(),
            id: format!("{:08x}-{number}", rand::random::<u32>()),
        }
    }

    /// The stanza that carries it.
    pub(super) fn stanza(&self, executor: &Jid) -> Result<Stanza, PeerError> {
        let to = Some(executor.clone());
        let id = self.id.clone();
        let mut message = Message::normal(executor.clone());
        message.id = Some(xmpp_parsers::message::Id(id.clone()));
        message.thread = Some(Thread {
            parent: None,
            id: id.clone(),
        });
        match self.carrier {
            Carrier::Iq => {
                return Ok(Stanza::Iq(Iq::Set {
                    from: None,
                    to,
                    id,
                    payload: self.element()?,
                }));
            }
            Carrier::Message => message.payloads.push(self.element()?),
            Carrier::Body => {
                let body = self.text()?;
                message.bodies.insert("".into(), body);
            }
        }
        Ok(Stanza::Message(message))
    }

    pub(super) fn element(&self) -> Result<Element, PeerError> {
        let report = GuardReport::default();
        let document = bare(&self.document)?;
        let limits = GuardLimits::for_documents(document.len());
        let (mut guard, mut passed) = (Guard::new(limits, report.clone()), Vec::new());
        guard.feed(STREAM_HEADER.as_bytes(), &mut passed);
        guard.feed(document.as_bytes(), &mut passed);
        if report.cuts() > 0 {
            return unsendable(
                "it is deeper or longer than a stanza may be, or is not well-formed",
            );
        }
        let no_prefix = ns::JABBER_CLIENT.to_owned();
        let element = Element::from_reader_with_prefixes(document.trim().as_bytes(), no_prefix);
        element.or_else(|error| unsendable(&format!("it is not well-formed ({error})")))
    }

    fn text(&self) -> Result<String, PeerError> {
        let forbidden = |c: char| c.is_control() && !"\t\n\r".contains(c);
        let forbidden = |c| forbidden(c) || matches!(c, '\u{fffe}' | '\u{ffff}');
        match self.document.find(forbidden) {
            None => Ok(self.document.clone()),
            Some(at) => unsendable(&format!("byte {at} is a control character")),
        }
    }

    /// A fault in a Response of its own.
    fn response(&self, fault: &Element) -> String {
        let unlimited = Limits {
            max_bytes: usize::MAX,
            max_jobs: usize::MAX,
        };
        let (call, id) = match windmill::read_call(self.document.as_bytes(), &unlimited) {
            Ok(request) => (Some(request.call.kind()), request.id),
            Err(error) => (error.call, error.id),
        };
        let root = call.map_or("errorResponse", CallKind::response_name);
        let id = id.unwrap_or_else(|| self.id.clone());
        let id = quick_xml::escape::escape(&id);
        let namespace = windmill::NAMESPACE;
        let fault = String::from(fault);
        format!("<{root} xmlns=\"{namespace}\" inReplyTo=\"{id}\">{fault}</{root}>")
    }
}

/// The document without what a stanza cannot hold and no call needs: the XML declaration,
/// comments, processing instructions.
fn bare(document: &str) -> Result<String, PeerError> {
    let mut reader = Reader::from_str(document.trim_start_matches('\u{feff}'));
    let mut bare = Writer::new(Vec::with_capacity(document.len()));
    loop {
        match reader.read_event() {
            Ok(Event::Eof) => break,
            Ok(Event::Decl(_) | Event::Comment(_) | Event::PI(_)) => {}
            Ok(event) => {
                // Writing to memory does not fail.
                let _ = bare.write_event(event);
            }
            Err(error) => return unsendable(&format!("it is not well-formed ({error})")),
        }
    }
    let bare = String::from_utf8(bare.into_inner());
    bare.or_else(|error| unsendable(&format!("it is not UTF-8 ({error})")))
}

impl Conversation {
    /// No question yet.
    pub(super) fn new(executor: Jid) -> Self {
        Self {
            executor,
            open: Mutex::default(),
        }
    }

    /// Opens a question; it is closed when the future ends or is dropped.
    pub(super) fn expect(self: &Arc<Self>, question: Question) -> impl Future<Output = Answer> {
        let (sender, answer) = oneshot::channel();
        let closed = Closing {
            conversation: self.clone(),
            id: question.id.clone(),
        };
        let open = Open {
            question,
            answer: sender,
        };
        self.lock().insert(closed.id.clone(), open);
        async move {
            let answer = answer.await;
            drop(closed);
            answer.unwrap_or_else(|closed| Err(super::gone(closed)))
        }
    }

    /// Takes what comes in; what is to be said to it.
    pub(super) fn hear(&self, stanza: Stanza) -> Option<Stanza> {
        match stanza {
            Stanza::Iq(iq) => self.hear_iq(iq),
            Stanza::Message(message) => {
                if message
                    .from
                    .as_ref()
                    .is_some_and(|from| self.is_executor(from))
                {
                    self.hear_message(&message);
                }
                None
            }
            Stanza::Presence(_) => None,
        }
    }

    /// Nothing more will be heard.
    pub(super) fn end(&self, why: &str) {
        for (_, open) in self.lock().drain() {
            let _ = open.answer.send(Err(PeerError::Offline(why.to_owned())));
        }
    }

    fn hear_iq(&self, iq: Iq) -> Option<Stanza> {
        let from_executor = iq.from().is_some_and(|from| self.is_executor(from));
        match iq {
            Iq::Get { .. } | Iq::Set { .. } => {
                let answer = queries::answer(&iq).unwrap_or_else(|| queries::unavailable(&iq));
                return Some(answer.into());
            }
            Iq::Result { id, payload, .. } if from_executor => {
                self.close(&id, |_| match payload {
                    Some(payload) => Ok(String::from(&payload)),
                    None => Err(PeerError::Refused("nothing".into())),
                });
            }
            Iq::Error { id, error, .. } if from_executor => {
                self.close(&id, |question| match &error.other {
                    Some(fault) if fault.is("error", windmill::NAMESPACE) => {
                        Ok(question.response(fault))
                    }
                    _ => Err(refused(&error)),
                });
            }
            Iq::Result { .. } | Iq::Error { .. } => {}
        }
        None
    }

    fn hear_message(&self, message: &Message) {
        let id = message.id.as_ref().map(|id| id.0.as_str());
        let thread = message.thread.as_ref().map(|thread| thread.id.as_str());
        if message.type_ == MessageType::Error {
            let error = message.payloads.iter();
            let error = error.filter_map(|payload| StanzaError::try_from(payload.clone()).ok());
            let error = error.map(|error| refused(&error)).next();
            let error = error.unwrap_or_else(|| PeerError::Refused("an error".into()));
            self.close(id.or(thread).unwrap_or_default(), |_| Err(error));
            return;
        }
        let mut children = message.payloads.iter();
        let response = children.find(|child| child.has_ns(windmill::NAMESPACE));
        let body = message.get_best_body(Vec::new()).map(|(_, body)| body);
        let text = response.map(String::from).or_else(|| body.cloned());
        if let Some(text) = text {
            self.close(thread.unwrap_or_default(), |_| Ok(text));
        }
    }

    fn close(&self, id: &str, answer: impl FnOnce(&Question) -> Answer) {
        let open = self.lock().remove(id);
        if let Some(open) = open {
            // Who asked may have stopped waiting.
            let _ = open.answer.send(answer(&open.question));
        }
    }

    /// A bare JID stands for each of its resources.
    fn is_executor(&self, from: &Jid) -> bool {
        *from == self.executor
            || self.executor.is_bare() && from.to_bare() == self.executor.to_bare()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Closing {
    conversation: Arc<Conversation>,
    id: String,
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.conversation.lock().remove(&self.id);
    }
}

/// The defined condition, as it is spelled on the wire.
fn refused(error: &StanzaError) -> PeerError {
    let condition = Element::from(error.clone());
    let condition = condition
        .children()
        .next()
        .map(|child| child.name().to_owned());
    PeerError::Refused(condition.unwrap_or_else(|| "an error".into()))
}

fn unsendable<T>(why: &str) -> Result<T, PeerError> {
    Err(PeerError::Unsendable(why.to_owned()))
}
