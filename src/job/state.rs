//! The state machine of a job: a pure function. Nothing else may change a state.
//!
//! ```text
//!            Due                Claim            Start
//! scheduled ──────▶ ready ────────────▶ claimed ───────▶ running ──▶ Succeed   ▶ succeeded
//!   ▲  │ Await       ▲ ▲ ▲   GiveBack,  │                  │         Fail      ▶ failed
//!   │  ▼ ConditionMet│ │ └── Abandon ───┴──────────────────┤         Deadline  ▶ timed_out
//!   │ waiting ───────┘ │                                   │
//!   └──────────────────┼─────────────────────────── Retry ─┘
//!                      └── Rerun, Restore (from a final state)
//!
//! Hold: scheduled, waiting, ready ▶ held;  Release: held ▶ where it was held from
//! Cancel: every state that is not final ▶ cancelled
//! Trash: ready, claimed, running, held ▶ trashed
//! DeadlinePassed: waiting, running ▶ timed_out
//! ```

use std::fmt;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Starts later: created so, or backing off after a failed run.
    Scheduled,
    /// A condition (data, another job) is not met.
    Waiting,
    /// Accepted and due.
    Ready,
    /// A conductor holds it, with lease and token.
    Claimed,
    /// The runner reported the start.
    Running,
    /// Set aside by an operator or a policy.
    Held(HeldFrom),
    /// The run ended well.
    Succeeded,
    /// A permanent error, or the runs are used up.
    Failed,
    /// A deadline passed.
    TimedOut,
    /// Killed by supervisor or operator.
    Cancelled,
    /// Abandoned too often, or cannot be built.
    Trashed,
}

/// The states that a job can be held from, and goes back to on release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeldFrom {
    /// Held while scheduled.
    Scheduled,
    /// Held while waiting.
    Waiting,
    /// Held while ready.
    Ready,
}

/// What can happen to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transition {
    /// Its time has come.
    Due,
    /// Its time has come, but a condition is not met yet.
    Await,
    /// The condition is met.
    ConditionMet,
    /// The deadline passed.
    DeadlinePassed,
    /// A conductor took it.
    Claim,
    /// The runner reported the start.
    Start,
    /// The conductor returned it, unharmed (draining, stopping).
    GiveBack,
    /// The conductor died, lost its lease, or could not reach the runner.
    Abandon,
    /// The run ended well.
    Succeed,
    /// The run ended for good, badly.
    Fail,
    /// The run failed and another one follows after a back-off.
    Retry,
    /// A kill took effect.
    Cancel,
    /// An operator or a policy set it aside.
    Hold,
    /// The hold ended.
    Release,
    /// Given up: abandoned too often, or cannot be built.
    Trash,
    /// An operator wants a finished job run again.
    Rerun,
    /// An operator wants a trashed job back.
    Restore,
}

/// What a supervisor hears of a stored job. The words `rejected` and `unknown` are never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not started.
    Pending,
    /// Started and not ended.
    Running,
    /// Ended, with this outcome.
    Finished(Outcome),
}

/// How a finished job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Well.
    Succeeded,
    /// With a permanent error.
    Failed,
    /// By a deadline.
    TimedOut,
    /// By a kill.
    Cancelled,
    /// Given up.
    Trashed,
}

/// A transition that the state does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a job that is {state} cannot take {transition:?}")]
pub struct IllegalTransition {
    /// The state it was in.
    pub state: State,
    /// What was asked of it.
    pub transition: Transition,
}

impl State {
    /// Every state, each way of being held apart.
    pub const ALL: [Self; 13] = [
        Self::Scheduled,
        Self::Waiting,
        Self::Ready,
        Self::Claimed,
        Self::Running,
        Self::Held(HeldFrom::Scheduled),
        Self::Held(HeldFrom::Waiting),
        Self::Held(HeldFrom::Ready),
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
        Self::Trashed,
    ];

    /// The state that follows, or why there is none.
    pub fn apply(self, transition: Transition) -> Result<Self, IllegalTransition> {
        use Transition as T;
        Ok(match (self, transition) {
            (Self::Scheduled, T::Await) => Self::Waiting,
            (Self::Ready, T::Claim) => Self::Claimed,
            (Self::Claimed, T::Start) => Self::Running,
            (Self::Running, T::Retry) => Self::Scheduled,
            (Self::Running, T::Succeed) => Self::Succeeded,
            (Self::Running, T::Fail) => Self::Failed,
            (Self::Waiting | Self::Running, T::DeadlinePassed) => Self::TimedOut,
            (Self::Scheduled, T::Due)
            | (Self::Waiting, T::ConditionMet)
            | (Self::Claimed | Self::Running, T::GiveBack | T::Abandon)
            | (Self::Succeeded | Self::Failed | Self::TimedOut | Self::Cancelled, T::Rerun)
            | (Self::Trashed, T::Restore) => Self::Ready,
            (Self::Scheduled, T::Hold) => Self::Held(HeldFrom::Scheduled),
            (Self::Waiting, T::Hold) => Self::Held(HeldFrom::Waiting),
            (Self::Ready, T::Hold) => Self::Held(HeldFrom::Ready),
            (Self::Held(from), T::Release) => from.into(),
            (state, T::Cancel) if !state.is_final() => Self::Cancelled,
            (Self::Ready | Self::Claimed | Self::Running | Self::Held(_), T::Trash) => {
                Self::Trashed
            }
            (state, transition) => return Err(IllegalTransition { state, transition }),
        })
    }

    /// What the supervisor hears.
    #[must_use]
    pub fn phase(self) -> Phase {
        match self {
            Self::Scheduled | Self::Waiting | Self::Ready | Self::Claimed | Self::Held(_) => {
                Phase::Pending
            }
            Self::Running => Phase::Running,
            Self::Succeeded => Phase::Finished(Outcome::Succeeded),
            Self::Failed => Phase::Finished(Outcome::Failed),
            Self::TimedOut => Phase::Finished(Outcome::TimedOut),
            Self::Cancelled => Phase::Finished(Outcome::Cancelled),
            Self::Trashed => Phase::Finished(Outcome::Trashed),
        }
    }

    /// Whether only an operator can move it on.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self.phase(), Phase::Finished(_))
    }

    /// The state's name; all ways of being held share one.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Claimed => "claimed",
            Self::Running => "running",
            Self::Held(_) => "held",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Trashed => "trashed",
        }
    }
}

impl Outcome {
    /// All five.
    pub const ALL: [Self; 5] = [
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
        Self::Trashed,
    ];

    /// The outcome's name, which is that of its state.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Trashed => "trashed",
        }
    }
}

impl Transition {
    /// The word for it in a record's history.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Await => "await",
            Self::ConditionMet => "condition_met",
            Self::DeadlinePassed => "deadline_passed",
            Self::Claim => "claim",
            Self::Start => "start",
            Self::GiveBack => "give_back",
            Self::Abandon => "abandon",
            Self::Succeed => "succeed",
            Self::Fail => "fail",
            Self::Retry => "retry",
            Self::Cancel => "cancel",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Trash => "trash",
            Self::Rerun => "rerun",
            Self::Restore => "restore",
        }
    }
}

impl From<HeldFrom> for State {
    fn from(held: HeldFrom) -> Self {
        match held {
            HeldFrom::Scheduled => Self::Scheduled,
            HeldFrom::Waiting => Self::Waiting,
            HeldFrom::Ready => Self::Ready,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use State as S;
    use Transition as T;

    const TRANSITIONS: [T; 17] = [
        T::Due,
        T::Await,
        T::ConditionMet,
        T::DeadlinePassed,
        T::Claim,
        T::Start,
        T::GiveBack,
        T::Abandon,
        T::Succeed,
        T::Fail,
        T::Retry,
        T::Cancel,
        T::Hold,
        T::Release,
        T::Trash,
        T::Rerun,
        T::Restore,
    ];

    /// Every legal arrow, written out; all other pairs must be refused.
    const LEGAL: &[(S, T, S)] = &[
        (S::Scheduled, T::Due, S::Ready),
        (S::Scheduled, T::Await, S::Waiting),
        (S::Scheduled, T::Cancel, S::Cancelled),
        (S::Scheduled, T::Hold, S::Held(HeldFrom::Scheduled)),
        (S::Waiting, T::ConditionMet, S::Ready),
        (S::Waiting, T::DeadlinePassed, S::TimedOut),
        (S::Waiting, T::Cancel, S::Cancelled),
        (S::Waiting, T::Hold, S::Held(HeldFrom::Waiting)),
        (S::Ready, T::Claim, S::Claimed),
        (S::Ready, T::Hold, S::Held(HeldFrom::Ready)),
        (S::Ready, T::Cancel, S::Cancelled),
        (S::Ready, T::Trash, S::Trashed),
        (S::Claimed, T::Start, S::Running),
        (S::Claimed, T::GiveBack, S::Ready),
        (S::Claimed, T::Abandon, S::Ready),
        (S::Claimed, T::Cancel, S::Cancelled),
        (S::Claimed, T::Trash, S::Trashed),
        (S::Running, T::Succeed, S::Succeeded),
        (S::Running, T::Fail, S::Failed),
        (S::Running, T::Retry, S::Scheduled),
        (S::Running, T::GiveBack, S::Ready),
        (S::Running, T::Abandon, S::Ready),
        (S::Running, T::DeadlinePassed, S::TimedOut),
        (S::Running, T::Cancel, S::Cancelled),
        (S::Running, T::Trash, S::Trashed),
        (S::Held(HeldFrom::Scheduled), T::Release, S::Scheduled),
        (S::Held(HeldFrom::Scheduled), T::Cancel, S::Cancelled),
        (S::Held(HeldFrom::Scheduled), T::Trash, S::Trashed),
        (S::Held(HeldFrom::Waiting), T::Release, S::Waiting),
        (S::Held(HeldFrom::Waiting), T::Cancel, S::Cancelled),
        (S::Held(HeldFrom::Waiting), T::Trash, S::Trashed),
        (S::Held(HeldFrom::Ready), T::Release, S::Ready),
        (S::Held(HeldFrom::Ready), T::Cancel, S::Cancelled),
        (S::Held(HeldFrom::Ready), T::Trash, S::Trashed),
        (S::Succeeded, T::Rerun, S::Ready),
        (S::Failed, T::Rerun, S::Ready),
        (S::TimedOut, T::Rerun, S::Ready),
        (S::Cancelled, T::Rerun, S::Ready),
        (S::Trashed, T::Restore, S::Ready),
    ];

    #[test]
    fn every_pair_of_state_and_transition_is_decided() {
        for state in State::ALL {
            for transition in TRANSITIONS {
                let wanted = LEGAL
                    .iter()
                    .find(|(from, by, _)| (*from, *by) == (state, transition))
                    .map(|(_, _, to)| *to)
                    .ok_or(IllegalTransition { state, transition });
                assert_eq!(state.apply(transition), wanted, "{state:?} {transition:?}");
            }
        }
    }

    #[test]
    fn final_states_are_left_by_an_operator_only() {
        for state in State::ALL.into_iter().filter(|state| state.is_final()) {
            for transition in TRANSITIONS {
                let operators = matches!(transition, T::Rerun | T::Restore);
                assert!(operators || state.apply(transition).is_err());
            }
        }
    }

    #[test]
    fn the_outside_hears_three_stored_words() {
        let pending = State::ALL.iter().filter(|s| s.phase() == Phase::Pending);
        let running = State::ALL.iter().filter(|s| s.phase() == Phase::Running);
        assert_eq!((pending.count(), running.count()), (7, 1));
        assert_eq!(State::Trashed.phase(), Phase::Finished(Outcome::Trashed));
    }
}
