//! How long the key of a job that has ended is remembered.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use super::age;
use super::check::{Fault, fault};
use super::{Bridge, Buffer};

/// A supervisor that was away for less finds the key of each job that it sends again.
const SHORTEST: SignedDuration = SignedDuration::from_hours(24);

/// `buffer.keep_keys`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepKeys {
    /// What is sent again is a duplicate at any time.
    Forever,
    /// Counted from the job's end.
    For(SignedDuration),
}

impl KeepKeys {
    /// The keys of jobs that ended before this are needed no more; `None`: all are.
    #[must_use]
    pub fn horizon(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Forever => None,
            Self::For(age) => Some(now.checked_sub(age).unwrap_or(Timestamp::MIN)),
        }
    }
}

impl FromStr for KeepKeys {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "forever" {
            return Ok(Self::Forever);
        }
        let wrong = |_| format!("{text:?} is neither \"forever\" nor an age like \"90d\", \"52w\"");
        age(text).map(Self::For).map_err(wrong)
    }
}

/// A key must outlive whatever may still bring its job a second time.
pub(super) fn check(buffer: &Buffer, bridge: &Bridge) -> Result<(), Fault> {
    let KeepKeys::For(kept) = buffer.keep_keys else {
        return Ok(());
    };
    let hint = "a key takes about 200 bytes; \"forever\" is the default";
    if kept < SHORTEST {
        let what = "a job that is sent again within a day must be known";
        return fault("buffer.keep_keys", what, hint);
    }
    if kept.unsigned_abs() < bridge.max_age {
        let what = "an executeJobs may be delayed for longer (bridge.max_age)";
        return fault("buffer.keep_keys", what, hint);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_for_ever_or_for_an_age() {
        let year: KeepKeys = "365d".parse().unwrap();
        assert_eq!(year, KeepKeys::For(SignedDuration::from_hours(365 * 24)));
        assert_eq!("forever".parse(), Ok(KeepKeys::Forever));
        assert!("1 month".parse::<KeepKeys>().is_err());
        let now: Timestamp = "2026-12-31T00:00:00Z".parse().unwrap();
        assert_eq!(KeepKeys::Forever.horizon(now), None);
        let horizon = "2025-12-31T00:00:00Z".parse().unwrap();
        assert_eq!(year.horizon(now), Some(horizon));
    }
}
