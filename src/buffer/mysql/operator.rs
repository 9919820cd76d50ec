//! Operators' questions.

use jiff::Timestamp;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Result, Row, Value};

use super::columns::record_row;
use super::statement::read;
use crate::buffer::census::{COUNT_BY_STATE, OLDEST_READY};
use crate::buffer::row::{self, RecordRow};
use crate::buffer::{BufferError, Census, Dossier, ListFilter, Lookup};
use crate::job::{Event, JobId, Owner, Record, RecordId};

pub(super) async fn list(conn: &mut Conn, filter: &ListFilter) -> Result<Vec<Record>> {
    let mut conditions = vec!["TRUE"];
    let mut parameters: Vec<Value> = Vec::new();
    let mut narrow = |condition, value: Option<Value>| {
        if let Some(value) = value {
            conditions.push(condition);
            parameters.push(value);
        }
    };
    narrow(
        "owner = ?",
        filter
            .owner
            .as_ref()
            .map(|owner| Owner::as_str(owner).into()),
    );
    narrow(
        "job_id = ?",
        filter
            .job_id
            .as_ref()
            .map(|job_id| JobId::as_str(job_id).into()),
    );
    narrow("state = ?", filter.state.as_deref().map(Value::from));
    narrow(
        "accepted_at >= ?",
        filter.since.map(|since| since.as_microsecond().into()),
    );
    parameters.push(filter.limit.into());
    let query = format!(
        "{} WHERE {} ORDER BY id DESC LIMIT ?",
        row::select_records(),
        conditions.join(" AND ")
    );
    let rows: Vec<Row> = conn.exec(query, Params::Positional(parameters)).await?;
    let rows = rows
        .into_iter()
        .map(record_row)
        .collect::<Result<Vec<_>>>()?;
    Ok(row::readable(&rows))
}

/// The inner error: what is there cannot be read.
pub(super) async fn show(
    conn: &mut Conn,
    id: RecordId,
) -> Result<std::result::Result<Lookup<Dossier>, BufferError>> {
    let query = format!("{} WHERE id = ?", row::select_records());
    let row: Option<Row> = conn.exec_first(query, (id.get(),)).await?;
    let Some(row) = row else {
        return Ok(Ok(Lookup::Absent));
    };
    let query = "SELECT xml FROM payloads WHERE record_id = ?";
    let payload: Option<Vec<u8>> = conn.exec_first(query, (id.get(),)).await?;
    Ok(dossier(&record_row(row)?, payload, events(conn, id).await?))
}

fn dossier(
    row: &RecordRow,
    payload: Option<Vec<u8>>,
    events: Vec<Event>,
) -> std::result::Result<Lookup<Dossier>, BufferError> {
    let record = row
        .record()
        .map_err(|why| BufferError::Corrupt(why.to_string()))?;
    let payload = payload.map(String::from_utf8).transpose();
    let payload = payload.map_err(|why| BufferError::Corrupt(format!("its payload: {why}")))?;
    Ok(Lookup::Found(row::dossier(record, payload, events)))
}

async fn events(conn: &mut Conn, id: RecordId) -> Result<Vec<Event>> {
    let query = "SELECT at, level, code, text FROM events WHERE record_id = ? ORDER BY id";
    let rows: Vec<Row> = conn.exec(query, (id.get(),)).await?;
    let event = |row| {
        let (at, level, code, text): (i64, String, _, _) = read(row)?;
        Ok(Event {
            at: Timestamp::from_microsecond(at).unwrap_or_default(),
            level: row::parse_level(&level),
            code,
            text,
        })
    };
    rows.into_iter().map(event).collect()
}

pub(super) async fn unfinished_owners(conn: &mut Conn) -> Result<Vec<(String, i64)>> {
    let query = format!(
        "SELECT owner, COUNT(*) FROM jobs WHERE state IN ({}) GROUP BY owner ORDER BY owner",
        row::unfinished_states()
    );
    let rows: Vec<Row> = conn.query(query).await?;
    rows.into_iter().map(read).collect()
}

pub(super) async fn census(conn: &mut Conn) -> Result<Census> {
    let counts: Vec<Row> = conn.query(COUNT_BY_STATE).await?;
    let counts = counts.into_iter().map(read).collect::<Result<_>>()?;
    let oldest: Option<Row> = conn.query_first(OLDEST_READY).await?;
    let oldest = oldest.map(read).transpose()?;
    Ok(Census::new(counts, oldest.and_then(|(oldest,)| oldest)))
}

pub(super) async fn ping(conn: &mut Conn) -> Result<()> {
    conn.query_drop("SELECT 1 FROM jobs LIMIT 1").await
}

/// Changes no row; a server that takes no writes refuses it all the same.
pub(super) async fn try_write(conn: &mut Conn) -> Result<()> {
    conn.query_drop("UPDATE jobs SET renewal = renewal WHERE id = 0")
        .await
}
