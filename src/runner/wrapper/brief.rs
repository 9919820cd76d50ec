//! What a daemon and a wrapper say to each other when a run starts.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::fault::{Fault, Step};
use super::{Limits, Moment};

/// What the daemon tells the wrapper, beside the program and its arguments.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Brief {
    /// When the daemon wrote this.
    pub now: Moment,
    /// Which boot.
    pub boot_id: String,
    /// The name of the file for standard output.
    pub stdout: String,
    /// The name of the file for standard error.
    pub stderr: String,
    /// How long the program may take.
    pub timeout: Duration,
    /// How long the program may take to end when it is asked to.
    pub grace: Duration,
    /// What it may use.
    pub limits: Limits,
    /// The cgroup to run it in; `None`: the kernel holds only its single processes to limits.
    pub cgroup: Option<PathBuf>,
}

/// The wrapper's one line for the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// The program runs, or has ended already.
    Started,
    /// Nothing was started.
    Refused(Refusal),
}

/// Why a wrapper did not start the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// This run was started before, or must never be.
    Again,
    /// Its lease is over.
    Lapsed,
    /// The machine is not fit for it.
    Host(String),
    /// It may go better later.
    Transient(String),
    /// It never will.
    Permanent(String),
}

impl Refusal {
    /// A step failed; `what` was being done.
    pub fn of(step: Step, what: impl Display, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        let text = format!("{what}: {error}");
        match step.fault(&error) {
            Fault::Host => Self::Host(text),
            Fault::Job => Self::Permanent(text),
            Fault::Passing => Self::Transient(text),
        }
    }

    /// What went wrong before the program's turn.
    pub fn before(what: impl Display, error: impl Into<io::Error>) -> Self {
        Self::of(Step::Preparation, what, error)
    }
}

impl From<&Refusal> for Word {
    fn from(refusal: &Refusal) -> Self {
        Self::Refused(refusal.clone())
    }
}

impl Word {
    /// As it is sent.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// As it came; `None`: the wrapper died before it was written.
    pub fn from_line(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line.strip_suffix(b"\n")?).ok()
    }
}
