//! What supervisors are told unasked, in a message of type headline: no server keeps one for who
//! is away, and nobody answers it.

use tokio_xmpp::{PrintRawXml, Stanza};
use xmpp_parsers::jid::Jid;
use xmpp_parsers::message::{Lang, Message};
use xmpp_parsers::minidom::Element;

use crate::bridge::{News, ReplyRoom};
use crate::windmill::{JOB_CHANGED, NAMESPACE};

use super::envelope::{SPARE_BYTES, element, hints, of_jobs};

/// No summary counts more jobs, in digits' worth.
const MANY_JOBS: usize = 1_000_000;

/// What is left of a message of `max_bytes` to the longest of these names.
pub(in super::super) fn room(to: &[Jid], max_bytes: usize) -> ReplyRoom {
    let bytes = |to: &Jid| {
        let nothing = Element::bare("x", NAMESPACE);
        let message = headline(to.clone(), nothing, MANY_JOBS);
        PrintRawXml(&Stanza::from(message)).to_string().len()
    };
    let envelope = to.iter().map(bytes).max().unwrap_or_default();
    ReplyRoom {
        max_bytes: max_bytes.saturating_sub(envelope + SPARE_BYTES),
        as_text: false,
    }
}

/// The message that carries it.
pub(in super::super) fn seal(to: &Jid, news: &News) -> Stanza {
    headline(to.clone(), element(&news.document), news.jobs).into()
}

/// With a few words for people, and for programs that hear of no message without a body.
fn headline(to: Jid, payload: Element, jobs: usize) -> Message {
    let mut message = Message::headline(to);
    message.payloads = hints().into();
    message.payloads.push(payload);
    let summary = format!("{JOB_CHANGED}: {}", of_jobs(jobs));
    message.bodies.insert(Lang::new(), summary);
    message
}
