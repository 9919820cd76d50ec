//! Runs: which one, how it ended, what it left behind.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::{JobSpec, RecordId};

/// A fencing token: how often its record has been claimed. What comes with a stale one changes
/// nothing. 0: never claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one store among all that ever were; so records of two stores can be told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreId(String);

impl StoreId {
    /// The longest, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// `None`: it is empty, too long, or has other characters than letters and digits.
    #[must_use]
    pub fn new(name: String) -> Option<Self> {
        let fits = (1..=Self::MAX_BYTES).contains(&name.len());
        (fits && name.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(Self(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one run of a store, for ever: no claim of a record has another one's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunKey {
    /// Whose run it is.
    pub record: RecordId,
    /// The claim that it was started under.
    pub token: Token,
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.record, self.token)
    }
}

/// What a runner needs to start a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOrder {
    /// Which run.
    pub key: RunKey,
    /// Counts the runs of its record, from 1; what the program is told.
    pub number: u32,
    /// What to run.
    pub spec: JobSpec,
    /// When the run must have ended by itself unless it is renewed, as time since boot,
    /// suspension included. `None`: never.
    pub lease_until: Option<Duration>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Well, with everything that it had to leave behind.
    Succeeded,
    /// Badly, and another run would end alike.
    Failed,
    /// Badly, and another run may do better.
    FailedForNow,
    /// It took longer than it may.
    TimedOut,
    /// It was told to stop.
    Stopped,
    /// It ended itself for it was not renewed in time, or it vanished (a crash of its machine).
    Lost,
}

impl Verdict {
    /// Every way.
    pub const ALL: [Self; 6] = [
        Self::Succeeded,
        Self::Failed,
        Self::FailedForNow,
        Self::TimedOut,
        Self::Stopped,
        Self::Lost,
    ];

    /// The verdict's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::FailedForNow => "failed_for_now",
            Self::TimedOut => "timed_out",
            Self::Stopped => "stopped",
            Self::Lost => "lost",
        }
    }
}

/// What a run left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunReport {
    /// How it ended.
    pub verdict: Verdict,
    /// When the program started; `None`: it never did.
    pub started_at: Option<Timestamp>,
    /// When the last of its processes was gone.
    pub ended_at: Timestamp,
    /// The program's exit code; `None`: a signal ended it, or it never started.
    pub exit_code: Option<i32>,
    /// Of the whole process tree.
    pub cpu: Duration,
    /// Of the whole process tree, in bytes.
    pub peak_memory: u64,
    /// Why it did not succeed.
    pub fault: Option<RunFault>,
    /// The declared outputs that are there.
    pub outputs: Vec<OutputFile>,
}

/// Why a run did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFault {
    /// A short word for programs, for instance `exit-status`.
    pub code: String,
    /// A sentence for people.
    pub text: String,
}

/// A file that a run left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputFile {
    /// The name under which it was declared.
    pub logical_name: String,
    /// In bytes.
    pub size: u64,
    /// Of its content.
    pub sha256: [u8; 32],
}

impl OutputFile {
    /// The hash of its content in lower-case hexadecimal.
    #[must_use]
    pub fn sha256_hex(&self) -> String {
        let digits = self.sha256.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits
            .filter_map(|digit| char::from_digit(digit.into(), 16))
            .collect()
    }
}

/// How far a run has come, in its program's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// In thousandths, 0 to 1000.
    pub permille: u16,
    /// What it does just now; may be empty.
    pub words: String,
}
