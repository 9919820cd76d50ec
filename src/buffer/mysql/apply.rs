//! Writes what was decided about locked rows: one statement for each group of records that change
//! alike, one for all events, one for all results.

use mysql_async::{Conn, Result, Value};

use super::notices::note;
use super::statement::{Insert, update_in};
use crate::buffer::changes::{Cell, Changes, EventRow};
use crate::buffer::result_row::ResultRow;

/// Makes the changes in the session's open transaction; gives the events that are still to be
/// inserted.
pub(super) async fn apply(
    conn: &mut Conn,
    changes: Changes,
    budget: usize,
) -> Result<Vec<EventRow>> {
    for group in &changes.groups {
        let statement = format!("{} AND id IN ({{keys}})", group.statement());
        let cells: Vec<Value> = group.cells().into_iter().map(value).collect();
        update_in(conn, &statement, &cells, &keys(&group.ids)).await?;
    }
    let statement = "DELETE FROM results WHERE record_id IN ({keys})";
    update_in(conn, statement, &[], &keys(&changes.dropped_results)).await?;
    insert_results(changes.results).run(conn, budget).await?;
    note(conn, changes.words).await?;
    Ok(changes.events)
}

fn keys(ids: &[i64]) -> Vec<Value> {
    ids.iter().map(Value::from).collect()
}

fn value(cell: Cell) -> Value {
    match cell {
        Cell::Null => Value::NULL,
        Cell::Number(number) => number.into(),
        Cell::Text(text) => text.as_bytes().into(),
    }
}

pub(super) fn insert_events(events: Vec<EventRow>) -> Insert {
    let row = |event: EventRow| {
        vec![
            event.record_id.into(),
            event.at.into(),
            event.level.into(),
            event.code.as_bytes().into(),
            event.text.into(),
        ]
    };
    Insert {
        head: "INSERT INTO events (record_id, at, level, code, text)",
        tail: "",
        rows: events.into_iter().map(row).collect(),
    }
}

fn insert_results(results: Vec<(i64, ResultRow)>) -> Insert {
    let row = |(id, result): (i64, ResultRow)| {
        vec![
            id.into(),
            result.verdict.into(),
            result.started_at.into(),
            result.ended_at.into(),
            result.exit_code.into(),
            result.cpu_us.into(),
            result.peak_memory.into(),
            result.fault_code.into(),
            result.fault_text.into(),
            result.outputs.into(),
        ]
    };
    Insert {
        head: "INSERT INTO results (record_id, verdict, started_at, ended_at, exit_code, cpu_us,
                                    peak_memory, fault_code, fault_text, outputs)",
        tail: "ON DUPLICATE KEY UPDATE verdict = VALUES(verdict), started_at = VALUES(started_at),
                   ended_at = VALUES(ended_at), exit_code = VALUES(exit_code),
                   cpu_us = VALUES(cpu_us), peak_memory = VALUES(peak_memory),
                   fault_code = VALUES(fault_code), fault_text = VALUES(fault_text),
                   outputs = VALUES(outputs)",
        rows: results.into_iter().map(row).collect(),
    }
}
