//! When the runner ends a run itself: a program may stop its wrapper, or mislead it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::wrapper::{Cause, Start, since_boot};
use super::Settings;
use crate::job::RunKey;

/// How much longer a wrapper may take for what it does by its own clock, on a busy machine.
const MARGIN: Duration = Duration::from_secs(15);
/// What is killed is gone after so long, or it does not end.
const GONE_AFTER: Duration = Duration::from_secs(10);

/// When the living runs must have ended, all since boot.
#[derive(Default)]
pub(super) struct Deadlines(Mutex<HashMap<RunKey, Deadline>>);

/// When a run must have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deadline {
    by: Duration,
    /// Why.
    pub cause: Cause,
    /// How long its program may take to end when it is asked to.
    grace: Duration,
    /// When the runner began to end it.
    pub begun: Option<Duration>,
}

impl Deadlines {
    /// A run started at `start`, and has a wrapper with these limits.
    fn begin(&self, run: RunKey, start: Duration, timeout: Duration, grace: Duration) {
        let deadline = Deadline {
            by: start.saturating_add(timeout).saturating_add(grace + MARGIN),
            cause: Cause::WallTimeUnheeded,
            grace,
            begun: None,
        };
        self.all().entry(run).or_insert(deadline);
    }

    /// A run was found that started so, as far as that is known; else it started just now.
    pub fn find(&self, run: RunKey, start: Option<&Start>, settings: &Settings) {
        let since = start.map_or_else(since_boot, |start| start.since_boot);
        let timeout = start.and_then(|start| start.timeout);
        let grace = start.and_then(|start| start.grace);
        let timeout = timeout.unwrap_or(settings.timeout);
        self.begin(run, since, timeout, grace.unwrap_or(settings.grace));
    }

    /// A run was told to stop. `grace`: where it is not known.
    pub fn stop(&self, run: RunKey, now: Duration, grace: Duration) {
        let mut all = self.all();
        let grace = all.get(&run).map_or(grace, |deadline| deadline.grace);
        let stop = Deadline {
            by: now + grace + MARGIN,
            cause: Cause::StopUnheeded,
            grace,
            begun: None,
        };
        let deadline = all.entry(run).or_insert(stop);
        if stop.by < deadline.by {
            *deadline = stop;
        }
    }

    /// The deadline of a run, if it is over.
    pub fn passed(&self, run: RunKey, now: Duration) -> Option<Deadline> {
        let all = self.all();
        let deadline = all.get(&run).copied();
        deadline.filter(|deadline| deadline.by <= now)
    }

    /// The runner ends a run. `false`: it began to do so long ago.
    pub fn end(&self, run: RunKey, now: Duration) -> bool {
        let mut all = self.all();
        let begun = all
            .get_mut(&run)
            .map(|deadline| *deadline.begun.get_or_insert(now));
        begun.is_none_or(|begun| now.saturating_sub(begun) < GONE_AFTER)
    }

    /// Nothing is left of a run.
    pub fn forget(&self, run: RunKey) {
        self.all().remove(&run);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<RunKey, Deadline>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{RecordId, Token};

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_run_must_end_by_its_time_limit_or_after_it_was_told_to() {
        let run = RunKey {
            record: RecordId::new(1).unwrap(),
            token: Token(1),
        };
        let deadlines = Deadlines::default();
        let passed = |now| deadlines.passed(run, now).map(|deadline| deadline.cause);
        assert_eq!(passed(s(1000)), None, "it is not known");
        deadlines.begin(run, s(100), s(50), s(5));
        assert_eq!(passed(s(155) + MARGIN / 2), None);
        let late = s(155) + MARGIN;
        assert_eq!(passed(late), Some(Cause::WallTimeUnheeded));
        for now in [s(110), s(120)] {
            deadlines.stop(run, now, s(1000));
        }
        assert_eq!(passed(s(115) + MARGIN), Some(Cause::StopUnheeded));
        assert!(deadlines.end(run, late) && deadlines.end(run, late + GONE_AFTER / 2));
        assert!(!deadlines.end(run, late + GONE_AFTER));
        deadlines.forget(run);
        assert_eq!(passed(late), None);
    }
}
