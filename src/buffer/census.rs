//! How many jobs there are.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::job::State;

/// What every store is asked; `NULL` in the second: nothing is ready.
pub(super) const COUNT_BY_STATE: &str = "SELECT state, COUNT(*) FROM jobs GROUP BY state";
pub(super) const OLDEST_READY: &str = "SELECT MIN(since) FROM jobs WHERE state = 'ready'";

/// How many jobs are in each state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    /// By the state's name; every name is there.
    pub jobs: BTreeMap<&'static str, u64>,
    /// Those whose state cannot be read.
    pub unreadable: u64,
    /// Since when the ready job that waits longest is ready.
    pub oldest_ready: Option<Timestamp>,
}

impl Census {
    /// From what [`COUNT_BY_STATE`] and [`OLDEST_READY`] gave.
    pub(super) fn new(counts: Vec<(Vec<u8>, i64)>, oldest_ready: Option<i64>) -> Self {
        let names = State::ALL.iter().map(|state| (state.name(), 0));
        let mut census = Self {
            jobs: names.collect(),
            unreadable: 0,
            oldest_ready: oldest_ready.and_then(|since| Timestamp::from_microsecond(since).ok()),
        };
        for (name, count) in counts {
            let known = census
                .jobs
                .iter_mut()
                .find(|(known, _)| known.as_bytes() == name);
            let place = known.map_or(&mut census.unreadable, |(_, place)| place);
            *place += count.unsigned_abs();
        }
        census
    }

    /// How many jobs are in the states of these names.
    #[must_use]
    pub fn count(&self, names: &[&str]) -> u64 {
        let counts = names.iter().filter_map(|name| self.jobs.get(name));
        counts.sum()
    }
}
