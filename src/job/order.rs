//! What an operator may do to a job: a pure function of what is stored.

use super::{IllegalTransition, State, Transition};

/// What an operator wants of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// End it.
    Kill,
    /// Set it aside.
    Hold,
    /// End the hold.
    Release,
    /// Run a finished one again, under the same record.
    Rerun,
    /// Give it up. One that somebody holds only by force: its process still lives for a moment.
    Trash,
    /// Bring a trashed one back.
    Restore,
}

/// What follows for the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is in this state now.
    Moved(State),
    /// Its holder will end it.
    KillRequested,
    /// It had ended before; nothing changes.
    AlreadyFinished(State),
}

/// Why an operator's wish is not fulfilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// The state machine has no such arrow.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The supervisor may have given the work away.
    #[error(
        "the supervisor has been told that it is finished, and may have given the work away; --force runs it again nevertheless"
    )]
    Told,
    /// There is nothing left to run.
    #[error("it was purged: what is to be run is not kept any more")]
    Purged,
    /// Somebody holds it.
    #[error("it is {0}; kill it first, or --force")]
    InHand(State),
}

impl Action {
    /// The word for it in commands and events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Rerun => "rerun",
            Self::Trash => "trash",
            Self::Restore => "restore",
        }
    }

    /// What follows for a job in `state`. `told`: its supervisor knows its final word.
    pub fn apply(self, state: State, told: bool, force: bool) -> Result<Effect, Declined> {
        let in_hand = matches!(state, State::Claimed | State::Running);
        let transition = match self {
            Self::Kill if in_hand => return Ok(Effect::KillRequested),
            Self::Kill if state.is_final() => return Ok(Effect::AlreadyFinished(state)),
            Self::Rerun | Self::Restore if told && !force => return Err(Declined::Told),
            Self::Trash if in_hand && !force => return Err(Declined::InHand(state)),
            Self::Kill => Transition::Cancel,
            Self::Hold => Transition::Hold,
            Self::Release => Transition::Release,
            Self::Rerun => Transition::Rerun,
            Self::Trash => Transition::Trash,
            Self::Restore => Transition::Restore,
        };
        Ok(Effect::Moved(state.apply(transition)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_supervisor_was_told_is_undone_by_force_only() {
        let told = Action::Rerun.apply(State::Failed, true, false);
        assert_eq!(told, Err(Declined::Told));
        let forced = Action::Rerun.apply(State::Failed, true, true);
        assert_eq!(forced, Ok(Effect::Moved(State::Ready)));
        let untold = Action::Restore.apply(State::Trashed, false, false);
        assert_eq!(untold, Ok(Effect::Moved(State::Ready)));
    }

    #[test]
    fn a_kill_is_a_wish_where_somebody_holds_the_job() {
        let kill = |state| Action::Kill.apply(state, false, false);
        assert_eq!(kill(State::Running), Ok(Effect::KillRequested));
        assert_eq!(kill(State::Ready), Ok(Effect::Moved(State::Cancelled)));
        let failed = State::Failed;
        assert_eq!(kill(failed), Ok(Effect::AlreadyFinished(failed)));
    }

    #[test]
    fn a_running_job_is_trashed_by_force_only_and_never_held() {
        let trash = |force| Action::Trash.apply(State::Running, false, force);
        assert_eq!(trash(false), Err(Declined::InHand(State::Running)));
        assert_eq!(trash(true), Ok(Effect::Moved(State::Trashed)));
        let held = Action::Hold.apply(State::Running, false, true);
        assert!(matches!(held, Err(Declined::Illegal(_))));
    }
}
