//! What an operator reads when something goes wrong, and the exit codes.

use std::fmt;
use std::process::ExitCode;

/// What a command's failure means to the one who called it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was tried and did not work.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// The configuration makes no sense.
    Configuration,
    /// The daemon or the store cannot be reached.
    Unreachable,
    /// What was asked for is not there.
    NotFound,
    /// What was asked does not fit what is there.
    Conflict,
    /// A bug of ours.
    Bug,
}

impl Kind {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// The same as a number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Configuration => 3,
            Self::Unreachable => 4,
            Self::NotFound => 5,
            Self::Conflict => 6,
            Self::Bug => 70,
        }
    }
}

/// What, where, why and what next: the one form in which people read errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Decides the exit code.
    pub kind: Kind,
    /// What went wrong, and where.
    pub what: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to do next.
    pub hint: Option<String>,
}

impl Report {
    /// A report without causes and hint.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            causes: Vec::new(),
            hint: None,
        }
    }

    /// Adds an error and what lies under it.
    #[must_use]
    pub fn because(mut self, error: impl std::error::Error) -> Self {
        self.causes.push(error.to_string());
        let mut source = error.source();
        while let Some(error) = source {
            self.causes.push(error.to_string());
            source = error.source();
        }
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        for cause in &self.causes {
            write!(f, "\n  why: {cause}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  next: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}
