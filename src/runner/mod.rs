//! Runners: each knows one way to run a job. All that is asked and answered is plain data, so that
//! a runner can live in another process: behind a [`socket`], where a [`remote`] one reaches it.

pub mod cgroup;
mod fault;
pub mod process;
pub mod remote;
pub mod socket;
pub mod wrapper;

use std::time::Duration;

use async_trait::async_trait;

use crate::job::{Event, Progress, RecordId, RunKey, RunOrder, RunReport, StoreId};

/// One way to run jobs. A run is named by its key; every question about it may be repeated.
#[async_trait]
pub trait Runner: Send + Sync {
    /// Takes the runs of this store and, from then on, of no other one, for keys are names within
    /// one store. Asked before anything else.
    ///
    /// `Permanent`: it has those of another store.
    async fn serve(&self, store: &StoreId) -> Result<(), RunError>;

    /// Whether it can be asked at all just now. While it cannot, nobody should claim jobs for it.
    fn is_there(&self) -> bool {
        true
    }

    /// Whether the host is fit to run jobs: the folders of programs are there and hold something,
    /// and runs can be written down. Cheap, and changes nothing.
    ///
    /// `Host`: it is not.
    async fn ready(&self) -> Result<(), RunError>;

    /// Starts a run, unless one of its key was started before; returns once its program runs, or
    /// has ended already.
    ///
    /// `InDoubt`: look it up. Any other error: nothing runs.
    async fn start(&self, order: &RunOrder) -> Result<(), RunError>;

    /// Where a run stands.
    async fn look_up(&self, run: RunKey) -> Result<RunState, RunError>;

    /// Returns once nothing of the run lives any more; at once if nothing ever did.
    async fn ended(&self, run: RunKey) -> Result<(), RunError>;

    /// Puts off the end of a run's lease; `None`: it has none any more.
    async fn renew(&self, run: RunKey, lease_until: Option<Duration>) -> Result<(), RunError>;

    /// Has a run ended: asked first, and made after the grace time. Returns before it has ended.
    async fn stop(&self, run: RunKey) -> Result<(), RunError>;

    /// What an ended run left behind; `Verdict::Lost` where it vanished.
    async fn collect(&self, run: RunKey) -> Result<RunReport, RunError>;

    /// What the run has said since `heard`, which the caller has kept for good by now; `None`: since
    /// what was kept last. Once nothing of it lives and `heard` does not change any more, that was
    /// all.
    async fn news(&self, run: RunKey, heard: Option<Heard>) -> Result<News, RunError>;

    /// Every run that was not forgotten, alive or ended, also of a time before a restart.
    async fn runs(&self) -> Result<Vec<RunKey>, RunError>;

    /// Drops what is kept of an ended run; its outcome is stored by now. `failed`: somebody may
    /// want to look at what it left.
    async fn forget(&self, run: RunKey, failed: bool) -> Result<(), RunError>;

    /// Removes what is still kept of forgotten runs of these records, and what is kept beyond the
    /// configured limits, the runs that ended first before the others. Answers what is left.
    async fn tend_kept(&self, _purged: &[RecordId]) -> Result<Kept, RunError> {
        Ok(Kept::default())
    }
}

/// What is kept of forgotten runs, for people to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Of which runs, in order.
    pub runs: Vec<RunKey>,
    /// What it takes on disk.
    pub bytes: u64,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Something of it lives.
    Alive,
    /// It was started, and nothing of it lives.
    Ended,
    /// Nothing of it was ever started, and nothing will be.
    NeverStarted,
    /// Nothing of it lives; what would tell whether it was started is missing.
    Gone,
}

/// What a run's program says of itself while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The latest.
    pub progress: Option<Progress>,
    /// In order; at most [`MAX_RUN_EVENTS`] of a run, and one that says how many are left out.
    pub events: Vec<Event>,
    /// Where the next news begin.
    pub heard: Heard,
}

/// So many events of one run are told; of the others, how many they are.
pub const MAX_RUN_EVENTS: usize = 100;

/// How far it was heard what a run says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// So much of its file, in bytes.
    pub position: u64,
    /// So many of its events were told.
    pub told: usize,
    /// So many were left out, which nothing has told of yet.
    pub left_out: u64,
}

/// What a runner could not do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RunError {
    /// The runner was not there to be asked, or too late. That is no fault of the job's.
    #[error("the runner is away: {0}")]
    Away(String),
    /// The machine is not fit for it. That is no fault of the job's either.
    #[error("the host cannot run jobs now: {0}")]
    Host(String),
    /// It may go better later.
    #[error("the runner cannot do it now: {0}")]
    Transient(String),
    /// It never will.
    #[error("the job cannot be run: {0}")]
    Permanent(String),
    /// It may have been done: look it up, never repeat blindly.
    #[error("the runner may have done it: {0}")]
    InDoubt(String),
}
