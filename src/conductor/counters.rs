//! What happened so far, for metrics.

use crate::job::State;
use crate::vitals::{Count, Level};

/// What happened so far, and what is in hand.
#[derive(Debug, Default)]
pub struct Counters {
    /// Claims made.
    pub claimed: Count,
    /// Runs whose start was committed.
    pub started: Count,
    /// Outcomes committed.
    pub settled: Count,
    /// The same by outcome.
    pub outcomes: Outcomes,
    /// Claims given back.
    pub given_back: Count,
    /// Starts that came to nothing for a fault of the host.
    pub host_faults: Count,
    /// Own claims abandoned.
    pub abandoned: Count,
    /// Others' claims that had lapsed and were abandoned for them.
    pub rescued: Count,
    /// Outcomes that came under a claim that had ended, and changed nothing.
    pub stale: Count,
    /// Runs of an earlier process that were found again.
    pub adopted: Count,
    /// Questions that the store did not answer.
    pub store_away: Count,
    /// Questions that the runner did not answer, or answered with an error.
    pub runner_away: Count,
    /// Living runs that were ended, for somebody else had their job, or had it ended.
    pub lost: Count,
    /// Runs that a bug of ours failed.
    pub panics: Count,
    /// 1 while another process conducts under our holder's name, and so this one does not.
    pub crowded: Level,
    /// 1 while this process conducts.
    pub conducting: Level,
    /// Jobs at a time.
    pub slots: Level,
    /// Slots that are taken.
    pub busy_slots: Level,
    /// Living runs whose folder is gone, so that what becomes of them will not be known.
    pub vanished: Level,
    /// Those of runs that should have ended, and live.
    pub unending: Level,
    /// Folders that are kept of forgotten runs.
    pub kept: Level,
    /// What they take on disk, in bytes.
    pub kept_bytes: Level,
}

/// Outcomes committed, by what they made of the job.
#[derive(Debug, Default)]
pub struct Outcomes {
    /// It ended well.
    pub succeeded: Count,
    /// It failed for good.
    pub failed: Count,
    /// It failed, and is run again later.
    pub retried: Count,
    /// It took too long.
    pub timed_out: Count,
    /// Its supervisor, or an operator, did not want it any more.
    pub cancelled: Count,
    /// It could not be run, and waits for an operator.
    pub trashed: Count,
    /// It waits to be run again, for its claim was abandoned.
    pub abandoned: Count,
}

impl Outcomes {
    /// Each with its name.
    #[must_use]
    pub fn all(&self) -> [(&'static str, &Count); 7] {
        [
            ("succeeded", &self.succeeded),
            ("failed", &self.failed),
            ("retried", &self.retried),
            ("timed_out", &self.timed_out),
            ("cancelled", &self.cancelled),
            ("trashed", &self.trashed),
            ("abandoned", &self.abandoned),
        ]
    }

    /// An outcome brought a job to this state.
    pub(super) fn count(&self, state: State) {
        match state {
            State::Succeeded => self.succeeded.add_one(),
            State::Failed => self.failed.add_one(),
            State::Scheduled => self.retried.add_one(),
            State::TimedOut => self.timed_out.add_one(),
            State::Cancelled => self.cancelled.add_one(),
            State::Trashed => self.trashed.add_one(),
            State::Ready => self.abandoned.add_one(),
            State::Waiting | State::Claimed | State::Running | State::Held(_) => {}
        }
    }
}
