//! Why a document cannot be read, and where.

use std::fmt;
use std::ops::Deref;

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

/// A [`ReadError`] in the making: the place is still a byte offset. Boxed, so that a result that
/// may be one is small and quick to hand on.
#[derive(Debug)]
pub(super) struct Problem(Box<Details>);

/// See [`Problem`].
#[derive(Debug)]
pub(super) struct Details {
    pub code: FaultCode,
    pub text: String,
    /// In bytes from the beginning of the document.
    pub at: usize,
    pub element: Option<String>,
}

impl Deref for Problem {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.0
    }
}

/// The longest element name that an error repeats, in characters.
const MAX_ELEMENT_CHARS: usize = 64;

impl Problem {
    pub fn new(code: FaultCode, at: usize, text: impl Into<String>) -> Self {
        Self(Box::new(Details {
            code,
            text: text.into(),
            at,
            element: None,
        }))
    }

    pub fn malformed(at: usize, text: impl Into<String>) -> Self {
        Self::new(FaultCode::Malformed, at, text)
    }

    pub fn invalid(at: usize, text: impl Into<String>) -> Self {
        Self::new(FaultCode::Invalid, at, text)
    }

    pub fn within(mut self, element: &str) -> Self {
        self.0.element = Some(element.chars().take(MAX_ELEMENT_CHARS).collect());
        self
    }

    /// Turns the offset into line and column: once, for it takes time linear in the offset.
    pub fn located(self, document: &[u8], call: Option<CallKind>, id: Option<String>) -> ReadError {
        let before = document.get(..self.at).unwrap_or(document);
        let line_start = before.iter().rposition(|&byte| byte == b'\n');
        let in_line = before.get(line_start.map_or(0, |at| at + 1)..);
        let lines = before.split(|&byte| byte == b'\n').count();
        let columns = in_line.map_or(0, |line| {
            let is_character = |byte: &&u8| (**byte).cast_signed() >= -0x40;
            line.iter().filter(is_character).count()
        });
        let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
        ReadError {
            code: self.0.code,
            text: self.0.text,
            line: number(lines),
            column: number(columns + 1),
            element: self.0.element,
            call,
            id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_lines_and_characters() {
        let document = "ab\nüx\r\ny".as_bytes();
        let places = [0, 2, 3, 5, 6, 8, 9, 99].map(|at| {
            let error = Problem::malformed(at, "").located(document, None, None);
            (error.line, error.column)
        });
        assert_eq!(
            places,
            [
                (1, 1),
                (1, 3),
                (2, 1),
                (2, 2),
                (2, 3),
                (3, 1),
                (3, 2),
                (3, 2)
            ]
        );
    }

    #[test]
    fn an_error_says_where_and_what() {
        let problem = Problem::invalid(3, "no job").within("executeJobs");
        let error = problem.located(b"ab\ncd", None, None);
        assert_eq!(
            error.to_string(),
            "line 2, column 1, in <executeJobs>: no job"
        );
    }
}
