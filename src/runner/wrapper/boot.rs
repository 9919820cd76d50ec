//! The clock of a run: time since boot, the same for every process of a machine.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// The time since boot, suspension included.
pub fn since_boot() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

/// A moment by both clocks. Later times of day are told from it by the time since boot, so that
/// they do not depend on who sets the clock meanwhile.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Moment {
    /// The time of day.
    pub at: Timestamp,
    /// The time since boot.
    pub since_boot: Duration,
}

impl Moment {
    /// The time of day at another time since boot.
    pub fn time_of_day(&self, since_boot: Duration) -> Timestamp {
        let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        let passed = nanos(since_boot).saturating_sub(nanos(self.since_boot));
        let passed = SignedDuration::from_nanos(passed);
        self.at.saturating_add(passed).unwrap_or(self.at)
    }
}
