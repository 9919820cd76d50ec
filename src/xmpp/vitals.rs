//! What the door tells of itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::guard::Trips;
use crate::job::Owner;
use crate::vitals::{Count, Pulse, Tally, Times};
use crate::windmill::{CallKind, FaultCode, Reply};

/// The task that holds the line turns at least so often.
const LIMIT: Duration = Duration::from_secs(30);

/// The call of a document whose call cannot be made out.
const UNKNOWN_CALL: &str = "unknown";

/// The outcome of a call that has an answer; the others are the names of faults.
const ANSWERED: &str = "answered";

/// What the door tells of itself.
#[derive(Debug)]
pub struct Vitals {
    /// Of the task that holds the line.
    pub pulse: Pulse,
    /// Of the tasks that read and answer requests.
    pub requests: Pulse,
    /// Of the tasks that tell supervisors unasked.
    pub notifications: Pulse,
    /// What was asked and how that ended.
    pub calls: Calls,
    /// Calls by their owner and what they came to.
    pub by_owner: Tally<(Owner, &'static str)>,
    /// Stanzas of senders that may not speak.
    pub strangers: Count,
    /// Answers to such senders that were not sent, for there were too many.
    pub unanswered: Count,
    /// Stanzas that were cut short.
    pub trips: Arc<Trips>,
    /// How often the line came back.
    pub reconnects: Count,
    online: AtomicBool,
    was_online: AtomicBool,
    refusal: Mutex<Option<String>>,
    hidden: AtomicBool,
    queues: Mutex<Vec<(Owner, usize)>>,
}

/// What was asked, by call.
#[derive(Debug)]
pub struct Calls(Vec<Call>);

/// One of the calls.
#[derive(Debug)]
pub struct Call {
    /// Its name.
    pub name: &'static str,
    /// How often it ended how.
    pub outcomes: Vec<(&'static str, Count)>,
    /// From arrival to answer.
    pub times: Times,
}

impl Default for Vitals {
    fn default() -> Self {
        Self {
            pulse: Pulse::new("door", LIMIT),
            requests: Pulse::group("requests", LIMIT),
            notifications: Pulse::group("notifications", LIMIT),
            calls: Calls::default(),
            by_owner: Tally::default(),
            strangers: Count::default(),
            unanswered: Count::default(),
            trips: Arc::default(),
            reconnects: Count::default(),
            online: AtomicBool::new(false),
            was_online: AtomicBool::new(false),
            refusal: Mutex::default(),
            hidden: AtomicBool::new(false),
            queues: Mutex::default(),
        }
    }
}

impl Vitals {
    /// Whether stanzas can be exchanged.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.online.load(Ordering::Relaxed)
    }

    /// Whether the session is without presence, for the server keeps what our parser cannot read.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.hidden.load(Ordering::Relaxed)
    }

    /// Why the server does not let us be online, as [`set_refusal`](Self::set_refusal) said;
    /// `None` from the next time that it does.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.refusal_slot().clone()
    }

    /// Says why the server does not let us be online.
    pub fn set_refusal(&self, why: String) {
        *self.refusal_slot() = Some(why);
    }

    /// How many requests of each owner waited when the line was last looked after.
    #[must_use]
    pub fn queues(&self) -> Vec<(Owner, usize)> {
        let queues = self.queues.lock();
        queues.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a call that ended.
    pub(super) fn count(&self, owner: &Owner, reply: &Reply, taken: Duration) {
        self.calls.count(reply, taken);
        self.by_owner.add((owner.clone(), outcome_name(reply)), 1);
    }

    pub(super) fn went_online(&self) {
        *self.refusal_slot() = None;
        self.online.store(true, Ordering::Relaxed);
        if self.was_online.swap(true, Ordering::Relaxed) {
            self.reconnects.add_one();
        }
    }

    pub(super) fn set_hidden(&self, hidden: bool) {
        self.hidden.store(hidden, Ordering::Relaxed);
    }

    pub(super) fn went_offline(&self) {
        self.online.store(false, Ordering::Relaxed);
    }

    fn refusal_slot(&self) -> MutexGuard<'_, Option<String>> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_queues(&self, waiting: Vec<(Owner, usize)>) {
        *self.queues.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
    }
}

impl Default for Calls {
    fn default() -> Self {
        let names = CallKind::ALL.map(CallKind::name).into_iter();
        Self(names.chain([UNKNOWN_CALL]).map(Call::new).collect())
    }
}

impl Calls {
    /// Each of the calls.
    pub fn iter(&self) -> impl Iterator<Item = &Call> {
        self.0.iter()
    }

    fn count(&self, reply: &Reply, taken: Duration) {
        let (call, outcome) = (call_name(reply), outcome_name(reply));
        let Some(call) = self.0.iter().find(|known| known.name == call) else {
            return;
        };
        call.times.add(taken);
        let mut outcomes = call.outcomes.iter();
        if let Some((_, count)) = outcomes.find(|(known, _)| *known == outcome) {
            count.add_one();
        }
    }
}

impl Call {
    fn new(name: &'static str) -> Self {
        let faults = FaultCode::ALL.map(FaultCode::name).into_iter();
        let outcomes = [ANSWERED].into_iter().chain(faults);
        Self {
            name,
            outcomes: outcomes.map(|name| (name, Count::default())).collect(),
            times: Times::default(),
        }
    }
}

/// The name of the call that this is a reply to.
pub(super) fn call_name(reply: &Reply) -> &'static str {
    reply.call.map_or(UNKNOWN_CALL, CallKind::name)
}

/// The name of what the call came to.
pub(super) fn outcome_name(reply: &Reply) -> &'static str {
    let fault = reply.content.as_ref().err();
    fault.map_or(ANSWERED, |fault| fault.code.name())
}
