//! Whether any job is wanted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Bridge;

impl Bridge {
    /// As long as this is set, no job is wanted.
    #[must_use]
    pub fn drained_by(mut self, drained: Arc<AtomicBool>) -> Self {
        self.drained = drained;
        self
    }

    /// From now on no job is wanted.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// What numJobsWanted is answered: 0 while draining.
    #[must_use]
    pub fn jobs_wanted(&self) -> u32 {
        let set = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        if set(&self.draining) || set(&self.drained) {
            0
        } else {
            self.settings().jobs_wanted
        }
    }
}
