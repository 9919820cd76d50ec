//! What conductors ask of a store.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{BufferError, OpenBreaker};
use crate::job::{
    Event, Fence, JobKey, Limits, Owner, Progress, RecordId, RunReport, State, Step, StoreId, Token,
};

/// The store as conductors see it. All changes carry a fencing token; one that is stale changes
/// nothing. Repeating a change whose outcome is in doubt is harmless.
#[async_trait]
pub trait Claims: Send + Sync {
    /// Gives ready and due jobs to a holder: higher priority first, then older first. Their token
    /// grows by one. Scheduled jobs whose time has come are made ready before.
    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claimed>, BufferError>;

    /// Makes changes, all in one transaction and in order; one answer for each. A record may have
    /// several.
    async fn advance(&self, request: AdvanceRequest) -> Result<Vec<Advanced>, BufferError>;

    /// Shows that the claims' holder lives; one answer for each, in order.
    async fn renew(&self, claims: &[(RecordId, Token)]) -> Result<Vec<Renewed>, BufferError>;

    /// Keeps what a run says of itself; `false`: its claim is not the latest any more. Beyond
    /// [`MAX_EVENTS`] of a record, events of runs are dropped with one last warning.
    async fn report(&self, report: ProgressReport) -> Result<bool, BufferError>;

    /// Notes the lengths that a holder lives by, before it claims or adopts anything. While it
    /// holds claims each length only grows: a run may have been told of the longer one.
    async fn promise(&self, holder: &Holder, leases: Leases) -> Result<(), BufferError>;

    /// Notes that the circuit breaker of this holder's runner is open, or, with `None`, that it is
    /// not, for people who ask why jobs wait.
    async fn note_breaker(
        &self,
        holder: &Holder,
        open: Option<&OpenBreaker>,
    ) -> Result<(), BufferError>;

    /// Shows that a process conducts under its holder's name; what is there instead, where that is no
    /// mark that it may replace. A store of one daemon says `None` to every process.
    async fn appear(&self, presence: &Presence) -> Result<Option<Seen>, BufferError>;

    /// Which store this is.
    async fn store_id(&self) -> Result<StoreId, BufferError>;

    /// Which of these records were purged: nothing is kept of their jobs but a key at most.
    async fn purged(&self, records: &[RecordId]) -> Result<Vec<RecordId>, BufferError>;

    /// Every claim that is held, by anybody.
    async fn leases(&self) -> Result<Vec<Lease>, BufferError>;

    /// What a holder must know soon, in one cheap question: wishes to kill its jobs, claims that
    /// are its no more, and whether `daemon` shall drain.
    async fn orders(
        &self,
        holder: &Holder,
        daemon: &str,
        claims: &[(RecordId, Token)],
    ) -> Result<Orders, BufferError>;
}

/// At most so many events are kept of one record's runs' own words.
pub const MAX_EVENTS: u32 = 1000;

/// Who holds claims: one working folder's conductor, whichever process it is at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder(String);

impl Holder {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// `None`: the name is empty or too long.
    #[must_use]
    pub fn new(name: String) -> Option<Self> {
        (!name.is_empty() && name.len() <= Self::MAX_BYTES).then_some(Self(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What [`Claims::appear`] takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Under whose name it conducts.
    pub holder: Holder,
    /// What is to be there now.
    pub seen: Seen,
    /// The marks that this may replace.
    pub over: [i64; 2],
}

/// A process that conducts, as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Another one each time.
    pub mark: i64,
    /// The folder of its runs; empty where it does not say.
    pub folder: String,
    /// Its daemon's name, for people.
    pub daemon: String,
}

/// What [`Claims::claim`] takes.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// Who will hold them.
    pub holder: Holder,
    /// No more than these.
    pub most: u32,
    /// Not this one, though it is ready.
    pub pass_over: Option<RecordId>,
    /// What is due by now is ready.
    pub now: Timestamp,
}

/// A job that was claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Its record.
    pub id: RecordId,
    /// The claim.
    pub token: Token,
    /// Whose job it is.
    pub owner: Owner,
    /// Its owner's name for it.
    pub key: JobKey,
    /// How many runs failed before.
    pub runs: u32,
    /// The job's XML, as it came.
    pub payload: String,
}

/// What [`Claims::advance`] takes.
#[derive(Clone, Debug)]
pub struct AdvanceRequest {
    /// In order.
    pub changes: Vec<Change>,
    /// How often a job is tried.
    pub limits: Limits,
    /// When it happens.
    pub now: Timestamp,
}

/// What the holder of a claim, or who rescues it, says of the job.
#[derive(Clone, Debug)]
pub struct Change {
    /// The record.
    pub id: RecordId,
    /// Who says so.
    pub fence: Fence,
    /// What is said.
    pub step: Step,
    /// In 0..1, spreads the waits.
    pub dice: f64,
    /// Why, where there is more to say than the step; becomes the job's reason and its event's text.
    pub reason: Option<String>,
    /// What the run left behind.
    pub report: Option<RunReport>,
}

/// What came of a [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advanced {
    /// The job is in this state now.
    Done(State),
    /// The claim is not the latest, or has ended; the job is in this state.
    Stale(State),
    /// There is no such record, or its row cannot be read.
    Missing,
    /// Somebody else has its row locked. Nothing changed; it may be said again.
    Busy,
}

/// What came of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The claim holds.
    Held,
    /// It is not the latest, or has ended.
    Lost,
    /// Somebody else has its row locked; it is not renewed now.
    Busy,
}

/// What [`Claims::report`] takes.
#[derive(Clone, Debug)]
pub struct ProgressReport {
    /// The record.
    pub id: RecordId,
    /// The claim.
    pub token: Token,
    /// The latest, if there is news of it.
    pub progress: Option<Progress>,
    /// In order.
    pub events: Vec<Event>,
}

/// A claim that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The record.
    pub id: RecordId,
    /// The claim.
    pub token: Token,
    /// How often it was renewed.
    pub renewal: u64,
    /// Claimed or running.
    pub state: State,
    /// Who holds it.
    pub holder: Holder,
    /// The lengths that its holder lives by; `None`: it has not noted any.
    pub promised: Option<Leases>,
}

/// How long a claim lasts that is not renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leases {
    /// Before its run has started.
    pub claimed: Duration,
    /// Once it runs.
    pub running: Duration,
    /// How much longer a rescuer waits: what it takes to end a run, and some more.
    pub grace: Duration,
}

impl Leases {
    /// Of each length the longer one.
    #[must_use]
    pub fn longer(self, other: Self) -> Self {
        Self {
            claimed: self.claimed.max(other.claimed),
            running: self.running.max(other.running),
            grace: self.grace.max(other.grace),
        }
    }
}

/// What [`Claims::orders`] answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// Held claims whose job somebody wished killed.
    pub kill: Vec<RecordId>,
    /// Asked claims that are not the latest, or have ended.
    pub lost: Vec<(RecordId, Token)>,
    /// Whether nothing new shall be claimed.
    pub drain: bool,
}
