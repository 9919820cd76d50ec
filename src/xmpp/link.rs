//! The line to the server: an unsplit stanza stream that is dialled again whenever it breaks.
//!
//! tokio-xmpp's stream loses wake-ups when it is split, so one task owns it. That task must never
//! wait for room in the stream's queue, for it may be the one that has to make the room: it sends
//! only what fits, by counting what the stream has not yet written.

mod ending;
mod goodbye;
mod probe;
mod strangers;
#[cfg(test)]
mod tests;
mod waits;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio::task::unconstrained;
use tokio::time::{Duration, Instant, sleep};
use tokio_xmpp::Stanza;
use tokio_xmpp::stanzastream::{Event, StanzaStage, StanzaStream, StanzaToken, StreamEvent};
use xmpp_parsers::jid::Jid;

use super::DoorError;
use super::connector::{Connector, Established};
use super::courtesy::Courtesies;
use super::guard::GuardReport;
use super::parcel::{Parcel, Perishables};
use super::redial::Redial;
use super::settings::Settings;
use super::unasked::{Mouthpiece, Unasked};
use super::vitals::Vitals;
use super::wire::ConnectError;
use super::wish::{self, Wish, Wishes};
use ending::Unreadable;
use probe::Probe;
use waits::{arrival, until, written};

/// Stanzas that wait in the stream in each direction. What is in there is acknowledged to the
/// server before it is dealt with, so it is lost when the process is killed: kept short.
const QUEUE_DEPTH: usize = 16;

/// A connection in the making.
pub(super) type Dialling = Pin<Box<dyn Future<Output = Result<Established, ConnectError>> + Send>>;

/// What the session hears of the line.
#[derive(Debug)]
pub(super) enum LinkEvent {
    /// A new session: whatever the server knew of us is gone.
    Fresh,
    /// Somebody says something.
    Stanza(Box<Stanza>),
}

/// How far the current stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No connection.
    Down,
    /// Connected; the resource must be bound by then.
    Binding(Instant),
    /// Bound by resumption, and no stanza came in since; something must by then. Prosody at times
    /// resumes into a session that is dead, and would do so again.
    Resumed(Instant),
    /// Bound.
    Up,
}

/// A connection that was handed to the stream.
struct Call {
    since: Instant,
    report: GuardReport,
    /// How many bytes had come in when a resumed session was last looked at.
    received: u64,
}

/// The line to the server.
pub(super) struct Link {
    settings: Arc<Settings>,
    vitals: Arc<Vitals>,
    connector: Connector,
    redial: Redial,
    unreadable: Unreadable,
    /// How long to wait before the next try.
    wait: Duration,
    /// Why the last try failed; said once.
    complaint: Option<ConnectError>,
    stream: StanzaStream,
    wishes: Wishes,
    wish: Option<Wish>,
    dialling: Option<Dialling>,
    state: State,
    call: Option<Call>,
    /// What the stream has not written yet.
    unwritten: VecDeque<StanzaToken>,
    /// What the stream would send again after a resumption.
    perishables: Perishables,
    /// Answers of the lanes.
    outgoing: mpsc::Receiver<Parcel>,
    /// Words of the session itself; they go first.
    direct: VecDeque<Parcel>,
    /// What is said unasked; it goes last but one.
    unasked: Unasked,
    /// What those hear who are no supervisors; it goes last.
    courtesies: Courtesies,
    /// `None`: how long its stanzas have waited is not measured.
    probe: Option<Probe>,
}

impl Link {
    /// A line that is down, and what is said unasked on it; [`next`](Self::next) keeps it.
    pub(super) fn new(
        settings: Arc<Settings>,
        outgoing: mpsc::Receiver<Parcel>,
        vitals: Arc<Vitals>,
    ) -> (Self, Mouthpiece) {
        let (unasked, mouthpiece) = Unasked::new();
        let (stream, wishes) = Wishes::of_new_stream(QUEUE_DEPTH);
        let link = Self {
            connector: Connector::new(settings.clone()).counting_in(vitals.trips.clone()),
            courtesies: Courtesies::new(vitals.clone()),
            vitals,
            redial: Redial::new(settings.limits),
            unreadable: Unreadable::default(),
            settings,
            wait: Duration::ZERO,
            complaint: None,
            stream,
            wishes,
            wish: None,
            dialling: None,
            state: State::Down,
            call: None,
            unwritten: VecDeque::with_capacity(QUEUE_DEPTH),
            perishables: Perishables::default(),
            outgoing,
            direct: VecDeque::new(),
            unasked,
            probe: None,
        };
        (link, mouthpiece)
    }

    /// Sends a stanza as soon as there is a line and room on it.
    pub(super) fn send(&mut self, parcel: impl Into<Parcel>) {
        self.direct.push_back(parcel.into());
    }

    /// Whether stanzas can be exchanged.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up | State::Resumed(_))
    }

    /// Keeps the line, writes what is to be sent, and waits for the next event. May be dropped at
    /// any time and called again.
    pub(super) async fn next(&mut self) -> Result<LinkEvent, DoorError> {
        loop {
            let room = self.write_direct();
            let idle = self.write_courtesy(room);
            self.unasked.set_online(self.is_up());
            // With much of our own to say nothing is read that would provoke more, except where
            // the line is broken, for then nothing is written either.
            let listen = self.direct.len() < QUEUE_DEPTH || self.wish.is_some();
            let deadline = match self.state {
                State::Binding(by) | State::Resumed(by) => Some(by),
                State::Down | State::Up => None,
            };
            let probe_at = self.probe_at();
            tokio::select! {
                event = self.stream.next(), if listen => {
                    if let Some(event) = self.on_event(event)? {
                        return Ok(event);
                    }
                }
                Some(wish) = self.wishes.next(), if self.wish.is_none() => self.on_wish(wish),
                result = arrival(&mut self.dialling) => self.on_dialled(result)?,
                Some(parcel) = self.outgoing.recv(), if room => self.write(parcel),
                stanza = self.unasked.next(idle) => {
                    self.write(stanza.into());
                    self.unasked.said(self.unwritten.back());
                }
                () = written(self.unwritten.front_mut()) => {}
                () = until(deadline) => self.on_deadline()?,
                () = until(probe_at) => self.send_probe(),
            }
        }
    }

    fn on_event(&mut self, event: Option<Event>) -> Result<Option<LinkEvent>, DoorError> {
        match event {
            Some(Event::Stanza(stanza)) => {
                if self.is_up() {
                    self.state = State::Up;
                }
                if self.is_probe_answer(&stanza) {
                    return Ok(None);
                }
                return Ok(Some(LinkEvent::Stanza(Box::new(stanza))));
            }
            Some(Event::Stream(StreamEvent::Reset { bound_jid, .. })) => {
                self.on_bound(&bound_jid)?;
                return Ok(Some(LinkEvent::Fresh));
            }
            Some(Event::Stream(StreamEvent::Resumed)) => self.on_resumed(),
            Some(Event::Stream(StreamEvent::Suspended)) => self.on_suspended()?,
            None => {
                tracing::error!("the XMPP stream ended by itself; beginning a new one");
                self.on_suspended()?;
                self.start_over();
            }
        }
        Ok(None)
    }

    fn on_bound(&mut self, bound: &Jid) -> Result<(), DoorError> {
        if *bound != self.settings.jid {
            return Err(DoorError::WrongResource {
                wanted: self.settings.jid.to_string(),
                bound: bound.to_string(),
            });
        }
        tracing::info!(jid = %bound, "online");
        self.vitals.went_online();
        self.vitals.set_hidden(!self.may_be_seen());
        self.state = State::Up;
        // Its answer comes before anything that our presence leads to.
        if self.probe.is_some() {
            self.send_probe();
        }
        Ok(())
    }

    fn on_resumed(&mut self) {
        tracing::info!("online again, the session goes on");
        self.vitals.went_online();
        self.expect_life();
        self.send_probe();
    }

    fn on_suspended(&mut self) -> Result<(), DoorError> {
        let no_stanza_since_resumption = matches!(self.state, State::Resumed(_));
        self.hang_up()?;
        if no_stanza_since_resumption {
            self.start_over();
        }
        self.dial_if_wished();
        Ok(())
    }

    /// The session was resumed: begins to wait, anew, for something to come in. Whether something
    /// did since the last time; with much to write a server may take long to come to an answer.
    fn expect_life(&mut self) -> bool {
        self.state = State::Resumed(Instant::now() + self.settings.limits.response);
        self.call.as_mut().is_some_and(|call| {
            let received = call.report.received();
            std::mem::replace(&mut call.received, received) != received
        })
    }

    fn on_wish(&mut self, wish: Wish) {
        self.wish = Some(wish);
        self.dial_if_wished();
    }

    fn on_dialled(&mut self, result: Result<Established, ConnectError>) -> Result<(), DoorError> {
        self.dialling = None;
        match result {
            Ok(_) if self.perishables.are_owed(Instant::now()) => {
                tracing::warn!("too late to resume the session; beginning a new one");
                self.wait = Duration::ZERO;
                self.start_over();
            }
            Ok(Established { connection, report }) => {
                self.redial.connected();
                self.complaint = None;
                let since = Instant::now();
                self.call = Some(Call {
                    since,
                    report,
                    received: 0,
                });
                self.state = State::Binding(since + self.settings.limits.bind);
                if let Some(wish) = self.wish.take() {
                    // A stream that is gone says so by its end.
                    let _ = wish.send(connection);
                }
            }
            Err(error) => {
                self.wait = self.redial.after_failure(&error, rand::random())?;
                self.complain(error);
                self.dial_if_wished();
            }
        }
        Ok(())
    }

    fn on_deadline(&mut self) -> Result<(), DoorError> {
        if self.is_up() && self.expect_life() {
            return Ok(());
        }
        tracing::warn!(state = ?self.state, "the server says nothing; beginning a new session");
        self.hang_up()?;
        self.start_over();
        Ok(())
    }

    fn dial_if_wished(&mut self) {
        if self.state == State::Down && self.wish.is_some() && self.dialling.is_none() {
            let connector = self.connector.clone().doubting(self.doubts_the_proof());
            let wait = self.wait;
            tracing::debug!(?wait, "connecting");
            let dialling = async move {
                sleep(wait).await;
                connector.open().await
            };
            self.dialling = Some(dialling.boxed());
        }
    }

    /// Throws the stream away, and with it the session that it would resume.
    fn start_over(&mut self) {
        (self.stream, self.wishes) = Wishes::of_new_stream(QUEUE_DEPTH);
        self.wish.take().into_iter().for_each(wish::release);
        self.dialling = None;
        self.unwritten.clear();
        self.perishables = Perishables::default();
    }

    fn complain(&mut self, error: ConnectError) {
        if self.complaint.as_ref() == Some(&error) {
            tracing::debug!(%error, "still not online");
        } else {
            let again_in_s = self.wait.as_secs_f32();
            tracing::warn!(%error, again_in_s, "not online; trying again");
            self.complaint = Some(error);
        }
    }

    /// Writes words of the session itself; whether there is room for more.
    fn write_direct(&mut self) -> bool {
        loop {
            self.unwritten
                .retain(|token| token.state() == StanzaStage::Queued);
            if !self.is_up() || self.unwritten.len() >= QUEUE_DEPTH {
                return false;
            }
            match self.direct.pop_front() {
                Some(parcel) => self.write(parcel),
                None => return true,
            }
        }
    }

    /// Hands a stanza to the stream, which has room for it and so takes it at once.
    fn write(&mut self, parcel: Parcel) {
        let (stanza, until) = parcel.open(Instant::now());
        let Some(token) = unconstrained(self.stream.send(stanza)).now_or_never() else {
            return;
        };
        if let Some(until) = until {
            self.perishables.add(until, token.clone());
        }
        self.unwritten.push_back(token);
    }
}
