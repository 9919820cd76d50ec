//! The names of things: owners, jobs, attempts, records. Each is valid once it exists.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::str::FromStr;

/// Why a text is no name of the wanted kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {why}")]
pub struct InvalidId {
    /// The kind of name, as the supervisor's language spells it.
    pub what: &'static str,
    /// What is wrong with it; never quotes the text.
    pub why: &'static str,
}

/// The name under which a supervisor's jobs are stored: 1 to 255 bytes, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(String);

impl Owner {
    /// The longest owner, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Checks length and characters.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidId> {
        let name = name.into();
        let refuse = |why| Err(InvalidId { what: "owner", why });
        if name.is_empty() {
            refuse("is empty")
        } else if name.len() > Self::MAX_BYTES {
            refuse("is longer than 255 bytes")
        } else if name.contains(char::is_control) {
            refuse("contains a control character")
        } else {
            Ok(Self(name))
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A job's name in the supervisor's production database: 1 to 64 characters, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(String);

impl JobId {
    /// The longest job ID, in characters.
    pub const MAX_CHARS: usize = 64;

    /// Checks length and characters.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidId> {
        let name = name.into();
        let refuse = |why| Err(InvalidId { what: "jobID", why });
        if name.is_empty() {
            refuse("is empty")
        } else if name.chars().count() > Self::MAX_CHARS {
            refuse("is longer than 64 characters")
        } else if name.contains(char::is_control) {
            refuse("contains a control character")
        } else {
            Ok(Self(name))
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which try of the supervisor's this is, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attempt(NonZeroU32);

impl Attempt {
    /// The attempt of a job that names none.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The attempt with this number, from 1.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The number, from 1.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl FromStr for Attempt {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.parse().ok().and_then(Self::new).ok_or(InvalidId {
            what: "attempt",
            why: "is not a whole number from 1 to 4294967295",
        })
    }
}

/// What names a job within its owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobKey {
    /// The supervisor's name for the job.
    pub job_id: JobId,
    /// The supervisor's try at it.
    pub attempt: Attempt,
}

/// The task buffer's number of a record: 1 to 2^63 - 1, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(NonZeroU64);

impl RecordId {
    /// The largest record ID, and the longest to write (19 digits).
    pub const MAX: Self = match NonZeroU64::new(i64::MAX.unsigned_abs()) {
        Some(number) => Self(number),
        None => unreachable!(),
    };

    /// The record ID with this number; `None` outside 1 to 2^63 - 1.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        if number > i64::MAX.unsigned_abs() {
            return None;
        }
        NonZeroU64::new(number).map(Self)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl FromStr for RecordId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.parse().ok().and_then(Self::new).ok_or(InvalidId {
            what: "taskBufferRecordID",
            why: "is not a positive 64-bit number",
        })
    }
}

macro_rules! display_as_inner {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

display_as_inner!(Owner, JobId, Attempt, RecordId);

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.job_id, self.attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_ids_are_counted_in_characters() {
        assert!(JobId::new("é".repeat(64)).is_ok());
        assert!(JobId::new("é".repeat(65)).is_err());
        assert!(JobId::new("").is_err());
        assert!(JobId::new("a\0b").is_err());
    }

    #[test]
    fn owners_are_counted_in_bytes() {
        assert!(Owner::new("é".repeat(127)).is_ok());
        assert!(Owner::new("é".repeat(128)).is_err());
        assert!(Owner::new("a\nb").is_err());
    }

    #[test]
    fn record_ids_fit_a_signed_column() {
        assert_eq!(RecordId::new(0), None);
        assert_eq!(RecordId::new(u64::MAX), None);
        assert_eq!(RecordId::MAX.get(), i64::MAX.unsigned_abs());
        assert_eq!("9223372036854775807".parse(), Ok(RecordId::MAX));
        for bad in ["", "-1", "0", " 1", "9223372036854775808", "1.0", "x"] {
            assert!(bad.parse::<RecordId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn attempts_begin_at_one() {
        assert_eq!("1".parse(), Ok(Attempt::FIRST));
        assert!("0".parse::<Attempt>().is_err());
        assert!("-1".parse::<Attempt>().is_err());
    }
}
