//! The machine's clocks.

use std::time::Duration;

use jiff::Timestamp;

use crate::job::policy::{BootClock, Clock};

/// The machine's clocks: the one place that reads the time of day.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

impl BootClock for SystemClock {
    fn since_boot(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::try_from(time).unwrap_or_default()
    }
}
