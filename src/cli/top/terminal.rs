//! The terminal: taken over while the screen is shown, and given back as it was, however that ends.

use std::io::{self, IsTerminal};
use std::thread;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};
use tokio::sync::mpsc;

use crate::error::{Code, Report};

/// Who reads the keys looks up so often whether anybody still wants them.
const LOOK_UP: Duration = Duration::from_millis(250);

/// Keys that wait to be dealt with.
const MAX_WAITING: usize = 16;

/// A terminal that is ours until this is dropped. A panic gives it back, too.
pub(super) struct Screen {
    terminal: DefaultTerminal,
}

/// What the one at the terminal did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Quit,
    Resize,
}

/// An error unless somebody sits there.
pub(super) fn must_be_one() -> Result<(), Report> {
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        return Ok(());
    }
    let report = Report::new(Code::NoTerminal, "the live screen wants a terminal");
    Err(report.hint("programs read `gristmill job list --json`, and /metrics at http.listen"))
}

impl Screen {
    pub(super) fn open() -> Result<Self, Report> {
        match ratatui::try_init() {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                let _ = ratatui::try_restore();
                Err(unusable(error))
            }
        }
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut ratatui::Frame)) -> Result<(), Report> {
        self.terminal.draw(draw).map(drop).map_err(unusable)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Whoever closed the terminal does not miss it.
        let _ = self.terminal.show_cursor();
        let _ = ratatui::try_restore();
    }
}

fn unusable(error: io::Error) -> Report {
    Report::new(Code::OutputUnwritable, "the terminal cannot be drawn on").because(error)
}

/// What is typed, from now on; ends where the terminal does.
///
/// Read by a thread of its own, which nothing waits for: a terminal that hangs harms nobody.
pub(super) fn inputs() -> mpsc::Receiver<Input> {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    thread::spawn(move || {
        while !sender.is_closed() {
            let input = match event::poll(LOOK_UP) {
                Ok(false) => continue,
                Ok(true) => event::read().ok().map(|event| meaning(&event)),
                Err(_) => None,
            };
            let Some(input) = input else { return };
            if input.is_some_and(|input| sender.blocking_send(input).is_err()) {
                return;
            }
        }
    });
    receiver
}

fn meaning(event: &Event) -> Option<Input> {
    let quits = |key: &KeyEvent| match key.code {
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => true,
        KeyCode::Char('c') => key.modifiers.contains(KeyModifiers::CONTROL),
        _ => false,
    };
    match event {
        Event::Resize(..) => Some(Input::Resize),
        event => event
            .as_key_press_event()
            .filter(quits)
            .map(|_| Input::Quit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_escape_and_control_c_quit() {
        let key = |code, modifiers| meaning(&Event::Key(KeyEvent::new(code, modifiers)));
        for code in [KeyCode::Char('q'), KeyCode::Char('Q'), KeyCode::Esc] {
            assert_eq!(key(code, KeyModifiers::NONE), Some(Input::Quit));
        }
        assert_eq!(
            key(KeyCode::Char('c'), KeyModifiers::CONTROL),
            Some(Input::Quit)
        );
        for code in [KeyCode::Char('c'), KeyCode::Enter, KeyCode::Char('x')] {
            assert_eq!(key(code, KeyModifiers::NONE), None);
        }
        assert_eq!(meaning(&Event::Resize(80, 24)), Some(Input::Resize));
        assert_eq!(meaning(&Event::FocusLost), None);
    }
}
