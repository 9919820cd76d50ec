//! What stands out, with colours and without.

use ratatui::style::{Color, Modifier, Style};

pub(super) const TITLE: Style = Style::new().add_modifier(Modifier::BOLD);

/// How things are painted.
#[derive(Clone, Copy)]
pub(super) struct Paint {
    /// Without them what matters is bold.
    pub(super) colours: bool,
}

impl Paint {
    pub(super) fn head(self) -> Style {
        self.faint().add_modifier(Modifier::BOLD)
    }

    pub(super) fn faint(self) -> Style {
        self.colour(Color::DarkGray)
    }

    pub(super) fn good(self) -> Style {
        self.colour(Color::Green)
    }

    pub(super) fn lively(self) -> Style {
        self.colour(Color::Cyan)
    }

    pub(super) fn odd(self) -> Style {
        self.colour(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    pub(super) fn bad(self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    fn colour(self, colour: Color) -> Style {
        if self.colours {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }
}
