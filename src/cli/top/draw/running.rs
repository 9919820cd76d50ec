//! The jobs that run.

use jiff::Timestamp;
use ratatui::layout::{Constraint, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row, Table, Wrap};

use super::super::holdings::{Holdings, Running};
use super::Canvas;
use crate::cli::job::present::{age, one_line};

/// A column: its head, its width, and the width of screen that it is shown from on.
struct Column {
    head: &'static str,
    width: Constraint,
    from_width: u16,
    cell: fn(&Running, Timestamp) -> String,
}

const COLUMNS: [Column; 7] = [
    column("RECORD", Constraint::Length(8), 0, |run, _| {
        run.record.id.to_string()
    }),
    column("OWNER", Constraint::Fill(2), 70, |run, _| {
        one_line(run.record.owner.as_str())
    }),
    column("JOB", Constraint::Fill(3), 0, |run, _| {
        one_line(&run.record.key.to_string())
    }),
    column("PROGRAM", Constraint::Fill(3), 50, |run, _| {
        run.program.clone()
    }),
    column("TIME", Constraint::Length(4), 0, |run, now| {
        age(run.record.started_at.unwrap_or(run.record.since), now)
    }),
    column("DONE", Constraint::Length(4), 0, |run, _| {
        let progress = run.record.progress.as_ref();
        progress.map_or_else(String::new, |progress| {
            format!("{}%", progress.permille / 10)
        })
    }),
    column("WORDS", Constraint::Fill(4), 60, words),
];

const fn column(
    head: &'static str,
    width: Constraint,
    from_width: u16,
    cell: fn(&Running, Timestamp) -> String,
) -> Column {
    Column {
        head,
        width,
        from_width,
        cell,
    }
}

fn words(run: &Running, _: Timestamp) -> String {
    let record = &run.record;
    let killed = record.kill_requested_at.map(|_| "kill wished".to_owned());
    let words = record
        .progress
        .as_ref()
        .map(|progress| one_line(&progress.words));
    let said = [killed, words]
        .into_iter()
        .flatten()
        .filter(|words| !words.is_empty());
    said.collect::<Vec<_>>().join("; ")
}

impl Canvas<'_, '_> {
    pub(super) fn running(&mut self, area: Rect) {
        let held = match &self.board.holdings {
            Holdings::Here(held) => held,
            Holdings::Asked => return self.nothing("asking the store", area),
            Holdings::Away(why) => {
                return self.nothing(&format!("not known, for no store answers: {why}"), area);
            }
        };
        let number = held.running.len();
        let rows = usize::from(area.height.saturating_sub(2));
        let title = match number.saturating_sub(rows) {
            0 => format!("Running ({number})"),
            hidden => format!("Running ({number}, {hidden} not shown)"),
        };
        let inner = self.section(&title, area);
        if held.running.is_empty() {
            let nothing = Line::styled("nothing runs", self.paint.faint());
            return self.lines(vec![nothing], inner);
        }
        self.table(&held.running, inner);
    }

    /// Why there is no table.
    fn nothing(&mut self, why: &str, area: Rect) {
        let inner = self.section("Running", area);
        let why = Paragraph::new(why)
            .style(self.paint.faint())
            .wrap(Wrap { trim: true });
        self.frame.render_widget(why, inner);
    }

    fn table(&mut self, running: &[Running], area: Rect) {
        let now = self.board.now;
        let columns: Vec<_> = COLUMNS
            .iter()
            .filter(|column| column.from_width <= area.width)
            .collect();
        let rows = running.iter().take(area.height.into()).map(|run| {
            Row::new(
                columns
                    .iter()
                    .map(|column| Cell::new((column.cell)(run, now))),
            )
        });
        let widths = columns.iter().map(|column| column.width);
        let head = Row::new(columns.iter().map(|column| Cell::new(column.head)));
        let table = Table::new(rows, widths).header(head.style(self.paint.head()));
        self.frame.render_widget(table, area);
    }
}
