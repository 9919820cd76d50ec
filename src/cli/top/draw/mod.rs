//! The board on a terminal of any size; made for 80 columns and 24 lines.

mod headline;
mod jobs;
mod numbers;
mod paint;
mod running;
mod supervisors;
#[cfg(test)]
mod tests;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders, Paragraph};

use super::board::Board;
use paint::{Paint, TITLE};

/// On a lower screen only the headline, the jobs by state and what runs is shown, in lines.
const ROOMY: u16 = 16;

/// The lines that are not for supervisors, on a screen of that height.
const OTHERS: u16 = 16;

/// A terminal that is drawn on, and how.
struct Canvas<'a, 'b> {
    board: &'a Board,
    paint: Paint,
    frame: &'a mut Frame<'b>,
}

pub(super) fn draw(board: &Board, colours: bool, frame: &mut Frame) {
    let area = frame.area();
    let paint = Paint { colours };
    let mut canvas = Canvas {
        board,
        paint,
        frame,
    };
    if area.height < ROOMY {
        canvas.small(area);
    } else {
        canvas.roomy(area);
    }
}

impl Canvas<'_, '_> {
    fn small(&mut self, area: Rect) {
        let lines = [2, 3].map(Constraint::Length);
        let [head, jobs, running] =
            Layout::vertical([lines[0], lines[1], Constraint::Min(0)]).areas(area);
        self.headline(head);
        self.states(jobs);
        self.running(running);
    }

    fn roomy(&mut self, area: Rect) {
        let owners = self.board.owners();
        let room = area.height.saturating_sub(OTHERS).max(1);
        let rows = u16::try_from(owners.len())
            .unwrap_or(u16::MAX)
            .clamp(1, room);
        let [head, supervisors, jobs, running, foot] = Layout::vertical([
            Constraint::Length(3),
            Constraint::Length(rows + 2),
            Constraint::Length(6),
            Constraint::Min(0),
            Constraint::Length(1),
        ])
        .areas(area);
        self.headline(head);
        self.supervisors(&owners, supervisors);
        self.jobs(jobs);
        self.running(running);
        self.foot(foot);
    }

    /// Draws a line with a title, and gives what is below it.
    fn section(&mut self, title: &str, area: Rect) -> Rect {
        let title = Line::styled(format!(" {title} "), TITLE);
        let block = Block::new()
            .borders(Borders::TOP)
            .border_style(self.paint.faint())
            .title(title);
        let inner = block.inner(area);
        self.frame.render_widget(block, area);
        inner
    }

    fn lines(&mut self, lines: Vec<Line>, area: Rect) {
        self.frame.render_widget(Paragraph::new(lines), area);
    }

    fn foot(&mut self, area: Rect) {
        let every = numbers::seconds(self.board.interval);
        let text = format!("q quits; looks every {every}; `gristmill job why RECORD` says more");
        self.lines(vec![Line::styled(text, self.paint.faint())], area);
    }
}
