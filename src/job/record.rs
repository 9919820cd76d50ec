//! A job in the buffer, its events, and what was refused.

use jiff::Timestamp;

use super::{
    Attempt, ContentHash, JobId, JobKey, Owner, Progress, RecordId, RunReport, State, Token,
};

/// The task buffer's row for one job attempt, without its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number, never reused.
    pub id: RecordId,
    /// Who may see it.
    pub owner: Owner,
    /// The supervisor's name for it.
    pub key: JobKey,
    /// Where it stands.
    pub state: State,
    /// Higher goes first.
    pub priority: i32,
    /// What it is compared by when it is sent again.
    pub content: ContentHash,
    /// Why it is not running, where there is more to say than its state.
    pub reason: Option<String>,
    /// When it was stored.
    pub accepted_at: Timestamp,
    /// When it entered its state.
    pub since: Timestamp,
    /// When somebody wished it killed.
    pub kill_requested_at: Option<Timestamp>,
    /// Not claimed before this; `None`: it is due. Kept while it is held.
    pub due_at: Option<Timestamp>,
    /// The latest claim.
    pub token: Token,
    /// Who holds that claim, while it is claimed or running.
    pub holder: Option<String>,
    /// How many of its runs failed.
    pub runs: u32,
    /// How many of its claims were abandoned.
    pub abandons: u32,
    /// When the latest claim's run was known to have started.
    pub started_at: Option<Timestamp>,
    /// How far that run has come.
    pub progress: Option<Progress>,
    /// Whether its supervisor may know its final word.
    pub told: bool,
    /// What its latest run left behind.
    pub result: Option<Box<RunReport>>,
}

/// One line of a record's history; append-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it happened.
    pub at: Timestamp,
    /// How grave it is.
    pub level: Level,
    /// A short word for programs.
    pub code: String,
    /// A sentence for people.
    pub text: String,
}

/// How grave an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What is meant to happen.
    Event,
    /// What somebody may want to look at.
    Warning,
    /// What went wrong.
    Error,
}

/// A job that was not stored, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The supervisor's name for it.
    pub job_id: JobId,
    /// The supervisor's try at it.
    pub attempt: Attempt,
    /// A short word for programs, for instance `missing-field`.
    pub code: String,
    /// A sentence for people.
    pub text: String,
}
