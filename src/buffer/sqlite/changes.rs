//! Writes what was decided. Runs in a savepoint of the writer's transaction.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Result, ToSql, params, params_from_iter};

use super::notices;
use crate::buffer::changes::{Cell, Changes, EventRow, Group};
use crate::buffer::result_row::ResultRow;

/// What stands for a list of IDs, which is handed over as JSON: one statement whatever its length.
pub(super) const IN_LIST: &str = "id IN (SELECT value FROM json_each(?))";

pub(super) fn write(connection: &Connection, changes: &Changes) -> Result<()> {
    for group in &changes.groups {
        assign(connection, group)?;
    }
    for id in &changes.words {
        notices::note(connection, *id)?;
    }
    events(connection, &changes.events)?;
    for (id, row) in &changes.results {
        result(connection, *id, row)?;
    }
    for id in &changes.dropped_results {
        let drop = "DELETE FROM results WHERE record_id = ?";
        connection.prepare_cached(drop)?.execute([id])?;
    }
    Ok(())
}

fn assign(connection: &Connection, group: &Group) -> Result<()> {
    let statement = format!("{} AND {IN_LIST}", group.statement());
    let cells = group.cells().into_iter().chain([list(&group.ids)]);
    connection
        .prepare_cached(&statement)?
        .execute(params_from_iter(cells))
        .map(drop)
}

/// A list of IDs for [`IN_LIST`].
pub(super) fn list(ids: &[i64]) -> Cell {
    let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
    Cell::Text(format!("[{}]", ids.join(",")).into())
}

pub(super) fn events(connection: &Connection, events: &[EventRow]) -> Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO events (record_id, at, level, code, text) VALUES (?, ?, ?, ?, ?)",
    )?;
    for event in events {
        insert.execute(params![
            event.record_id,
            event.at,
            event.level,
            event.code,
            event.text
        ])?;
    }
    Ok(())
}

fn result(connection: &Connection, id: i64, row: &ResultRow) -> Result<()> {
    let mut replace = connection.prepare_cached(
        "INSERT OR REPLACE INTO results (record_id, verdict, started_at, ended_at, exit_code,
             cpu_us, peak_memory, fault_code, fault_text, outputs)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    replace
        .execute(params![
            id,
            Text(&row.verdict),
            row.started_at,
            row.ended_at,
            row.exit_code,
            row.cpu_us,
            row.peak_memory,
            row.fault_code.as_deref().map(Text),
            row.fault_text.as_deref().map(Text),
            Text(&row.outputs),
        ])
        .map(drop)
}

/// Bytes that are a text.
struct Text<'a>(&'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

impl ToSql for Cell {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Number(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}
