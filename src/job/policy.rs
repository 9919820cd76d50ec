//! What to do when: staleness and back-off. Pure, with the clock and the dice handed in.

use std::time::Duration;

use jiff::Timestamp;

/// Where the wall-clock time comes from; tests bring their own.
pub trait Clock: Send + Sync {
    /// The time of day, now.
    fn now(&self) -> Timestamp;
}

/// A clock that nobody sets, the same for every process of a machine; tests bring their own.
pub trait BootClock: Send + Sync {
    /// The time since the machine was booted, suspension included. Never goes back.
    fn since_boot(&self) -> Duration;
}

/// Waits that double from `first` to `longest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub first: Duration,
    /// No wait is longer.
    pub longest: Duration,
}

impl Backoff {
    /// How long to wait after `failures` failures in a row (from 1). `dice` in 0..1 spreads the
    /// wait over the upper half of its range, so that many clients do not come back at once.
    #[must_use]
    pub fn wait(self, failures: u32, dice: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let whole = self.first.saturating_mul(1 << doublings).min(self.longest);
        whole.mul_f64(0.5 + dice.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_secs(1),
        longest: Duration::from_mins(1),
    };

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<_> = (1..9).map(|n| BACKOFF.wait(n, 1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    proptest! {
        #[test]
        fn no_wait_leaves_its_range(failures: u32, dice in 0.0..1.0) {
            let wait = BACKOFF.wait(failures, dice);
            prop_assert!(wait >= BACKOFF.first / 2 && wait <= BACKOFF.longest);
        }
    }
}
