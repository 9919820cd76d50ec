//! One line of the doctor's.

use std::fmt;

use serde_json::{Value, json};

use crate::error::{Kind, Report};

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// The daemon works, and somebody should look at it soon.
    Warning,
    /// The daemon does not work, or not all of it.
    Error(Kind),
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
        kind: Kind,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Error(kind),
            ..Self::warning(subject, what, remedy)
        }
    }

    /// What a command would have failed with.
    pub(super) fn of_report(subject: &'static str, report: &Report) -> Self {
        let mut words = vec![report.what.clone()];
        words.extend(report.causes.iter().cloned());
        Self {
            verdict: Verdict::Error(report.kind),
            remedy: report.hint.clone(),
            ..Self::ok(subject, words.join(": "))
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "check": self.subject,
            "verdict": self.verdict.name(),
            "what": self.what,
            "remedy": self.remedy,
        })
    }
}

impl Verdict {
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
        match &self.remedy {
            Some(remedy) => write!(f, "; next: {remedy}"),
            None => Ok(()),
        }
    }
}
