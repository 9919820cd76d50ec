//! All that is told of the daemon.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::census::CensusTaker;
use crate::buffer::{Census, Gate};
use crate::conductor;
use crate::job::policy::Clock;
use crate::vitals::{Count, Pulse};
use crate::xmpp;

/// Said of a session without presence.
const HIDDEN: &str = "XMPP without presence: the server keeps what our XML parser cannot read";

/// All that is told of the daemon.
pub struct House {
    /// Of each of its loops.
    pub pulses: Vec<Pulse>,
    /// The door to supervisors.
    pub door: Arc<xmpp::Vitals>,
    /// The store.
    pub store: Arc<Gate>,
    /// The conductor's, where jobs are run.
    pub conductor: Option<conductor::Vitals>,
    /// Whether an operator has it claim nothing new.
    pub draining: Arc<AtomicBool>,
    /// Cancelled when it begins to stop.
    pub stopping: CancellationToken,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// How many lines of its log were dropped.
    pub dropped_log_lines: Arc<Count>,
    started: Timestamp,
    census: CensusTaker,
}

impl House {
    /// A house with these parts.
    #[must_use]
    pub fn new(
        door: Arc<xmpp::Vitals>,
        store: Arc<Gate>,
        conductor: Option<conductor::Vitals>,
        draining: Arc<AtomicBool>,
        stopping: CancellationToken,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let conducting = conductor.as_ref().map(|vitals| vitals.pulse.clone());
        let pulses = [
            &door.pulse,
            &door.requests,
            &door.notifications,
            &store.vitals().pulse,
        ];
        Self {
            pulses: pulses.into_iter().cloned().chain(conducting).collect(),
            census: CensusTaker::new(store.clone()),
            started: clock.now(),
            door,
            store,
            conductor,
            draining,
            stopping,
            clock,
            dropped_log_lines: Arc::default(),
        }
    }

    /// The count of the lines that its log drops.
    #[must_use]
    pub fn counting_dropped_log_lines(mut self, count: Arc<Count>) -> Self {
        self.dropped_log_lines = count;
        self
    }

    /// Whether every loop turns.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.pulses.iter().all(Pulse::is_turning)
    }

    /// Why it does not do what it is there for; nothing, if it does.
    #[must_use]
    pub fn hindrances(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.stopping.is_cancelled() {
            found.push("stopping".to_owned());
        }
        if !self.door.is_online() {
            found.push(self.door_offline());
        }
        if self.door.is_hidden() {
            found.push(HIDDEN.to_owned());
        }
        if let Err(why) = self.store.can_store() {
            found.push(why.to_string());
        }
        if self
            .conductor
            .as_ref()
            .is_some_and(|vitals| !(vitals.has_runner)())
        {
            found.push("the runner is away".to_owned());
        }
        if let Some(unfit) = self.unfit() {
            let (why, since) = (unfit.why, unfit.since);
            found.push(format!("the host starts no jobs since {since:.0}: {why}"));
        }
        let vitals = self.conductor.as_ref();
        let vanished = vitals.map_or(0, |vitals| vitals.counters.vanished.get());
        if vanished > 0 {
            found.push(format!("the folders of {vanished} living runs are gone"));
        }
        let unending = vitals.map_or(0, |vitals| vitals.counters.unending.get());
        if unending > 0 {
            found.push(format!("{unending} slots are held by runs that do not end"));
        }
        let crowded = vitals.map_or(0, |vitals| vitals.counters.crowded.get());
        if crowded > 0 {
            found.push("another daemon conducts under the name of our folder of runs".to_owned());
        }
        if self.is_draining() {
            found.push("draining".to_owned());
        }
        let stuck = self.pulses.iter().filter(|pulse| !pulse.is_turning());
        found.extend(stuck.map(|pulse| format!("the loop {} does not turn", pulse.name())));
        found
    }

    /// Says that the door is offline, and why where the server refuses us.
    #[must_use]
    pub fn door_offline(&self) -> String {
        let why = self.door.refusal();
        why.map_or("XMPP offline".to_owned(), |why| {
            format!("XMPP offline: {why}")
        })
    }

    /// Why its host starts no jobs; `None`: it does, or none are run here.
    #[must_use]
    pub fn unfit(&self) -> Option<conductor::Unfit> {
        self.conductor.as_ref()?.breaker.unfit()
    }

    /// Whether an operator has it claim nothing new.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// How many jobs there are, as of some seconds ago; `None`: the store did not answer.
    pub async fn census(&self) -> Option<Census> {
        self.census.census().await
    }

    pub(super) fn started(&self) -> Timestamp {
        self.started
    }
}
