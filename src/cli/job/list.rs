//! `gristmill job list`.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Row, Table};
use jiff::Timestamp;

use crate::config;
use crate::daemon::SystemClock;
use crate::error::Report;
use crate::job::policy::Clock;
use crate::job::{Record, State};

use super::super::args::List;
use super::super::output::Output;
use super::super::store;
use super::present::{age, one_line, span};
use super::{json, select};

/// A row is no higher, in lines: what a job's reason has more is in `job show`.
const ROW_LINES: usize = 3;

/// A column: its head, and what it says of a record.
struct Column {
    head: &'static str,
    /// Whether it may be broken into lines where the terminal is narrow.
    wraps: bool,
    cell: fn(&Record, Timestamp) -> String,
}

const COLUMNS: [Column; 9] = [
    fixed("RECORD", |record, _| record.id.to_string()),
    wrapping("JOB", |record, _| one_line(&record.key.to_string())),
    wrapping("OWNER", |record, _| one_line(record.owner.as_str())),
    fixed(STATE, |record, _| record.state.to_string()),
    fixed("SINCE", |record, now| age(record.since, now)),
    fixed("DUE", due),
    fixed("FAIL", |record, _| tries(record.runs)),
    fixed("LOST", |record, _| tries(record.abandons)),
    wrapping("REASON", |record, _| reason(record)),
];

const fn fixed(head: &'static str, cell: fn(&Record, Timestamp) -> String) -> Column {
    let wraps = false;
    Column { head, wraps, cell }
}

const fn wrapping(head: &'static str, cell: fn(&Record, Timestamp) -> String) -> Column {
    let wraps = true;
    Column { head, wraps, cell }
}

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
    let says_something = |column: &&Column| {
        records
            .iter()
            .any(|record| !(column.cell)(record, now).is_empty())
    };
    let columns: Vec<_> = COLUMNS.iter().filter(says_something).collect();
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(columns.iter().map(|column| column.head));
    for record in records {
        let cells = columns.iter().map(|column| {
            let cell = Cell::new((column.cell)(record, now));
            match colour(record.state) {
                Some(colour) if column.head == STATE => cell.fg(colour),
                _ => cell,
            }
        });
        let mut row = Row::from(cells.collect::<Vec<_>>());
        row.max_height(ROW_LINES);
        table.add_row(row);
    }
    for (shown, column) in table.column_iter_mut().zip(&columns) {
        if !column.wraps {
            shown.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table
}

/// In how long a job that waits for its time is due.
fn due(record: &Record, now: Timestamp) -> String {
    let waits = !record.state.is_final() && record.due_at.is_some_and(|due| due > now);
    let due = record.due_at.filter(|_| waits);
    due.map_or_else(String::new, |due| span(due.duration_since(now)))
}

/// How many failed runs or abandons; nothing where all is well.
fn tries(number: u32) -> String {
    if number == 0 {
        String::new()
    } else {
        number.to_string()
    }
}

/// Why it stands where it stands; of a job that runs, how far it is.
fn reason(record: &Record) -> String {
    let mut said = Vec::new();
    if record.kill_requested_at.is_some() && !record.state.is_final() {
        said.push("kill wished".to_owned());
    }
    if let (State::Running, Some(progress)) = (record.state, &record.progress) {
        let words = one_line(&progress.words);
        said.push(format!("{} % {words}", progress.permille / 10));
    }
    said.extend(record.reason.as_deref().map(one_line));
    said.join("; ").trim().to_owned()
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

#[cfg(test)]
pub(in crate::cli) mod tests {
    use super::*;
    use crate::job::{Attempt, ContentHash, JobId, JobKey, Owner, Progress, RecordId, Token};

    /// The time in these tests, in seconds.
    pub(in crate::cli) const NOW: i64 = 1_800_000_000;

    pub(in crate::cli) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Record 7 of job 5173021, an hour old, five minutes in its state.
    pub(in crate::cli) fn record(state: State) -> Record {
        Record {
            id: RecordId::new(7).unwrap(),
            owner: Owner::new("prodsys").unwrap(),
            key: JobKey {
                job_id: JobId::new("5173021").unwrap(),
                attempt: Attempt::FIRST,
            },
            state,
            priority: 0,
            content: ContentHash([0; 32]),
            reason: None,
            accepted_at: at(NOW - 3_600),
            since: at(NOW - 300),
            kill_requested_at: None,
            due_at: None,
            token: Token(0),
            holder: None,
            runs: 0,
            abandons: 0,
            started_at: None,
            progress: None,
            told: false,
            result: None,
        }
    }

    fn lines(records: &[Record]) -> Vec<String> {
        let mut table = table(records, at(NOW));
        table.set_width(80).force_no_tty();
        table
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect()
    }

    #[test]
    fn columns_that_say_nothing_are_left_out() {
        let lines = lines(&[record(State::Ready)]);
        assert_eq!(
            lines,
            [
                " RECORD  JOB        OWNER    STATE  SINCE",
                " 7       5173021#1  prodsys  ready  5m"
            ]
        );
    }

    #[test]
    fn what_a_job_has_gone_through_is_seen_at_a_glance() {
        let tried = Record {
            runs: 2,
            abandons: 1,
            due_at: Some(at(NOW + 40)),
            reason: Some("exit code 75\x1b[2J".to_owned()),
            ..record(State::Scheduled)
        };
        let running = Record {
            progress: Some(Progress {
                permille: 250,
                words: "event 50".to_owned(),
            }),
            kill_requested_at: Some(at(NOW)),
            ..record(State::Running)
        };
        assert_eq!(
            lines(&[tried, running]),
            [
                " RECORD  JOB        OWNER    STATE      SINCE  DUE  FAIL  LOST  REASON",
                " 7       5173021#1  prodsys  scheduled  5m     40s  2     1     exit code",
                "                                                                75\\u{1b}[2J",
                " 7       5173021#1  prodsys  running    5m                      kill wished; 25",
                "                                                                % event 50",
            ]
        );
    }

    #[test]
    fn no_row_is_higher_than_three_lines() {
        let long = Record {
            reason: Some("word ".repeat(200)),
            ..record(State::Held(crate::job::HeldFrom::Ready))
        };
        assert!(lines(&[long]).len() <= 1 + ROW_LINES);
    }
}
