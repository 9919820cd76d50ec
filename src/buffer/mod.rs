//! The task buffer: the durable store of records, behind one wide, boring trait.
//!
//! A look-up has three outcomes, kept apart by type: found, absent, unreachable. To take one for
//! another makes a job run twice.

mod breakers;
mod census;
mod changes;
mod claiming;
mod claims;
mod gate;
mod generation;
mod health;
mod migrate;
mod mysql;
mod notices;
mod open;
mod operating;
mod operations;
mod owners;
mod pending;
mod result_row;
mod row;
mod settling;
mod sqlite;
mod url;
mod vitals;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::job::{
    Attempt, ContentHash, Event, JobId, JobKey, Owner, Record, RecordId, Refusal, State,
};

pub use breakers::OpenBreaker;
pub use census::Census;
pub use claims::{
    AdvanceRequest, Advanced, Change, ClaimRequest, Claimed, Claims, Holder, Lease, Leases,
    MAX_EVENTS, Orders, Presence, ProgressReport, Renewed, Seen,
};
pub use gate::Gate;
pub use generation::Restored;
pub use migrate::Step;
pub use mysql::MysqlBuffer;
pub use notices::{AnsweredWord, Notice, Notices, TakeNotices};
pub use open::{
    OpenError, Options, accept_restored, migrate, open, open_for_operating, open_for_reading, plan,
    restored, steps, store_time, store_version,
};
pub use operations::{Drain, Note, OldKeys, Operation, Operations, Purge};
pub use owners::{Owed, Owners, Peer};
pub use sqlite::SqliteBuffer;
pub use url::{InvalidUrl, MysqlServer, MysqlUrl, StoreUrl};
pub use vitals::{Errors, Vitals};

/// The durable store of records. Each method is one question; each is answered for one owner,
/// whose records alone it sees, unless it is an operator's.
#[async_trait]
pub trait TaskBuffer: Send + Sync {
    /// Stores a request's good jobs and its refusals in one transaction; the answer has one entry
    /// for each job, in order, and comes after the commit.
    ///
    /// `Err(Stale)`: a key of the request was answered `rejected` at or after `sent_at`, or may have
    /// been and is forgotten, and not every one has a record; nothing is stored. Any other error:
    /// nothing is known to be stored.
    async fn store(&self, request: StoreRequest) -> Result<Vec<Stored>, BufferError>;

    /// What is kept of jobs that were stored under these keys; one entry for each, in order. `None`
    /// says nothing: there may be a record all the same.
    async fn recall(
        &self,
        owner: &Owner,
        keys: &[JobKey],
    ) -> Result<Vec<Option<KeptJob>>, BufferError>;

    /// Looks jobs up by the supervisor's names; one entry for each, in order.
    async fn find_jobs(
        &self,
        owner: &Owner,
        jobs: &[(JobId, Option<Attempt>)],
    ) -> Result<Vec<Lookup<KnownJob>>, BufferError>;

    /// Looks records up; a record ID that belongs to another job ID is absent. One entry for
    /// each, in order.
    async fn find_records(
        &self,
        owner: &Owner,
        records: &[(JobId, RecordId)],
    ) -> Result<Vec<Lookup<Record>>, BufferError>;

    /// Remembers, durably, that these keys are about to be answered `rejected` at `at` (an
    /// attempt of `None` stands for all), and forgets what was remembered before `forget_before`. A
    /// request that was sent before what was forgotten is stale from then on.
    ///
    /// One entry for each, in order: whether there is still no record of it, nor one about to be
    /// stored. Where it is `false` and the name was looked up, somebody was quicker since the
    /// look-up: `rejected` would be wrong. [`BufferError::Restored`] where an older copy of the store
    /// was accepted after `forget_before`.
    async fn remember_rejected(
        &self,
        owner: &Owner,
        jobs: &[(JobId, Option<Attempt>)],
        at: Timestamp,
        forget_before: Timestamp,
    ) -> Result<Vec<bool>, BufferError>;

    /// Records the wish to kill, and cancels at once what nobody holds; one entry for each, in
    /// order. Repeating it is harmless. A record whose final word is answered counts as told.
    async fn kill(
        &self,
        owner: &Owner,
        records: &[(JobId, RecordId)],
        at: Timestamp,
    ) -> Result<Vec<Lookup<Kill>>, BufferError>;

    /// Remembers that the supervisor is about to hear these final words; one entry for each, in
    /// order: whether the record is still in this state. Where it is not (a rerun was quicker),
    /// the word would be wrong.
    async fn mark_told(
        &self,
        owner: &Owner,
        records: &[(RecordId, State)],
    ) -> Result<Vec<bool>, BufferError>;

    /// For operators: records of any owner, newest first.
    async fn list(&self, filter: &ListFilter) -> Result<Vec<Record>, BufferError>;

    /// For operators: everything about one record.
    async fn show(&self, id: RecordId) -> Result<Lookup<Dossier>, BufferError>;

    /// The owners that have unfinished jobs, and how many each.
    async fn unfinished_owners(&self) -> Result<Vec<(Owner, u64)>, BufferError>;

    /// How many jobs are in each state. One walk over an index: not for every question.
    async fn census(&self) -> Result<Census, BufferError>;

    /// Whether the store answers at all.
    async fn ping(&self) -> Result<(), BufferError>;

    /// Whether the store takes writes: by one that changes nothing that a question could find, or,
    /// unless `by_write`, by a look where that is cheaper.
    async fn try_write(&self, by_write: bool) -> Result<(), BufferError>;

    /// How large the file is that the store writes before its database, in bytes; from memory.
    fn log_bytes(&self) -> Option<u64> {
        None
    }
}

/// All that a store is asked.
pub trait Store: TaskBuffer + Claims + Notices + Owners {}

impl<T: TaskBuffer + Claims + Notices + Owners> Store for T {}

/// What a look-up found out. There is no fourth outcome and no default.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Lookup<T> {
    /// I looked: here it is.
    Found(T),
    /// I looked: it is not there.
    Absent,
    /// I could not look: the row cannot be read, or a commit that would store it is in doubt.
    Unreachable,
}

impl<T> Lookup<T> {
    /// Whether I looked and it is not there.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// What [`TaskBuffer::store`] takes.
#[derive(Clone, Debug)]
pub struct StoreRequest {
    /// Whose jobs these are.
    pub owner: Owner,
    /// The good jobs; no key twice.
    pub jobs: Vec<NewJob>,
    /// The others, as far as they have a name.
    pub refusals: Vec<Refusal>,
    /// When the supervisor sent it, or before; the end of time where nothing can have held it up.
    pub sent_at: Timestamp,
    /// Until then no answer is taken to have overtaken it.
    pub prompt_until: Option<Instant>,
    /// What the new records say of when they were accepted.
    pub now: Timestamp,
}

impl StoreRequest {
    /// Whether an answer may have overtaken it, by now.
    pub(crate) fn was_delayed(&self) -> bool {
        let is_prompt = |until: Instant| Instant::now() < until;
        self.sent_at < Timestamp::MAX && !self.prompt_until.is_some_and(is_prompt)
    }
}

/// A job to be stored.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// The supervisor's name for it.
    pub key: JobKey,
    /// What it is compared by.
    pub content: ContentHash,
    /// Higher goes first.
    pub priority: i32,
    /// The state it begins in.
    pub state: State,
    /// The job's XML, as it came.
    pub payload: String,
}

/// What [`TaskBuffer::recall`] gives: what came in with a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptJob {
    /// What it is compared by.
    pub content: ContentHash,
    /// Higher goes first.
    pub priority: i32,
    /// The job's XML, as it came.
    pub payload: String,
}

/// What became of one job of a [`StoreRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is there now.
    New(RecordId),
    /// It was there, with the same content.
    Duplicate(RecordId),
    /// Another content is there under its key.
    Conflict,
}

/// What is known of a job by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownJob {
    /// There is a record.
    Accepted {
        /// The record.
        id: RecordId,
        /// The attempt that it is of: the asked one, else the latest.
        attempt: Attempt,
    },
    /// There is none; the job was refused, last for this reason.
    Refused(Refusal),
}

/// What came of a wish to kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// Nobody held it, and it is cancelled now.
    Killed,
    /// Somebody holds it and will end it; this is its state for now.
    Requested(State),
    /// It had ended before, in this state.
    AlreadyFinished(State),
}

/// Which records [`TaskBuffer::list`] gives.
#[derive(Clone, Debug)]
pub struct ListFilter {
    /// Only this owner's.
    pub owner: Option<Owner>,
    /// Only this job's.
    pub job_id: Option<JobId>,
    /// Only those in a state of this name.
    pub state: Option<String>,
    /// Only those accepted at or after this.
    pub since: Option<Timestamp>,
    /// At most so many.
    pub limit: u32,
}

/// Everything about one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dossier {
    /// The record.
    pub record: Record,
    /// The job's XML; `None` after a purge.
    pub payload: Option<String>,
    /// Its history, oldest first.
    pub events: Vec<Event>,
}

/// What the store could not do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BufferError {
    /// It could not be asked, or did not answer in time.
    #[error("the store cannot be reached: {0}")]
    Unreachable(String),
    /// Somebody else was quicker, and what was asked makes no sense any more.
    #[error("another writer came first: {0}")]
    Conflict(String),
    /// What was asked is older than what was answered since.
    #[error("a job of this request was, or may have been, rejected after the request was sent")]
    Stale,
    /// It was restored from a copy not long ago: what is absent may have been there.
    #[error("the store was restored from an older copy, and may lack what was answered since")]
    Restored,
    /// There is no room left.
    #[error("the store is full: {0}")]
    Full(String),
    /// It answers, and refused to write: nothing was changed.
    #[error("the store takes no writes: {0}")]
    ReadOnly(String),
    /// It answered with what cannot be read.
    #[error("the store holds what cannot be read: {0}")]
    Corrupt(String),
}
