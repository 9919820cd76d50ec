//! What a claim's holder, or who rescues it, may do to a job: a pure function of what is stored.
//! Here are the two counters, the limits, the back-off, the kill wish and the fence.

use std::time::Duration;

use super::policy::Backoff;
use super::{State, Token, Transition};

/// Of a stored job: all that a change by a claim's holder depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Where it stands.
    pub state: State,
    /// The latest claim.
    pub token: Token,
    /// How often this claim was renewed.
    pub renewal: u64,
    /// How many of its runs failed.
    pub runs: u32,
    /// How many of its claims were abandoned.
    pub abandons: u32,
    /// Whether somebody wished it killed.
    pub kill_requested: bool,
}

/// What a claim's holder says of the job. A rescuer says [`Step::Abandon`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The runner reported the start.
    Start,
    /// Returned unharmed: draining, stopping.
    GiveBack,
    /// The holder died, lost its lease, or could not reach the runner.
    Abandon,
    /// The run ended well.
    Succeed,
    /// The run ended badly; `retry`: another one may do better.
    Fail {
        /// Whether another run may do better.
        retry: bool,
    },
    /// The run took longer than it may.
    TimeOut,
    /// A kill took effect.
    Cancel,
    /// The job cannot be built.
    Trash,
}

/// Who says it: the claim that it is said under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The claim.
    pub token: Token,
    /// A rescuer's: the count of renewals that it watched for a whole lease.
    pub renewal: Option<u64>,
}

/// How often a job is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// So many failed runs fail the job.
    pub max_runs: u32,
    /// More abandons trash the job.
    pub max_abandons: u32,
    /// The waits before the next try.
    pub backoff: Backoff,
}

/// What follows for the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// The job changes.
    Move(Move),
    /// It was done before, under the same claim.
    AlreadyDone,
    /// The claim is not the latest, or has ended: nothing changes.
    Stale,
}

/// A change of a job's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Which arrow of the state machine.
    pub transition: Transition,
    /// Where it leads.
    pub state: State,
    /// The counter, after it.
    pub runs: u32,
    /// The counter, after it.
    pub abandons: u32,
    /// How long until the job is due again; `None`: it is due.
    pub wait: Option<Duration>,
}

impl Standing {
    /// What follows from `step`, said under `fence`. `dice` in 0..1 spreads the waits.
    #[must_use]
    pub fn rule(&self, fence: Fence, step: Step, limits: &Limits, dice: f64) -> Ruling {
        if fence.token != self.token || fence.renewal.is_some_and(|seen| seen != self.renewal) {
            return Ruling::Stale;
        }
        if self.state == State::Running && step == Step::Start {
            return Ruling::AlreadyDone;
        }
        if !matches!(self.state, State::Claimed | State::Running) {
            return Ruling::Stale;
        }
        let counted = self.count(step);
        let transition = counted.transition(step, limits);
        // Where the machine has no such arrow, who asked is wrong about the job.
        let Ok(state) = self.state.apply(transition) else {
            return Ruling::Stale;
        };
        Ruling::Move(Move {
            transition,
            state,
            runs: counted.runs,
            abandons: counted.abandons,
            wait: match transition {
                Transition::Retry => Some(limits.backoff.wait(counted.runs, dice)),
                Transition::Abandon => Some(limits.backoff.wait(counted.abandons, dice)),
                _ => None,
            },
        })
    }

    /// The counters after `step`. Giving back counts in neither, nor does what an operator or a
    /// supervisor wished.
    fn count(self, step: Step) -> Self {
        Self {
            runs: self
                .runs
                .saturating_add(u32::from(matches!(step, Step::Fail { .. } | Step::TimeOut))),
            abandons: self
                .abandons
                .saturating_add(u32::from(step == Step::Abandon)),
            ..self
        }
    }

    fn transition(self, step: Step, limits: &Limits) -> Transition {
        match step {
            Step::Start => Transition::Start,
            Step::Succeed => Transition::Succeed,
            Step::TimeOut => Transition::DeadlinePassed,
            Step::Cancel => Transition::Cancel,
            Step::Trash => Transition::Trash,
            // What would make it run again.
            Step::GiveBack | Step::Abandon | Step::Fail { retry: true } if self.kill_requested => {
                Transition::Cancel
            }
            Step::GiveBack => Transition::GiveBack,
            Step::Abandon if self.abandons > limits.max_abandons => Transition::Trash,
            Step::Abandon => Transition::Abandon,
            Step::Fail { retry: true } if self.runs < limits.max_runs => Transition::Retry,
            Step::Fail { .. } => Transition::Fail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits {
        max_runs: 3,
        max_abandons: 5,
        backoff: Backoff {
            first: Duration::from_secs(10),
            longest: Duration::from_mins(10),
        },
    };
    const RETRY: Step = Step::Fail { retry: true };
    const STEPS: [Step; 9] = [
        Step::Start,
        Step::GiveBack,
        Step::Abandon,
        Step::Succeed,
        Step::Fail { retry: false },
        RETRY,
        Step::TimeOut,
        Step::Cancel,
        Step::Trash,
    ];

    const RUNNING: Standing = Standing {
        state: State::Running,
        token: Token(7),
        renewal: 2,
        runs: 0,
        abandons: 0,
        kill_requested: false,
    };
    const HOLDER: Fence = Fence {
        token: Token(7),
        renewal: None,
    };

    fn moved(standing: Standing, step: Step) -> Move {
        match standing.rule(HOLDER, step, &LIMITS, 1.0) {
            Ruling::Move(to) => to,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_third_failed_run_fails_the_job() {
        let first = moved(RUNNING, RETRY);
        assert_eq!((first.state, first.runs), (State::Scheduled, 1));
        assert_eq!(first.wait, Some(Duration::from_secs(10)));
        let second = moved(Standing { runs: 1, ..RUNNING }, RETRY);
        assert_eq!(second.wait, Some(Duration::from_secs(20)));
        let third = moved(Standing { runs: 2, ..RUNNING }, RETRY);
        assert_eq!((third.state, third.runs), (State::Failed, 3));
        assert_eq!(third.wait, None);
    }

    #[test]
    fn the_sixth_abandon_trashes_the_job_and_counts_no_run() {
        let abandoned = |abandons| Standing {
            abandons,
            ..RUNNING
        };
        let fifth = moved(abandoned(4), Step::Abandon);
        assert_eq!(
            (fifth.state, fifth.abandons, fifth.runs),
            (State::Ready, 5, 0)
        );
        assert_eq!(moved(abandoned(5), Step::Abandon).state, State::Trashed);
    }

    #[test]
    fn a_wish_to_kill_ends_what_would_run_again_and_nothing_else() {
        let wished = Standing {
            kill_requested: true,
            ..RUNNING
        };
        for step in [Step::GiveBack, Step::Abandon, RETRY] {
            assert_eq!(moved(wished, step).state, State::Cancelled, "{step:?}");
        }
        assert_eq!(moved(wished, Step::Succeed).state, State::Succeeded);
    }

    #[test]
    fn giving_back_counts_in_neither_counter() {
        let back = moved(RUNNING, Step::GiveBack);
        assert_eq!((back.state, back.runs, back.abandons), (State::Ready, 0, 0));
        assert_eq!(back.wait, None);
    }

    #[test]
    fn a_start_may_be_said_twice() {
        let again = RUNNING.rule(HOLDER, Step::Start, &LIMITS, 0.0);
        assert_eq!(again, Ruling::AlreadyDone);
    }

    #[test]
    fn a_rescuer_that_missed_a_renewal_changes_nothing() {
        let fence = Fence {
            renewal: Some(1),
            ..HOLDER
        };
        let late = RUNNING.rule(fence, Step::Abandon, &LIMITS, 0.0);
        assert_eq!(late, Ruling::Stale);
    }

    proptest! {
        #[test]
        fn another_claims_word_changes_nothing(
            state in prop::sample::select(&State::ALL[..]),
            step in prop::sample::select(&STEPS[..]),
            token in 0_u64..20,
        ) {
            let standing = Standing { state, ..RUNNING };
            let fence = Fence { token: Token(token), renewal: None };
            let ruling = standing.rule(fence, step, &LIMITS, 0.5);
            let held = matches!(state, State::Claimed | State::Running);
            if token != 7 || !held {
                prop_assert_eq!(ruling, Ruling::Stale);
            } else if let Ruling::Move(to) = ruling {
                prop_assert_eq!(state.apply(to.transition), Ok(to.state));
            }
        }
    }
}
