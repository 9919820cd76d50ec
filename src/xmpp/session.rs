//! The one task that holds the line: it takes what comes in, decides who may speak, and queues it.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, Interval, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_xmpp::Stanza;
use xmpp_parsers::iq::Iq;
use xmpp_parsers::jid::Jid;
use xmpp_parsers::message::Message;
use xmpp_parsers::presence::{self, Presence, Show};

use crate::bridge::{Bridge, Origin};
use crate::job::Owner;

use super::DoorError;
use super::carrier::{Delivery, Letter};
use super::lane::{Lanes, Work};
use super::link::{Link, LinkEvent};
use super::queries;
use super::roster::{Roster, Strangers};
use super::server_clock::ServerClock;
use super::settings::{Settings, Supervisor};
use super::teller;
use super::unasked::Mouthpiece;
use super::vitals::Vitals;

/// Answers that wait for the line, of all lanes together.
const REPLIES: usize = 16;

/// At the end, nothing came in for so long: what the stream has acknowledged to the server and not
/// handed over yet would be lost without a word.
const QUIET: Duration = Duration::from_millis(100);

/// The loop turns at least so often.
const TURN_EVERY: Duration = Duration::from_secs(1);

/// Everything about our presence on the server.
pub(super) struct Session {
    settings: Arc<Settings>,
    bridge: Arc<Bridge>,
    link: Link,
    lanes: Lanes,
    /// Tell supervisors unasked; none of them ever ends. Aborted when the door closes.
    tellers: JoinSet<()>,
    roster: Roster,
    strangers: Strangers,
    server_clock: ServerClock,
    /// Who may speak, when that changes.
    supervisors: watch::Receiver<Vec<Supervisor>>,
    /// For tellers that begin later.
    mouthpiece: Mouthpiece,
    /// Make the loop turn where nothing comes in.
    ticks: Interval,
    vitals: Arc<Vitals>,
}

impl Session {
    /// One that is not online yet.
    pub(super) fn new(
        settings: Settings,
        bridge: Arc<Bridge>,
        vitals: Arc<Vitals>,
        supervisors: watch::Receiver<Vec<Supervisor>>,
    ) -> Self {
        let settings = Arc::new(settings);
        let (replies, outgoing) = mpsc::channel(REPLIES);
        let owners = settings.supervisors.iter().map(|peer| peer.owner.clone());
        let (link, mouthpiece) = Link::new(settings.clone(), outgoing, vitals.clone());
        Self {
            tellers: teller::start(&settings, &bridge, &mouthpiece, &vitals.notifications),
            link: link.probing(bridge.clock()),
            lanes: Lanes::start(owners, settings.queue, &bridge, &vitals, &replies),
            roster: Roster::new(settings.supervisors.clone()),
            strangers: Strangers::default(),
            server_clock: ServerClock::default(),
            supervisors,
            mouthpiece,
            ticks: ticks(),
            vitals,
            bridge,
            settings,
        }
    }

    /// Serves until told to stop, then answers what is in hand.
    pub(super) async fn run(mut self, shutdown: CancellationToken) -> Result<(), DoorError> {
        loop {
            self.vitals.pulse.turn();
            tokio::select! {
                _ = self.ticks.tick() => self.on_tick(),
                event = self.link.next() => match event {
                    Ok(event) => self.on_event(event),
                    Err(error) => {
                        self.link.abandon();
                        return Err(error);
                    }
                },
                Ok(()) = self.supervisors.changed() => self.on_supervisors(),
                () = self.lanes.broken() => return Err(DoorError::Broken),
                Some(_) = self.tellers.join_next() => return Err(DoorError::Broken),
                () = shutdown.cancelled() => break,
            }
        }
        self.drain().await;
        Ok(())
    }

    /// New requests are told that we are busy, old ones are answered; then we are gone.
    async fn drain(mut self) {
        self.bridge.drain();
        self.tellers.abort_all();
        if self.link.is_up() {
            self.announce();
        }
        self.lanes.close();
        let limit = sleep(self.settings.limits.drain);
        tokio::pin!(limit);
        let mut in_hand = true;
        loop {
            self.vitals.pulse.turn();
            tokio::select! {
                _ = self.ticks.tick() => self.vitals.set_queues(self.lanes.waiting()),
                event = self.link.next() => match event {
                    Ok(event) => self.on_event(event),
                    Err(_) => break,
                },
                () = self.lanes.finished(), if in_hand => in_hand = false,
                () = sleep(QUIET), if !in_hand => break,
                () = &mut limit => {
                    tracing::warn!("not every request was answered before the end");
                    break;
                }
            }
        }
        self.link.send(Presence::unavailable());
        self.link.close(self.settings.limits.goodbye).await;
    }

    fn on_tick(&mut self) {
        self.vitals.set_queues(self.lanes.waiting());
        if self.link.is_up() && self.server_clock.is_due() {
            self.ask_time();
        }
    }

    fn ask_time(&mut self) {
        let now = self.bridge.now();
        let question = self.server_clock.ask(&self.settings.jid, now);
        self.link.send(question);
    }

    /// Others may speak from now on. What is in hand of those before is answered.
    fn on_supervisors(&mut self) {
        let supervisors = self.supervisors.borrow_and_update().clone();
        self.lanes
            .serve(supervisors.iter().map(|peer| peer.owner.clone()));
        self.roster = Roster::new(supervisors.clone());
        let settings = Settings {
            supervisors,
            ..(*self.settings).clone()
        };
        self.tellers = teller::start(
            &settings,
            &self.bridge,
            &self.mouthpiece,
            &self.vitals.notifications,
        );
        if self.link.is_up() {
            self.announce();
        }
    }

    fn on_event(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Fresh => {
                // Before the server hands out what it has stamped and kept.
                self.ask_time();
                self.announce();
            }
            LinkEvent::Stanza(stanza) => match *stanza {
                Stanza::Iq(iq) => self.on_iq(&iq),
                Stanza::Message(message) => self.on_message(message),
                Stanza::Presence(presence) => self.on_presence(&presence),
            },
        }
    }

    /// Tells the server, and whoever may see it, what we are ready for.
    fn announce(&mut self) {
        if !self.link.may_be_seen() {
            return;
        }
        let wanted = self.bridge.jobs_wanted();
        let mut presence = Presence::available();
        if wanted == 0 {
            presence = presence.with_show(Show::Dnd);
        }
        presence.set_status("en", format!("ready for {wanted} jobs"));
        self.link.send(presence);
    }

    /// A supervisor may see what we are ready for; the server keeps what was granted.
    fn on_presence(&mut self, presence: &Presence) {
        if presence.type_ != presence::Type::Subscribe {
            return;
        }
        if let Some(from) = presence.from.clone()
            && self.owner_of(Some(&from)).is_some()
        {
            let bare = Jid::from(from.to_bare());
            self.link.send(Presence::subscribed().with_to(bare));
        }
    }

    /// A supervisor's get or set has exactly one answer, another sender's at most one.
    fn on_iq(&mut self, iq: &Iq) {
        if matches!(iq, Iq::Result { .. } | Iq::Error { .. }) {
            if self.is_server(iq.from()) {
                self.server_clock.hear(iq, self.bridge.now());
            }
            return;
        }
        if let Some(answer) = queries::answer(iq) {
            if self.is_known(iq.from()) {
                self.link.send(answer);
            } else {
                self.link.send_courtesy(answer);
            }
            return;
        }
        let Some(owner) = self.owner_of(iq.from()) else {
            self.link.send_courtesy(queries::unavailable(iq));
            return;
        };
        self.take(Letter::from_iq(iq), owner);
    }

    /// Whether this is a supervisor or our own server, which may end a session that does not
    /// answer its ping.
    fn is_known(&self, from: Option<&Jid>) -> bool {
        self.is_server(from) || from.is_some_and(|from| self.roster.find(from).is_some())
    }

    fn is_server(&self, from: Option<&Jid>) -> bool {
        from.is_none_or(|from| from.node().is_none() && from.domain() == self.settings.jid.domain())
    }

    fn on_message(&mut self, message: Message) {
        let Some(owner) = self.owner_of(message.from.as_ref()) else {
            return;
        };
        self.take(Letter::from_message(message), owner);
    }

    fn take(&mut self, delivery: Delivery, owner: Owner) {
        match delivery {
            Delivery::Letter(letter) => self.submit(letter, owner),
            Delivery::Refused(answer) => self.link.send(*answer),
            Delivery::Ignored => {}
        }
    }

    fn submit(&mut self, letter: Letter, owner: Owner) {
        let origin = Origin {
            owner,
            arrived: Instant::now(),
            sent_at: letter
                .sent_at()
                .map(|stamp| self.server_clock.by_ours(stamp)),
            line_empty_at: self.link.empty_at(),
            stanza_id: letter.stanza_id(),
            room: letter.room(self.settings.max_stanza),
        };
        if let Some(busy) = self.lanes.submit(Work::new(letter, origin)) {
            self.link.send(busy);
        }
    }

    /// Whose jobs this sender may speak of; `None` for a stranger, who is counted. Who has no
    /// address is our own server.
    fn owner_of(&mut self, from: Option<&Jid>) -> Option<Owner> {
        let from = from?;
        let owner = self.roster.find(from).map(|peer| peer.owner.clone());
        if owner.is_none() {
            self.vitals.strangers.add_one();
            self.strangers.note(from);
        }
        owner
    }
}

fn ticks() -> Interval {
    let mut ticks = interval(TURN_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
