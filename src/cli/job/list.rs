//! `gristmill job list`.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, Color, ContentArrangement, Row, Table};
use jiff::Timestamp;

use crate::config;
use crate::daemon::SystemClock;
use crate::error::Report;
use crate::job::policy::Clock;
use crate::job::{Record, State};

use super::super::args::List;
use super::super::output::Output;
use super::super::store;
use super::present::{age, one_line};
use super::{json, select};

/// A row is no higher, in lines: what a job's reason has more is in `job show`.
const ROW_LINES: usize = 3;

/// A column: its head, and what it says of a record.
type Column = (&'static str, fn(&Record, Timestamp) -> String);

const COLUMNS: [Column; 7] = [
    ("RECORD", |record, _| record.id.to_string()),
    ("JOB", |record, _| record.key.job_id.to_string()),
    ("ATTEMPT", |record, _| record.key.attempt.to_string()),
    ("OWNER", |record, _| record.owner.to_string()),
    (STATE, |record, _| record.state.to_string()),
    ("SINCE", |record, now| age(record.since, now)),
    ("REASON", |record, _| {
        record.reason.as_deref().map(one_line).unwrap_or_default()
    }),
];

/// The head of the column that may have a colour.
const STATE: &str = "STATE";

pub(super) async fn run(arguments: List, output: &mut Output) -> Result<(), Report> {
    let config = arguments.source.load()?.config;
    let filter = select::list_filter(&arguments.filter, arguments.limit);
    let store = store::for_reading(&config).await?;
    let records = store.ask(|store| store.list(&filter)).await?;
    if arguments.json {
        return records
            .iter()
            .try_for_each(|record| output.json(&json::record(record)));
    }
    if records.is_empty() {
        output.note("no such jobs");
        return Ok(());
    }
    let table = table(&records, SystemClock.now());
    output.line(table.trim_fmt())?;
    if records.len() >= usize::try_from(arguments.limit).unwrap_or(usize::MAX) {
        output.note("there may be more: --limit says how many are listed");
    }
    Ok(())
}

/// One row for each record; a column that says nothing of any of them is left out.
fn table(records: &[Record], now: Timestamp) -> Table {
    let cells = |(_, cell): &Column| -> Vec<String> {
        records.iter().map(|record| cell(record, now)).collect()
    };
    let columns = COLUMNS.iter().map(|column| (column.0, cells(column)));
    let columns: Vec<_> = columns
        .filter(|(_, cells)| cells.iter().any(|cell| !cell.is_empty()))
        .collect();
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(columns.iter().map(|(head, _)| *head));
    for (index, record) in records.iter().enumerate() {
        let cells = columns.iter().map(|(head, cells)| {
            let cell = Cell::new(cells.get(index).map_or("", String::as_str));
            match colour(record.state) {
                Some(colour) if *head == STATE => cell.fg(colour),
                _ => cell,
            }
        });
        let mut row = Row::from(cells.collect::<Vec<_>>());
        row.max_height(ROW_LINES);
        table.add_row(row);
    }
    table
}

/// Shown on a terminal only.
fn colour(state: State) -> Option<Color> {
    if !config::colours_are_welcome() {
        return None;
    }
    match state {
        State::Running => Some(Color::Cyan),
        State::Succeeded => Some(Color::Green),
        State::Held(_) => Some(Color::Yellow),
        State::Failed | State::TimedOut | State::Trashed => Some(Color::Red),
        _ => None,
    }
}
