//! What operators change in a store.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{BufferError, Lookup, OpenBreaker, TaskBuffer};
use crate::job::{Action, Declined, Effect, RecordId};

/// The store as operators' commands see it, beside a running daemon or without one.
#[async_trait]
pub trait Operations: TaskBuffer {
    /// Does one thing to each record, in one transaction; one answer for each, in order. Rerun
    /// and restore set both counters to zero and drop the former result and wish to kill.
    async fn operate(
        &self,
        operation: Operation,
    ) -> Result<Vec<Lookup<Result<Effect, Declined>>>, BufferError>;

    /// Whether a daemon, by its full JID, claims nothing new; `None`: every daemon of this store.
    async fn set_drain(&self, drain: Drain) -> Result<(), BufferError>;

    /// Who drains, and why; and whose drain was ended, by whom and why.
    async fn drains(&self) -> Result<Vec<Drain>, BufferError>;

    /// The runners that start no jobs, for their host is not fit for them.
    async fn breakers(&self) -> Result<Vec<OpenBreaker>, BufferError>;

    /// Drops payload, outputs and events of one lot of records that ended long ago; their keys,
    /// hashes, record IDs and final words stay. Answers how many; 0: there are no more.
    async fn purge(&self, purge: &Purge) -> Result<u64, BufferError>;

    /// How many records a purge would be for.
    async fn count_purgeable(&self, purge: &Purge) -> Result<u64, BufferError>;

    /// Goes through one lot of the records after this one, the oldest first, for those whose keys
    /// are needed no more: they ended long ago, and their supervisor was told.
    async fn old_keys(
        &self,
        purge: &Purge,
        after: Option<RecordId>,
    ) -> Result<OldKeys, BufferError>;

    /// Drops all there is of those among these records whose keys are needed no more. Answers how
    /// many.
    async fn drop_keys(&self, purge: &Purge, records: &[RecordId]) -> Result<u64, BufferError>;
}

/// What [`Operations::operate`] takes.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Which records.
    pub records: Vec<RecordId>,
    /// What is done to each.
    pub action: Action,
    /// Although the supervisor knows its final word, or somebody holds it.
    pub force: bool,
    /// By whom and why; kept with the record.
    pub note: Note,
    /// When.
    pub now: Timestamp,
}

/// By whom and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The operator.
    pub who: String,
    /// In the operator's words.
    pub reason: Option<String>,
}

/// What [`Operations::set_drain`] takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Its full JID; `None`: every daemon of the store.
    pub daemon: Option<String>,
    /// Whether it drains, or works again.
    pub on: bool,
    /// By whom and why.
    pub note: Note,
    /// Since when.
    pub since: Timestamp,
}

/// What [`Operations::purge`] and [`Operations::old_keys`] take.
#[derive(Clone, Debug)]
pub struct Purge {
    /// Names of final states; empty: all of them.
    pub states: Vec<&'static str>,
    /// What ended before this.
    pub before: Timestamp,
    /// Records in one transaction.
    pub lot: u32,
}

/// What [`Operations::old_keys`] answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldKeys {
    /// Whose keys are needed no more.
    pub records: Vec<RecordId>,
    /// The last one that was looked at; `None`: what follows is all younger.
    pub next: Option<RecordId>,
}
