//! A client that is logged in: what it sends is routed, what is sent to it is written.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures::SinkExt;
use tokio::time::timeout;
use tokio_xmpp::Stanza;
use tokio_xmpp::xmlstream::{FallibleStreamElement, XmppStreamElement};
use xmpp_parsers::iq::Iq;
use xmpp_parsers::jid::{FullJid, Jid};
use xmpp_parsers::message::{Message, MessageType};
use xmpp_parsers::ns;
use xmpp_parsers::presence::{Presence, Type};
use xmpp_parsers::stanza_error::{DefinedCondition, ErrorType, StanzaError};
use xmpp_parsers::stream_error::{self, StreamError};

use super::admission::{Stream, next_element};
use super::hub::{Hub, Inbox, Seat};

/// How long a client may take to read one stanza.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// How long a sender waits for a client whose queue is full.
const DELIVERY_LIMIT: Duration = Duration::from_secs(10);

/// A stanza on its way to others; ends with what its sender is told.
type Delivery = Pin<Box<dyn Future<Output = Option<Stanza>> + Send>>;

/// Serves a client until it leaves, or another one takes its resource.
pub(super) async fn run(mut stream: Stream, jid: FullJid, hub: Hub) {
    let mut seat = hub.enter(jid.clone());
    let replaced = seat.replaced.clone();
    let ended = tokio::select! {
        ended = exchange(&mut stream, &jid, &hub, &mut seat) => ended,
        () = replaced.cancelled() => Ok(()),
    };
    if let Err(error) = ended {
        tracing::debug!(%jid, %error, "gone");
    }
    if replaced.is_cancelled() {
        let text = "Replaced by new connection";
        let conflict = StreamError::new(stream_error::DefinedCondition::Conflict, "en", text);
        let _ = timeout(WRITE_LIMIT, stream.send(&conflict)).await;
    }
    let _ = timeout(WRITE_LIMIT, SinkExt::<&Stanza>::close(&mut stream)).await;
}

/// Reads nothing while a stanza is on its way, but always writes: so two clients that send each
/// other more than they read cannot block each other for ever.
async fn exchange(
    stream: &mut Stream,
    jid: &FullJid,
    hub: &Hub,
    seat: &mut Seat,
) -> io::Result<()> {
    let mut delivery: Option<Delivery> = None;
    loop {
        tokio::select! {
            element = next_element(stream), if delivery.is_none() => {
                if let FallibleStreamElement::Ok(XmppStreamElement::Stanza(stanza)) = element? {
                    delivery = Some(route(stanza, jid, hub, seat));
                }
            }
            Some(stanza) = seat.inbox.recv() => write(stream, &stanza).await?,
            bounce = arrival(&mut delivery) => {
                delivery = None;
                if let Some(bounce) = bounce {
                    write(stream, &bounce).await?;
                }
            }
        }
    }
}

async fn arrival(delivery: &mut Option<Delivery>) -> Option<Stanza> {
    match delivery {
        Some(delivery) => delivery.await,
        None => std::future::pending().await,
    }
}

async fn write(stream: &mut Stream, stanza: &Stanza) -> io::Result<()> {
    timeout(WRITE_LIMIT, stream.send(stanza)).await?
}

fn route(stanza: Stanza, jid: &FullJid, hub: &Hub, seat: &Seat) -> Delivery {
    let from = Jid::from(jid.clone());
    let (to, stanza) = match stanza {
        Stanza::Presence(presence) => {
            note_presence(&presence, seat);
            return Box::pin(std::future::ready(None));
        }
        Stanza::Iq(iq) => {
            let to = iq.to().cloned();
            (to, Stanza::Iq(iq.with_from(from)))
        }
        Stanza::Message(mut message) => {
            message.from = Some(from);
            (message.to.clone(), Stanza::Message(message))
        }
    };
    // An IQ to a bare JID is the server's to answer, on the account's behalf.
    let for_us = |to: &Jid| matches!(stanza, Stanza::Iq(_)) && to.is_bare();
    match to {
        Some(to) if !for_us(&to) => Box::pin(deliver(stanza, hub.find(&to))),
        _ => Box::pin(std::future::ready(answer(stanza))),
    }
}

fn note_presence(presence: &Presence, seat: &Seat) {
    match presence.type_ {
        _ if presence.to.is_some() => {}
        Type::None => seat.set_available(true),
        Type::Unavailable => seat.set_available(false),
        _ => {}
    }
}

async fn deliver(stanza: Stanza, inboxes: Vec<Inbox>) -> Option<Stanza> {
    let mut reached = false;
    for inbox in inboxes {
        let copy = match &stanza {
            Stanza::Iq(iq) => Stanza::Iq(iq.clone()),
            Stanza::Message(message) => Stanza::Message(message.clone()),
            Stanza::Presence(presence) => Stanza::Presence(presence.clone()),
        };
        reached |= inbox.send_timeout(copy, DELIVERY_LIMIT).await.is_ok();
    }
    if reached { None } else { bounce(stanza) }
}

/// What the server itself says to an IQ, or to a message that is addressed to nobody.
fn answer(stanza: Stanza) -> Option<Stanza> {
    match stanza {
        Stanza::Iq(Iq::Get {
            from, id, payload, ..
        }) if payload.is("ping", ns::PING) => Some(Stanza::Iq(Iq::Result {
            from: None,
            to: from,
            id,
            payload: None,
        })),
        other => bounce(other),
    }
}

/// Tells a sender that nobody is there; an error or a result is not answered.
fn bounce(stanza: Stanza) -> Option<Stanza> {
    let error = StanzaError {
        type_: ErrorType::Cancel,
        by: None,
        defined_condition: DefinedCondition::ServiceUnavailable,
        texts: BTreeMap::new(),
        other: None,
    };
    match stanza {
        Stanza::Iq(Iq::Get { from, to, id, .. } | Iq::Set { from, to, id, .. }) => {
            Some(Stanza::Iq(Iq::Error {
                from: to,
                to: from,
                id,
                error,
                payload: None,
            }))
        }
        Stanza::Message(message) if message.type_ != MessageType::Error => {
            let mut bounced = Message::error(message.from);
            bounced.from = message.to;
            bounced.id = message.id;
            bounced.payloads.push(error.into());
            Some(Stanza::Message(bounced))
        }
        _ => None,
    }
}
