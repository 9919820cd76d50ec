//! What the gate tells of the store behind it.

use std::time::Duration;

use super::{BufferError, Stored};
use crate::job::Owner;
use crate::vitals::{Count, Pulse, Tally, Times};

/// The store is looked after at least so often.
const LIMIT: Duration = Duration::from_secs(30);

/// What the gate tells of the store behind it.
#[derive(Debug)]
pub struct Vitals {
    /// Of the loop that looks after the store.
    pub pulse: Pulse,
    /// How long questions took, also those that failed.
    pub times: Times,
    /// Questions that failed.
    pub errors: Errors,
    /// Jobs that were handed in, by their owner and what became of them.
    pub received: Tally<(Owner, &'static str)>,
}

/// Questions that failed, by why.
#[derive(Debug, Default)]
pub struct Errors {
    /// No answer in time.
    pub late: Count,
    /// See [`BufferError::Unreachable`]
    pub unreachable: Count,
    /// See [`BufferError::Conflict`]
    pub conflict: Count,
    /// See [`BufferError::Full`]
    pub full: Count,
    /// See [`BufferError::ReadOnly`]
    pub read_only: Count,
    /// See [`BufferError::Corrupt`]
    pub corrupt: Count,
}

impl Default for Vitals {
    fn default() -> Self {
        Self {
            pulse: Pulse::new("housekeeping", LIMIT),
            times: Times::default(),
            errors: Errors::default(),
            received: Tally::default(),
        }
    }
}

impl Vitals {
    /// Counts a request that was stored.
    pub(super) fn count_received(&self, owner: &Owner, stored: &[Stored], refused: usize) {
        let count = |outcome, is_it: fn(&Stored) -> bool| {
            let number = stored.iter().filter(|stored| is_it(stored)).count();
            (outcome, number)
        };
        let outcomes = [
            count("stored", |stored| matches!(stored, Stored::New(_))),
            count("duplicate", |stored| matches!(stored, Stored::Duplicate(_))),
            count("conflict", |stored| matches!(stored, Stored::Conflict)),
            ("refused", refused),
        ];
        for (outcome, number) in outcomes {
            let number = u64::try_from(number).unwrap_or(u64::MAX);
            self.received.add((owner.clone(), outcome), number);
        }
    }
}

impl Errors {
    /// Each with its name.
    #[must_use]
    pub fn all(&self) -> [(&'static str, &Count); 6] {
        [
            ("late", &self.late),
            ("unreachable", &self.unreachable),
            ("conflict", &self.conflict),
            ("full", &self.full),
            ("read_only", &self.read_only),
            ("corrupt", &self.corrupt),
        ]
    }

    /// That a request came too late is no failure of the store.
    pub(super) fn count(&self, error: &BufferError) {
        match error {
            BufferError::Unreachable(_) => self.unreachable.add_one(),
            BufferError::Conflict(_) => self.conflict.add_one(),
            BufferError::Full(_) => self.full.add_one(),
            BufferError::ReadOnly(_) => self.read_only.add_one(),
            BufferError::Corrupt(_) => self.corrupt.add_one(),
            BufferError::Stale | BufferError::Restored => {}
        }
    }
}
