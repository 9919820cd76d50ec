//! Whether any job is wanted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Bridge;

/// Says from memory whether jobs can be stored and run.
pub type IsAble = Arc<dyn Fn() -> bool + Send + Sync>;

/// What decides how many jobs are wanted.
pub(super) struct Demand {
    /// Set once, when the daemon begins to stop: no job is wanted any more.
    draining: AtomicBool,
    /// Set while an operator has the daemon drained.
    drained: Arc<AtomicBool>,
    is_able: IsAble,
}

impl Default for Demand {
    fn default() -> Self {
        Self {
            draining: AtomicBool::default(),
            drained: Arc::default(),
            is_able: Arc::new(|| true),
        }
    }
}

impl Bridge {
    /// As long as this is set, no job is wanted.
    #[must_use]
    pub fn drained_by(mut self, drained: Arc<AtomicBool>) -> Self {
        self.demand.drained = drained;
        self
    }

    /// As long as this is false, `wanted_when_unable` jobs are wanted.
    #[must_use]
    pub fn able_while(mut self, is_able: IsAble) -> Self {
        self.demand.is_able = is_able;
        self
    }

    /// From now on no job is wanted.
    pub fn drain(&self) {
        self.demand.draining.store(true, Ordering::Relaxed);
    }

    /// What numJobsWanted is answered: 0 while draining.
    #[must_use]
    pub fn jobs_wanted(&self) -> u32 {
        let set = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        if set(&self.demand.draining) || set(&self.demand.drained) {
            return 0;
        }
        let settings = self.settings();
        match settings.wanted_when_unable {
            Some(number) if !(self.demand.is_able)() => number,
            _ => settings.jobs_wanted,
        }
    }
}
