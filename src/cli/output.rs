//! Where results and reports go: data to standard output, everything else to standard error.

use std::fmt::Display;
use std::io::{self, BufRead, ErrorKind, IsTerminal, Write};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::error::{Code, Report};

use super::shown::{shown, shown_json};

/// The two standard streams.
pub(super) struct Output {
    /// The reader of our output went away: nothing more is to be said, and that is no failure.
    broken: bool,
}

impl Output {
    pub(super) fn standard() -> Self {
        Self { broken: false }
    }

    /// Whether somebody looks on.
    pub(super) fn is_watched() -> bool {
        io::stderr().is_terminal()
    }

    /// Whether the reader of our output went away.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Writes to standard output as it is.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Report> {
        self.bytes(text.as_bytes())
    }

    /// Writes to standard output as it is.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Report> {
        let mut out = io::stdout().lock();
        let written = out.write_all(bytes).and_then(|()| out.flush());
        written.map_err(|error| {
            self.broken = error.kind() == ErrorKind::BrokenPipe;
            Report::new(Code::OutputUnwritable, "standard output cannot be written").because(error)
        })
    }

    /// Writes lines to standard output, with what could steer a terminal escaped.
    pub(super) fn line(&mut self, line: impl Display) -> Result<(), Report> {
        self.text(&shown(&format!("{line}\n")))
    }

    /// Writes a value as JSON, on a line of its own.
    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<(), Report> {
        let json = serde_json::to_string(value).map_err(|error| {
            Report::new(Code::Internal, "a result cannot be written as JSON").because(error)
        })?;
        self.text(&format!("{}\n", shown_json(&json)))
    }

    #[expect(
        clippy::unused_self,
        reason = "whoever may speak has the output in hand"
    )]
    /// Asks whoever sits at the terminal; an error unless the answer is yes.
    pub(super) fn confirm(&self, question: &str) -> Result<(), Report> {
        if !io::stdin().is_terminal() || !Self::is_watched() {
            let report = Report::new(Code::NotConfirmed, format!("nobody was asked: {question}"));
            return Err(report.hint("--yes says that it is meant"));
        }
        let _ = write!(io::stderr(), "{} [y/N] ", shown(question));
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        read.map_err(|error| {
            Report::new(Code::AnswerUnreadable, "no answer can be read").because(error)
        })?;
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        Err(Report::new(Code::NothingDone, "nothing was done"))
    }

    /// Says something to the one who looks on. That nobody hears it harms nothing.
    #[expect(
        clippy::unused_self,
        reason = "whoever may speak has the output in hand"
    )]
    pub(super) fn note(&self, note: impl Display) {
        let _ = writeln!(io::stderr(), "{}", shown(&note.to_string()));
    }

    /// The same, where a reader that does not read is not waited for.
    #[expect(clippy::unused_self, reason = "as for `note`")]
    pub(super) fn note_within(&self, limit: Duration, note: String) {
        let (said, heard) = channel();
        let noting = thread::Builder::new().spawn(move || {
            let _ = writeln!(io::stderr(), "{}", shown(&note));
            let _ = said.send(());
        });
        if noting.is_ok() {
            let _ = heard.recv_timeout(limit);
        }
    }
}
