//! What happened so far, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers that only grow.
#[derive(Debug, Default)]
pub struct Counters {
    /// Claims made.
    pub claimed: Count,
    /// Runs whose start was committed.
    pub started: Count,
    /// Outcomes committed.
    pub settled: Count,
    /// Claims given back.
    pub given_back: Count,
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
    /// Runs that a bug of ours failed.
    pub panics: Count,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// The number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
