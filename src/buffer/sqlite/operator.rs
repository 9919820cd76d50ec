//! Operators' questions.

use rusqlite::{Connection, OptionalExtension, params};

use super::error;
use super::lookup::record_row;
use crate::buffer::census::{COUNT_BY_STATE, OLDEST_READY};
use crate::buffer::row;
use crate::buffer::{BufferError, Census, Dossier, ListFilter, Lookup};
use crate::job::{Event, Owner, Record, RecordId};

pub(super) fn list(
    connection: &Connection,
    filter: &ListFilter,
) -> Result<Vec<Record>, BufferError> {
    let rows = || {
        let mut find = connection.prepare_cached(&format!(
            "{}
             WHERE (?1 IS NULL OR owner = ?1) AND (?2 IS NULL OR job_id = ?2)
               AND (?3 IS NULL OR state = ?3) AND (?4 IS NULL OR accepted_at >= ?4)
             ORDER BY id DESC LIMIT ?5",
            row::select_records()
        ))?;
        let parameters = params![
            filter.owner.as_ref().map(Owner::as_str),
            filter.job_id.as_ref().map(crate::job::JobId::as_str),
            filter.state,
            filter.since.map(jiff::Timestamp::as_microsecond),
            filter.limit,
        ];
        find.query_map(parameters, record_row)?
            .collect::<rusqlite::Result<Vec<_>>>()
    };
    Ok(row::readable(&rows().map_err(|why| error(&why))?))
}

pub(super) fn show(connection: &Connection, id: RecordId) -> Result<Lookup<Dossier>, BufferError> {
    let read = || {
        let id = id.get().cast_signed();
        let record = connection
            .prepare_cached(&format!("{} WHERE id = ?", row::select_records()))?
            .query_row([id], record_row)
            .optional()?;
        let payload = connection
            .prepare_cached("SELECT xml FROM payloads WHERE record_id = ?")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        Ok((record, payload, events(connection, id)?))
    };
    let (row, payload, events) = read().map_err(|why: rusqlite::Error| error(&why))?;
    let Some(row) = row else {
        return Ok(Lookup::Absent);
    };
    let record = row
        .record()
        .map_err(|why| BufferError::Corrupt(why.to_string()))?;
    Ok(Lookup::Found(row::dossier(record, payload, events)))
}

fn events(connection: &Connection, record_id: i64) -> rusqlite::Result<Vec<Event>> {
    let mut find = connection.prepare_cached(
        "SELECT at, level, code, text FROM events WHERE record_id = ? ORDER BY id",
    )?;
    let events = find.query_map([record_id], |row| {
        Ok(Event {
            at: jiff::Timestamp::from_microsecond(row.get(0)?).unwrap_or_default(),
            level: row::parse_level(row.get_ref(1)?.as_str()?),
            code: row.get(2)?,
            text: row.get(3)?,
        })
    })?;
    events.collect()
}

pub(super) fn unfinished_owners(connection: &Connection) -> Result<Vec<(Owner, u64)>, BufferError> {
    let count = || {
        let mut find = connection.prepare_cached(&format!(
            "SELECT owner, COUNT(*) FROM jobs WHERE state IN ({}) GROUP BY owner ORDER BY owner",
            row::unfinished_states()
        ))?;
        let counts = find.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        counts.collect::<rusqlite::Result<Vec<(String, i64)>>>()
    };
    row::owners(count().map_err(|why| error(&why))?)
}

pub(super) fn census(connection: &Connection) -> Result<Census, BufferError> {
    let count = || {
        let mut by_state = connection.prepare_cached(COUNT_BY_STATE)?;
        let counts = by_state.query_map([], |row| {
            Ok((row.get_ref(0)?.as_bytes()?.to_vec(), row.get(1)?))
        })?;
        let counts = counts.collect::<rusqlite::Result<Vec<_>>>()?;
        let oldest = connection
            .prepare_cached(OLDEST_READY)?
            .query_row([], |row| row.get(0))?;
        Ok(Census::new(counts, oldest))
    };
    count().map_err(|why: rusqlite::Error| error(&why))
}

pub(super) fn ping(connection: &Connection) -> Result<(), BufferError> {
    let read = connection
        .query_row("SELECT 1 FROM jobs LIMIT 1", [], |_| Ok(()))
        .optional();
    read.map(drop).map_err(|why| error(&why))
}
