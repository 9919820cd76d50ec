//! Documents to calls.

use super::{CallKind, FaultCode, ReadError, Request};

/// How much one document may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest document, in bytes.
    pub max_bytes: usize,
    /// The most `<job>` entries of one call.
    pub max_jobs: usize,
}

/// Reads a supervisor's document.
pub fn read_call(document: &[u8], limits: &Limits) -> Result<Request, ReadError> {
    let _ = (document, limits);
    Err(ReadError {
        code: FaultCode::Internal,
        text: "the reader is not built yet".into(),
        line: 1,
        column: 1,
        element: None,
        call: None,
        id: None,
    })
}

/// The call that a document's root names, from its prolog and its first tag alone.
#[must_use]
pub fn peek_kind(document: &str) -> Option<CallKind> {
    let _ = document;
    None
}
