//! Who hands in jobs, and how that goes.

use ratatui::layout::{Alignment, Constraint, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Row, Table};

use super::super::board::Owner;
use super::numbers::{UNKNOWN, count, rate};
use super::{Canvas, Paint};

/// From this width on the JIDs are shown, too.
const WIDE: u16 = 110;

/// A column of numbers: its head, its width, and the width of screen that it is shown from on.
struct Column {
    head: &'static str,
    width: u16,
    from_width: u16,
    cell: fn(&Owner, Paint) -> Line<'static>,
}

const COLUMNS: [Column; 8] = [
    column("CALLS", 7, 0, |owner, _| count(owner.calls).into()),
    column("/MIN", 6, 0, |owner, _| rate(owner.calls_a_minute).into()),
    column("FAULTS", 6, 60, |owner, paint| odd(owner.faults, paint)),
    column("QUEUE", 5, 60, |owner, paint| odd(owner.queue, paint)),
    column("JOBS", 7, 50, |owner, _| count(owner.jobs).into()),
    column("/MIN", 6, 70, |owner, _| rate(owner.jobs_a_minute).into()),
    column("REFUSED", 7, 70, |owner, paint| odd(owner.refused, paint)),
    column("OPEN", 6, 0, |owner, _| open(owner).into()),
];

const fn column(
    head: &'static str,
    width: u16,
    from_width: u16,
    cell: fn(&Owner, Paint) -> Line<'static>,
) -> Column {
    Column {
        head,
        width,
        from_width,
        cell,
    }
}

/// A number that had better be zero.
fn odd(number: Option<f64>, paint: Paint) -> Line<'static> {
    let line = Line::from(count(number));
    match number {
        Some(number) if number > 0.0 => line.style(paint.odd()),
        _ => line,
    }
}

fn open(owner: &Owner) -> String {
    let unfinished = owner.unfinished;
    unfinished.map_or(UNKNOWN.to_owned(), |number| number.to_string())
}

impl Canvas<'_, '_> {
    pub(super) fn supervisors(&mut self, owners: &[Owner], area: Rect) {
        let area = self.section("Supervisors", area);
        let rows = usize::from(area.height.saturating_sub(1));
        // The last line says how many have none.
        let shown = match owners.len() {
            number if number > rows => rows.saturating_sub(1),
            number => number,
        };
        let columns = COLUMNS.iter();
        let columns: Vec<_> = columns
            .filter(|column| column.from_width <= area.width)
            .collect();
        let wide = area.width >= WIDE;
        let row = |owner: &Owner| {
            let numbers = columns
                .iter()
                .map(|column| right((column.cell)(owner, self.paint)));
            let jids = wide.then(|| Cell::new(owner.jids.clone()));
            Row::new(
                [Cell::new(owner.name.clone())]
                    .into_iter()
                    .chain(numbers)
                    .chain(jids),
            )
        };
        let mut lines: Vec<_> = owners.iter().take(shown).map(row).collect();
        if owners.len() > shown {
            lines.push(Row::new([format!("and {} more", owners.len() - shown)]));
        }
        let heads = columns.iter().map(|column| right(column.head.into()));
        let jid = wide.then(|| Cell::new("JID"));
        let head = [Cell::new("OWNER")].into_iter().chain(heads).chain(jid);
        let widths = columns
            .iter()
            .map(|column| Constraint::Length(column.width));
        let jids = wide.then_some(Constraint::Fill(2));
        let widths = [Constraint::Fill(1)].into_iter().chain(widths).chain(jids);
        let table = Table::new(lines, widths).header(Row::new(head).style(self.paint.head()));
        self.frame.render_widget(table, area);
    }
}

fn right(line: Line<'static>) -> Cell<'static> {
    Cell::new(line.alignment(Alignment::Right))
}
