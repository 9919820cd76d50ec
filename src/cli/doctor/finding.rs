//! One line of the doctor's.

use std::fmt;

use serde_json::{Value, json};

use crate::error::{Code, Report};

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// The daemon works, and somebody should look at it soon.
    Warning,
    /// The daemon does not work, or not all of it.
    Error(Code),
}

/// What was found of one thing, and what to do about it.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) subject: &'static str,
    pub(super) verdict: Verdict,
    what: String,
    remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(subject: &'static str, what: impl Into<String>) -> Self {
        Self {
            subject,
            verdict: Verdict::Ok,
            what: what.into(),
            remedy: None,
        }
    }

    pub(super) fn warning(
        subject: &'static str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Warning,
            remedy: Some(remedy.into()),
            ..Self::ok(subject, what)
        }
    }

    pub(super) fn error(
        subject: &'static str,
        code: Code,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Error(code),
            ..Self::warning(subject, what, remedy)
        }
    }

    /// What a command would have failed with.
    pub(super) fn of_report(subject: &'static str, report: &Report) -> Self {
        let mut words = vec![report.what.clone()];
        words.extend(report.causes.iter().cloned());
        Self {
            verdict: Verdict::Error(report.code),
            remedy: report.hint.clone(),
            ..Self::ok(subject, words.join(": "))
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "check": self.subject,
            "verdict": self.verdict.name(),
            "code": self.verdict.code().map(|code| code.to_string()),
            "what": self.what,
            "remedy": self.remedy,
        })
    }
}

impl Verdict {
    fn code(self) -> Option<Code> {
        match self {
            Self::Error(code) => Some(code),
            Self::Ok | Self::Warning => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error(_) => "error",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verdict, subject) = (self.verdict.name(), self.subject);
        let what = self.what.replace('\n', " ");
        write!(f, "{verdict:<7}  {subject:<13}  {what}")?;
        if let Some(remedy) = &self.remedy {
            write!(f, "; next: {remedy}")?;
        }
        match self.verdict.code() {
            Some(code) => write!(f, " ({code})"),
            None => Ok(()),
        }
    }
}
