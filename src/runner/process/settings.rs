//! How jobs run as local processes.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::super::cgroup::Wanted;
use super::Limits;

/// What a [`super::ProcessRunner`] is opened with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folders below which a job's program is looked up, in this order.
    pub transformations: Vec<PathBuf>,
    /// The folder of the runs; one daemon's.
    pub work_dir: PathBuf,
    /// The gristmill program, which is each run's wrapper.
    pub wrapper: PathBuf,
    /// How long a run may take.
    pub timeout: Duration,
    /// How long a program may take to end when it is asked to.
    pub grace: Duration,
    /// Whose folders are kept.
    pub keep_work: KeepWork,
    /// How much is kept.
    pub keep: KeepLimits,
    /// Exit codes after which another run may do better.
    pub retry_exit_codes: Vec<i32>,
    /// What a run may use.
    pub limits: Limits,
    /// Where runs get cgroups of their own, if they do.
    pub cgroup: Wanted,
}

/// Whose folder is kept when a run is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepWork {
    /// Nobody's.
    Never,
    /// That of runs that did not succeed.
    Failed,
    /// Everybody's.
    Always,
}

/// How much is kept of runs that are forgotten; beyond it, what ended first is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepLimits {
    /// How long after its end a run's folder is kept.
    pub age: Duration,
    /// What all of them may take on disk, in bytes.
    pub bytes: u64,
    /// How many there may be.
    pub number: u64,
}

impl Default for KeepLimits {
    /// No limits.
    fn default() -> Self {
        Self {
            age: Duration::MAX,
            bytes: u64::MAX,
            number: u64::MAX,
        }
    }
}

impl KeepLimits {
    /// Whether a run that ended then is kept no longer.
    pub(super) fn is_too_old(&self, ended: Timestamp, now: Timestamp) -> bool {
        let age = Duration::try_from(now.duration_since(ended)).unwrap_or_default();
        age > self.age
    }
}

impl KeepWork {
    /// Whether the folder of a run is kept.
    pub(super) fn keeps(self, failed: bool) -> bool {
        match self {
            Self::Never => false,
            Self::Failed => failed,
            Self::Always => true,
        }
    }
}
