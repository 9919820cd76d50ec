//! The circuit breaker of a runner: while the machine is not fit to start jobs, none is claimed, so
//! that a fault of the host does not eat the queue.
//!
//! ```text
//!        the host fails a start, or a look finds it unfit
//! closed ──────────────────────────────────────────────▶ open
//!   ▲ ▲                                                  │  ▲
//!   │ └──────── a start goes well ──────── trying ◀──────┘  │  after a wait, once a look finds it fit
//!   │                                  one job at a time ───┘  the host fails it
//!   └ no job waits; or only looks found it unfit, and one finds it fit
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::context::Context;
use crate::job::RecordId;
use crate::job::policy::Backoff;
use crate::runner::RunError;

/// How often it is looked whether the host is fit.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the breaker stays open.
const WAIT: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(30),
};
/// A job that the host fails so many times, while others start well in between, is itself to
/// blame for it.
const TIMES_ALONE: u32 = 3;
/// No more jobs than these are remembered for that.
const MAX_FAILED: usize = 1024;

/// Whether a runner's host is fit to start jobs, by what was seen of it.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<Inside>);

/// Why no job is started, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// The host's fault that was seen last.
    pub why: String,
    /// When the breaker opened.
    pub since: Timestamp,
}

#[derive(Debug, Default)]
struct Inside {
    stage: Stage,
    /// What the last look at the host found; `None`: it was not looked yet.
    is_fit: Option<bool>,
    /// Faults in a row, as far as they lengthen the wait.
    failures: u32,
    /// `None` while it is closed.
    unfit: Option<Unfit>,
    /// Whether a start failed since it opened.
    failed_a_start: bool,
    /// The job that the host failed last: another one is tried first.
    last_failed: Option<RecordId>,
    failed: BTreeMap<RecordId, Failed>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Closed,
    /// Until then, at least.
    Open(Instant),
    /// One job may be claimed, or was.
    Trying(Option<RecordId>),
}

/// A job that the host has failed.
#[derive(Debug, Default)]
struct Failed {
    /// Since then no other job has started well.
    is_last: bool,
    /// How often others have started well since.
    times_alone: u32,
}

/// What may be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowance {
    Nothing,
    /// One job; another one than this, if there is one.
    One {
        but: Option<RecordId>,
    },
    AnyNumber,
}

/// A fault of the host's, as it was seen.
pub(super) struct Fault {
    pub why: String,
    pub at: Timestamp,
    /// In 0..1, spreads the waits.
    pub dice: f64,
}

impl Breaker {
    /// Why no job is started; `None`: the host is fit, as far as is known.
    #[must_use]
    pub fn unfit(&self) -> Option<Unfit> {
        self.with(|inside| inside.unfit.clone())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inside) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets all that was seen: what is asked from now on is another runner.
    pub(super) fn begin(&self) {
        self.with(|inside| *inside = Inside::default());
    }

    /// It was looked whether the host is fit.
    pub(super) fn looked(&self, found: Result<(), Fault>) {
        self.with(|inside| {
            inside.is_fit = Some(found.is_ok());
            match found {
                Err(fault) => inside.open(fault),
                Ok(()) if inside.is_unfit_by_looks_alone() => inside.close(),
                Ok(()) => (),
            }
        });
    }

    pub(super) fn allowance(&self) -> Allowance {
        self.with(|inside| {
            if inside.is_fit != Some(true) {
                return Allowance::Nothing;
            }
            if let Stage::Open(until) = inside.stage
                && until <= Instant::now()
            {
                inside.stage = Stage::Trying(None);
            }
            match inside.stage {
                Stage::Closed => Allowance::AnyNumber,
                Stage::Trying(None) => Allowance::One {
                    but: inside.last_failed,
                },
                Stage::Open(_) | Stage::Trying(Some(_)) => Allowance::Nothing,
            }
        })
    }

    /// What came of a claim within [`Allowance::One`].
    pub(super) fn tries(&self, record: Option<RecordId>) {
        self.with(|inside| match record {
            Some(record) if inside.stage == Stage::Trying(None) => {
                inside.stage = Stage::Trying(Some(record));
            }
            // There is no other one.
            None if inside.last_failed.is_some() => inside.last_failed = None,
            // None waits, so none is held up: the next one shows what the host can do.
            None if inside.stage == Stage::Trying(None) => inside.close(),
            Some(_) | None => (),
        });
    }

    /// The host failed a job's start. `false`: it fails this job alone.
    pub(super) fn failed(&self, record: RecordId, fault: Fault) -> bool {
        self.with(|inside| {
            let failed = inside.failed.get(&record);
            if failed.is_some_and(|failed| failed.times_alone >= TIMES_ALONE) {
                inside.failed.remove(&record);
                inside.tried(record);
                return false;
            }
            inside.last_failed = Some(record);
            if failed.is_some() || inside.failed.len() < MAX_FAILED {
                inside.failed.entry(record).or_default().is_last = true;
            }
            inside.failed_a_start = true;
            inside.open(fault);
            true
        })
    }

    /// A job was started.
    pub(super) fn went_well(&self, record: RecordId) {
        self.with(|inside| {
            inside.failed.remove(&record);
            for failed in inside.failed.values_mut().filter(|failed| failed.is_last) {
                failed.is_last = false;
                failed.times_alone += 1;
            }
            if matches!(inside.stage, Stage::Trying(_)) {
                inside.close();
            }
        });
    }

    /// A job's claim is over, whatever came of it.
    pub(super) fn over(&self, record: RecordId) {
        self.with(|inside| inside.tried(record));
    }
}

impl Inside {
    fn open(&mut self, fault: Fault) {
        let Fault { why, at, dice } = fault;
        match &mut self.unfit {
            None => {
                tracing::warn!(
                    why,
                    "no job is started, for the host is not fit for it; jobs wait"
                );
                self.unfit = Some(Unfit { why, since: at });
            }
            Some(known) => {
                tracing::debug!(why, "the host is still not fit to start jobs");
                known.why = why;
            }
        }
        if !matches!(self.stage, Stage::Open(_)) {
            self.failures = self.failures.saturating_add(1);
            self.stage = Stage::Open(Instant::now() + WAIT.wait(self.failures, dice));
        }
    }

    fn close(&mut self) {
        tracing::info!("jobs are started again");
        self.stage = Stage::Closed;
        self.failures = 0;
        self.unfit = None;
        self.failed_a_start = false;
        self.last_failed = None;
    }

    /// Whether only looks have found it unfit, and the wait after the last of them is over: then a
    /// look is proof enough that it is fit.
    fn is_unfit_by_looks_alone(&self) -> bool {
        let waits = match self.stage {
            Stage::Closed => return false,
            Stage::Open(until) => until > Instant::now(),
            Stage::Trying(record) => record.is_some(),
        };
        !self.failed_a_start && !waits
    }

    /// If this job was the one that was tried, another one may be.
    fn tried(&mut self, record: RecordId) {
        if self.stage == Stage::Trying(Some(record)) {
            self.stage = Stage::Trying(None);
        }
    }
}

/// Looks again and again whether the host is fit, for ever.
pub(super) async fn keep_looking(context: Arc<Context>) {
    loop {
        match context.runner.ready().await {
            Ok(()) => context.breaker().looked(Ok(())),
            // It was not asked; that there is no runner is seen elsewhere.
            Err(RunError::Away(_) | RunError::Transient(_)) => (),
            Err(RunError::Host(why) | RunError::InDoubt(why) | RunError::Permanent(why)) => {
                context.breaker().looked(Err(context.fault(why)));
            }
        }
        sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const ONE: Duration = Duration::from_secs(1);

    fn id(number: u64) -> RecordId {
        RecordId::new(number).unwrap()
    }

    fn fault(why: &str) -> Fault {
        Fault {
            why: why.to_owned(),
            at: Timestamp::UNIX_EPOCH,
            dice: 1.0,
        }
    }

    fn fit() -> Breaker {
        let breaker = Breaker::default();
        breaker.looked(Ok(()));
        breaker
    }

    /// The next job that may be claimed is this one, and is failed by the host.
    fn fail_next(breaker: &Breaker, record: u64) {
        assert!(matches!(breaker.allowance(), Allowance::One { .. }));
        breaker.tries(Some(id(record)));
        assert_eq!(breaker.allowance(), Allowance::Nothing);
        assert!(breaker.failed(id(record), fault("again")));
        breaker.over(id(record));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_claimed_before_a_look() {
        let breaker = Breaker::default();
        assert_eq!(breaker.allowance(), Allowance::Nothing);
        assert_eq!(breaker.unfit(), None);
        breaker.looked(Ok(()));
        assert_eq!(breaker.allowance(), Allowance::AnyNumber);
        breaker.begin();
        assert_eq!(breaker.allowance(), Allowance::Nothing);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_fault_one_job_is_tried_at_a_time_and_ever_more_seldom() {
        let breaker = fit();
        assert!(breaker.failed(id(1), fault("no memory")));
        assert_eq!(breaker.unfit().unwrap().why, "no memory");
        // Those that were claimed with it lengthen nothing.
        assert!(breaker.failed(id(2), fault("no memory")));
        for (record, seconds) in [(3, 1), (4, 2), (5, 4), (6, 8), (7, 16), (8, 30), (9, 30)] {
            advance(Duration::from_millis(seconds * 1000 - 1)).await;
            assert_eq!(breaker.allowance(), Allowance::Nothing, "{record}");
            advance(Duration::from_millis(1)).await;
            fail_next(&breaker, record);
        }
        advance(ONE * 30).await;
        assert_eq!(breaker.allowance(), Allowance::One { but: Some(id(9)) });
        breaker.tries(Some(id(10)));
        breaker.went_well(id(10));
        assert_eq!(breaker.allowance(), Allowance::AnyNumber);
        assert_eq!(breaker.unfit(), None);
        // The next wait is short again.
        breaker.failed(id(1), fault("no memory"));
        advance(ONE).await;
        assert_eq!(breaker.allowance(), Allowance::One { but: Some(id(1)) });
    }

    #[tokio::test(start_paused = true)]
    async fn the_job_that_failed_is_tried_where_there_is_no_other_one() {
        let breaker = fit();
        breaker.failed(id(1), fault("no memory"));
        advance(ONE).await;
        assert_eq!(breaker.allowance(), Allowance::One { but: Some(id(1)) });
        breaker.tries(None);
        assert_eq!(breaker.allowance(), Allowance::One { but: None });
        breaker.tries(Some(id(1)));
        // It was killed before its turn: that says nothing about the host.
        breaker.over(id(1));
        assert_eq!(breaker.allowance(), Allowance::One { but: None });
        breaker.looked(Ok(()));
        assert!(
            breaker.unfit().is_some(),
            "a look does not outweigh a start"
        );
        // Where no job waits none is held up.
        breaker.tries(None);
        assert_eq!(breaker.unfit(), None);
        assert_eq!(breaker.allowance(), Allowance::AnyNumber);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_is_unfit_by_its_looks_is_fit_once_they_are_well() {
        let breaker = fit();
        for _ in 0..100 {
            breaker.looked(Err(fault("no programs")));
            assert_eq!(breaker.allowance(), Allowance::Nothing);
            advance(ONE).await;
        }
        assert_eq!(breaker.unfit().unwrap().why, "no programs");
        breaker.looked(Ok(()));
        assert_eq!(breaker.allowance(), Allowance::AnyNumber);
        assert_eq!(breaker.unfit(), None, "no job is needed for that");
        breaker.looked(Err(fault("no programs")));
        breaker.looked(Ok(()));
        assert!(breaker.unfit().is_some(), "before the wait is over");
        advance(ONE).await;
        assert_eq!(breaker.allowance(), Allowance::One { but: None });
        breaker.tries(Some(id(1)));
        // What started before it went bad does not count.
        breaker.looked(Err(fault("no programs")));
        breaker.went_well(id(1));
        assert!(breaker.unfit().is_some());
    }

    /// One job whose program is broken must not hold the others up for ever, nor go round for ever.
    #[tokio::test(start_paused = true)]
    async fn a_job_that_the_host_fails_alone_is_to_blame_itself() {
        let breaker = fit();
        for times in 0..TIMES_ALONE {
            assert!(breaker.failed(id(1), fault("no way")), "{times}");
            advance(WAIT.longest).await;
            assert_eq!(breaker.allowance(), Allowance::One { but: Some(id(1)) });
            breaker.tries(Some(id(2)));
            // Many that start well are no more proof than one.
            breaker.went_well(id(2));
            breaker.went_well(id(3));
        }
        assert!(!breaker.failed(id(1), fault("no way")));
        assert_eq!(breaker.allowance(), Allowance::AnyNumber);
        assert!(breaker.failed(id(1), fault("no way")), "it counts anew");
    }

    /// While all jobs fail none of them is to blame.
    #[tokio::test(start_paused = true)]
    async fn jobs_that_fail_together_are_not_to_blame() {
        let breaker = fit();
        for _ in 0..100 {
            for record in 1..4 {
                assert!(breaker.failed(id(record), fault("no memory")));
            }
            advance(WAIT.longest).await;
            breaker.allowance();
        }
    }
}
