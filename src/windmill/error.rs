//! Why a document cannot be read.

use std::fmt;

use super::{CallKind, FaultCode};

/// Why a document cannot be read, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ReadError {
    /// `malformed`, `invalid`, `unsupported-call` or `too-large`.
    pub code: FaultCode,
    /// What is wrong, without the place.
    pub text: String,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// The innermost element that is concerned, as the document spells it.
    pub element: Option<String>,
    /// The call, where it could be read before the error.
    pub call: Option<CallKind>,
    /// The request's ID, where it could be read before the error.
    pub id: Option<String>,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)?;
        if let Some(element) = &self.element {
            write!(f, ", in <{element}>")?;
        }
        write!(f, ": {}", self.text)
    }
}
