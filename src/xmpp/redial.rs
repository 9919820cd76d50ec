//! When to connect again, and when to give up. Pure, with the dice handed in.

use std::time::Duration;

use super::DoorError;
use super::settings::TimeLimits;
use super::wire::ConnectError;

/// The stream error of a server that gave our resource to another client.
pub const CONFLICT: &str = "conflict";

/// So many tries in a row may be denied entry; ejabberd bans an address after 20.
const DENIED_TRIES: u32 = 15;

/// The wait after those. ejabberd counts them until there was none for an hour, and looks every ten
/// minutes.
const DENIED_FOR_LONG: Duration = Duration::from_mins(75);

/// The wait before the resource is taken back from a client that keeps taking it.
const TAKEN_FOR: Duration = Duration::from_mins(5);

/// Tries in a row that were denied entry. A server that starts without its accounts denies entry
/// for seconds; one that means it may ban our address after some tries, and counts them until
/// there was none for an hour.
#[derive(Debug)]
struct Denials {
    limits: TimeLimits,
    in_a_row: u32,
}

impl Denials {
    fn new(limits: TimeLimits) -> Self {
        Self {
            limits,
            in_a_row: 0,
        }
    }

    /// One more; how long to wait.
    fn wait(&mut self, dice: f64) -> Duration {
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.in_a_row < DENIED_TRIES {
            self.limits.denied.wait(self.in_a_row, dice)
        } else {
            self.in_a_row = 0;
            DENIED_FOR_LONG
        }
    }
}

/// When to open a door again that the server's refusal has closed, for a daemon that would be
/// started again anyway, and much sooner.
#[derive(Debug)]
pub struct Refusals {
    limits: TimeLimits,
    /// Doors in a row that were refused and not denied.
    refused: u32,
    denials: Denials,
}

impl Refusals {
    /// No door was closed yet.
    #[must_use]
    pub fn new(limits: TimeLimits) -> Self {
        Self {
            limits,
            refused: 0,
            denials: Denials::new(limits),
        }
    }

    /// How long to wait after a door that ended by this; `None`: no other try heals it.
    pub fn wait_after(&mut self, error: &DoorError, dice: f64) -> Option<Duration> {
        match error {
            DoorError::Denied(_) => Some(self.denials.wait(dice)),
            DoorError::Refused(_) => {
                self.refused = self.refused.saturating_add(1);
                Some(self.limits.denied.wait(self.refused, dice))
            }
            DoorError::Conflict => {
                // The server let us in.
                *self = Self::new(self.limits);
                Some(TAKEN_FOR.mul_f64(1.0 + dice / 2.0))
            }
            DoorError::WrongResource { .. } | DoorError::Broken => None,
        }
    }
}

/// What became of our tries so far.
#[derive(Debug)]
pub struct Redial {
    limits: TimeLimits,
    /// Whether the server ever let us in: what it refuses later may be its own trouble.
    let_in: bool,
    /// Tries in a row that reached nobody.
    unreachable: u32,
    /// Tries in a row that found somebody we do not trust.
    refused: u32,
    denials: Denials,
    /// Sessions in a row that lived briefly.
    brief: u32,
    /// Whether the last session was taken from us by another client.
    conflict: bool,
}

impl Redial {
    /// Nothing was tried yet.
    #[must_use]
    pub fn new(limits: TimeLimits) -> Self {
        Self {
            limits,
            let_in: false,
            unreachable: 0,
            refused: 0,
            denials: Denials::new(limits),
            brief: 0,
            conflict: false,
        }
    }

    /// We are logged in.
    pub fn connected(&mut self) {
        self.let_in = true;
        self.unreachable = 0;
        self.refused = 0;
        self.denials.in_a_row = 0;
    }

    /// How long to wait after a try that failed.
    pub fn after_failure(
        &mut self,
        error: &ConnectError,
        dice: f64,
    ) -> Result<Duration, DoorError> {
        match error {
            ConnectError::Unreachable(_) => {
                self.unreachable = self.unreachable.saturating_add(1);
                Ok(self.limits.unreachable.wait(self.unreachable, dice))
            }
            ConnectError::Refused(why) if !self.let_in => Err(DoorError::Refused(why.clone())),
            ConnectError::Denied(why) if !self.let_in => Err(DoorError::Denied(why.clone())),
            ConnectError::Refused(_) => {
                self.refused = self.refused.saturating_add(1);
                Ok(self.limits.brief.wait(self.refused, dice))
            }
            ConnectError::Denied(_) => Ok(self.denials.wait(dice)),
        }
    }

    /// How long to wait after a session that ended, by this stream error; empty if by none.
    pub fn after_session(
        &mut self,
        lived: Duration,
        stream_error: &str,
        dice: f64,
    ) -> Result<Duration, DoorError> {
        let conflict = stream_error == CONFLICT;
        if lived >= self.limits.long_lived {
            self.brief = 0;
        }
        let again = self.conflict && lived < self.limits.undisturbed;
        self.conflict = conflict || again;
        if conflict && again {
            return Err(DoorError::Conflict);
        }
        self.brief = self.brief.saturating_add(1);
        let wait = self.limits.brief.wait(self.brief, dice);
        Ok(if conflict {
            wait.max(self.limits.conflict.mul_f64(0.5 + dice))
        } else {
            wait
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRIEF: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_hours(1);

    fn redial() -> Redial {
        Redial::new(TimeLimits::default())
    }

    fn unreachable() -> ConnectError {
        ConnectError::Unreachable("nobody there".into())
    }

    #[test]
    fn an_unreachable_server_is_tried_often_enough_to_be_back_within_ten_seconds() {
        let mut redial = redial();
        let waits: Vec<_> = (0..20)
            .map(|_| redial.after_failure(&unreachable(), 1.0).unwrap())
            .collect();
        assert!(waits.is_sorted());
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(5)));
    }

    #[test]
    fn sessions_that_live_briefly_are_spread_out_to_a_minute() {
        let mut redial = redial();
        let waits: Vec<_> = (0..8)
            .map(|_| redial.after_session(BRIEF, "", 1.0).unwrap().as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        let wait = redial.after_session(LONG, "", 1.0).unwrap();
        assert_eq!(wait.as_secs(), 1);
    }

    #[test]
    fn a_refusal_is_fatal_at_first_only() {
        let refused = ConnectError::Refused("no".into());
        let denied = ConnectError::Denied("no".into());
        let mut redial = redial();
        redial.after_failure(&unreachable(), 0.0).unwrap();
        assert!(redial.after_failure(&refused, 0.0).is_err());
        assert!(redial.after_failure(&denied, 0.0).is_err());
        redial.connected();
        let wait = redial.after_failure(&refused, 1.0).unwrap();
        assert!(wait <= Duration::from_secs(1));
        let wait = redial.after_failure(&denied, 1.0).unwrap();
        assert!(wait <= Duration::from_secs(2));
    }

    /// ejabberd 23.01 bans an address after 20 denials without an hour's pause between them, or a
    /// log-in.
    fn assert_never_banned(mut wait_after_denial: impl FnMut() -> Duration) {
        const PAUSE: Duration = Duration::from_hours(1);
        let (mut refused_for, mut in_a_row, mut rounds) = (Duration::ZERO, 0, 0);
        while rounds < 5 {
            in_a_row += 1;
            assert!(in_a_row < 20);
            let wait = wait_after_denial();
            if rounds == 0 && wait < PAUSE {
                let soon = refused_for + Duration::from_secs(2);
                assert!(wait <= soon, "{wait:?} after {refused_for:?}");
            }
            refused_for += wait;
            if wait > PAUSE {
                (in_a_row, rounds) = (0, rounds + 1);
            }
        }
    }

    #[test]
    fn a_server_that_denies_entry_is_asked_soon_and_never_often_enough_for_a_ban() {
        for dice in [0.0, 0.5, 1.0] {
            let denied = ConnectError::Denied("no".into());
            let mut redial = redial();
            redial.connected();
            assert_never_banned(|| redial.after_failure(&denied, dice).unwrap());
            redial.connected();
            assert!(redial.after_failure(&denied, dice).unwrap() <= Duration::from_secs(2));
        }
    }

    #[test]
    fn a_door_that_is_denied_is_opened_soon_and_never_often_enough_for_a_ban() {
        let denied = DoorError::Denied("no".into());
        for dice in [0.0, 0.5, 1.0] {
            let mut refusals = Refusals::new(TimeLimits::default());
            assert_never_banned(|| refusals.wait_after(&denied, dice).unwrap());
            let taken = refusals.wait_after(&DoorError::Conflict, dice).unwrap();
            assert!(taken >= TAKEN_FOR);
            assert!(refusals.wait_after(&denied, dice).unwrap() <= Duration::from_secs(2));
        }
    }

    #[test]
    fn a_door_that_is_not_trusted_is_opened_within_minutes_for_ever() {
        let mut refusals = Refusals::new(TimeLimits::default());
        let refused = DoorError::Refused("no".into());
        for _ in 0..100 {
            let wait = refusals.wait_after(&refused, 1.0).unwrap();
            assert!(wait <= Duration::from_mins(5));
        }
        assert_eq!(refusals.wait_after(&DoorError::Broken, 1.0), None);
    }

    #[test]
    fn a_conflict_costs_a_wait_and_a_second_one_ends_it() {
        let mut redial = redial();
        let wait = redial.after_session(LONG, CONFLICT, 0.0).unwrap();
        assert!(wait >= Duration::from_secs(5));
        assert!(redial.after_session(BRIEF, CONFLICT, 0.0).is_err());
    }

    #[test]
    fn a_session_between_two_conflicts_forgives_only_when_it_lives() {
        let mut redial = redial();
        redial.after_session(LONG, CONFLICT, 0.0).unwrap();
        redial.after_session(BRIEF, "", 0.0).unwrap();
        assert!(redial.after_session(BRIEF, CONFLICT, 0.0).is_err());

        let mut redial = self::redial();
        redial.after_session(LONG, CONFLICT, 0.0).unwrap();
        redial.after_session(LONG, "", 0.0).unwrap();
        redial.after_session(LONG, CONFLICT, 0.0).unwrap();
        redial.after_session(LONG, CONFLICT, 0.0).unwrap();
    }
}
