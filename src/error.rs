//! What an operator reads when something goes wrong, and the exit codes.

mod table;

use std::fmt;
use std::process::ExitCode;
use std::str::FromStr;

pub use table::Code;

/// What begins every error's number.
const PREFIX: &str = "GM";

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
    /// Which one it is; decides the exit code.
    pub code: Code,
    /// What went wrong, and where.
    pub what: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to do next.
    pub hint: Option<String>,
}

impl Report {
    /// A report without causes and hint.
    pub fn new(code: Code, what: impl Into<String>) -> Self {
        Self {
            code,
            what: what.into(),
            causes: Vec::new(),
            hint: None,
        }
    }

    /// What it means to the one who called.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.code.kind()
    }

    /// Adds an error and what lies under it.
    #[must_use]
    pub fn because(mut self, error: impl std::error::Error) -> Self {
        self.add_cause(error.to_string());
        let mut source = error.source();
        while let Some(error) = source {
            self.add_cause(error.to_string());
            source = error.source();
        }
        self
    }

    /// Many an error ends with the words of the one that lies under it.
    fn add_cause(&mut self, cause: String) {
        let said = self.causes.last().unwrap_or(&self.what);
        if !said.ends_with(&cause) {
            self.causes.push(cause);
        }
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
        write!(f, "error[{}]: {}", self.code, self.what)?;
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

impl Code {
    /// What it means to the one who called.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.entry().kind
    }

    /// In a few words.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.entry().title
    }

    /// What has happened.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        self.entry().meaning
    }

    /// What to do.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        self.entry().remedy
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{:04}", *self as u16)
    }
}

/// Why a text is no error's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no error has that number")]
pub struct NoSuchCode;

impl FromStr for Code {
    type Err = NoSuchCode;

    /// With or without what begins it, in either case.
    fn from_str(text: &str) -> Result<Self, NoSuchCode> {
        let text = text.to_ascii_uppercase();
        let number = text.strip_prefix(PREFIX).unwrap_or(&text);
        let number: u16 = number.parse().map_err(|_| NoSuchCode)?;
        let mut all = Self::ALL.iter().copied();
        all.find(|code| *code as u16 == number).ok_or(NoSuchCode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the file is not there: {0}")]
    struct Missing(#[source] std::io::Error);

    #[test]
    fn no_cause_is_said_twice() {
        let missing = || Missing(std::io::Error::other("no such file"));
        let report = Report::new(Code::Internal, "nothing works").because(missing());
        assert_eq!(report.causes, ["the file is not there: no such file"]);
        let report = Report::new(Code::Internal, missing().to_string()).because(missing());
        assert!(report.causes.is_empty(), "{report}");
    }
}
