//! A supervisor's look-ups. A key costs one probe of an index; all keys of a question see one
//! snapshot.

use rusqlite::types::{FromSql, ValueRef};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use super::error;
use crate::buffer::result_row::ResultRow;
use crate::buffer::row::{self, JOB_COLUMNS, JobRow, RecordRow};
use crate::buffer::{BufferError, KeptJob, KnownJob, Lookup};
use crate::job::{Attempt, JobId, JobKey, Owner, Record, RecordId, Refusal};

pub(super) fn recall(
    connection: &Connection,
    owner: &Owner,
    keys: &[JobKey],
) -> Result<Vec<Option<KeptJob>>, BufferError> {
    let recall = || -> rusqlite::Result<Vec<_>> {
        let mut find = connection.prepare_cached(
            "SELECT content_hash, priority_neg, xml FROM jobs JOIN payloads ON record_id = id
             WHERE owner = ? AND job_id = ? AND attempt = ?",
        )?;
        let mut recall = |key: &JobKey| {
            let parameters = params![owner.as_str(), key.job_id.as_str(), key.attempt.get()];
            let read = |row: &Row<'_>| Ok((bytes(row.get_ref(0)?), row.get(1)?, row.get(2)?));
            let kept = find.query_row(parameters, read).optional()?;
            Ok(kept.and_then(|(content, priority, xml)| row::kept_job(&content, priority, xml)))
        };
        keys.iter().map(&mut recall).collect()
    };
    recall().map_err(|why| error(&why))
}

pub(super) fn find_jobs(
    connection: &Connection,
    owner: &Owner,
    jobs: &[(JobId, Option<Attempt>)],
) -> Result<Vec<Lookup<KnownJob>>, BufferError> {
    let find = |(job_id, attempt): &(JobId, _)| find_job(connection, owner, job_id, *attempt);
    let found = jobs.iter().map(find).collect::<rusqlite::Result<_>>();
    found.map_err(|why| error(&why))
}

fn find_job(
    connection: &Connection,
    owner: &Owner,
    job_id: &JobId,
    asked: Option<Attempt>,
) -> rusqlite::Result<Lookup<KnownJob>> {
    if let Some((id, attempt)) = latest(connection, owner, job_id, asked)? {
        return Ok(match (row::record_id(id), row::attempt(attempt)) {
            (Some(id), Some(attempt)) => Lookup::Found(KnownJob::Accepted { id, attempt }),
            _ => Lookup::Unreachable,
        });
    }
    Ok(match refusal(connection, owner, job_id, asked)? {
        None => Lookup::Absent,
        Some((attempt, code, text)) => match row::attempt(attempt) {
            None => Lookup::Unreachable,
            Some(attempt) => Lookup::Found(KnownJob::Refused(Refusal {
                job_id: job_id.clone(),
                attempt,
                code,
                text,
            })),
        },
    })
}

/// The record ID and the attempt of the record of this name, the latest one unless one is asked.
pub(super) fn latest(
    connection: &Connection,
    owner: &Owner,
    job_id: &JobId,
    asked: Option<Attempt>,
) -> rusqlite::Result<Option<(i64, i64)>> {
    let mut find = connection.prepare_cached(
        "SELECT id, attempt FROM jobs
         WHERE owner = ? AND job_id = ? AND attempt BETWEEN ? AND ?
         ORDER BY attempt DESC LIMIT 1",
    )?;
    let (least, most) = range(asked);
    let parameters = params![owner.as_str(), job_id.as_str(), least, most];
    find.query_row(parameters, |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

fn refusal(
    connection: &Connection,
    owner: &Owner,
    job_id: &JobId,
    asked: Option<Attempt>,
) -> rusqlite::Result<Option<(i64, String, String)>> {
    let mut find = connection.prepare_cached(
        "SELECT attempt, code, text FROM refusals
         WHERE owner = ? AND job_id = ? AND attempt BETWEEN ? AND ?
         ORDER BY attempt DESC LIMIT 1",
    )?;
    let (least, most) = range(asked);
    let parameters = params![owner.as_str(), job_id.as_str(), least, most];
    find.query_row(parameters, |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })
    .optional()
}

/// The attempts that a question is about.
fn range(asked: Option<Attempt>) -> (u32, u32) {
    asked.map_or((0, u32::MAX), |attempt| (attempt.get(), attempt.get()))
}

pub(super) fn find_records(
    connection: &Connection,
    owner: &Owner,
    records: &[(JobId, RecordId)],
) -> Result<Vec<Lookup<Record>>, BufferError> {
    let mut rows = rows(connection).map_err(|why| error(&why))?;
    let mut find = |(job_id, id): &(JobId, RecordId)| {
        let row = row(&mut rows, owner, job_id, *id)?;
        Ok(match row.as_ref().map(RecordRow::record) {
            None => Lookup::Absent,
            Some(Ok(record)) => Lookup::Found(record),
            Some(Err(unreadable)) => {
                tracing::error!(%unreadable, "a record cannot be read");
                Lookup::Unreachable
            }
        })
    };
    let found = records
        .iter()
        .map(&mut find)
        .collect::<rusqlite::Result<_>>();
    found.map_err(|why| error(&why))
}

/// The statement behind [`row`].
pub(super) fn rows(connection: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
    connection.prepare_cached(&format!("{} WHERE id = ?", row::select_records()))
}

/// The row of this record ID, if it is this owner's and this job's.
pub(super) fn row(
    rows: &mut CachedStatement<'_>,
    owner: &Owner,
    job_id: &JobId,
    id: RecordId,
) -> rusqlite::Result<Option<RecordRow>> {
    let mut found = rows.query([id.get().cast_signed()])?;
    let Some(row) = found.next()? else {
        return Ok(None);
    };
    let is_theirs = row.get_ref(1)?.as_bytes() == Ok(owner.as_str().as_bytes())
        && row.get_ref(2)?.as_bytes() == Ok(job_id.as_str().as_bytes());
    is_theirs.then(|| record_row(row)).transpose()
}

/// The job of this record ID, whoever's it is.
pub(super) fn job(connection: &Connection, id: i64) -> rusqlite::Result<Option<JobRow>> {
    let query = format!("SELECT {JOB_COLUMNS} FROM jobs WHERE id = ?");
    let mut find = connection.prepare_cached(&query)?;
    find.query_row([id], |row| job_row(&mut Columns { row, next: 0 }))
        .optional()
}

/// A row of [`row::select_records`].
pub(super) fn record_row(row: &Row<'_>) -> rusqlite::Result<RecordRow> {
    let mut columns = Columns { row, next: 0 };
    Ok(RecordRow {
        job: job_row(&mut columns)?,
        result: result_row(&mut columns)?,
    })
}

/// The columns of a row, one after another.
struct Columns<'a> {
    row: &'a Row<'a>,
    next: usize,
}

impl Columns<'_> {
    fn take<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        self.next += 1;
        self.row.get(self.next - 1)
    }

    /// A text's bytes, whatever they are; `None` for NULL.
    fn bytes(&mut self) -> rusqlite::Result<Option<Vec<u8>>> {
        self.next += 1;
        self.row.get_ref(self.next - 1).map(optional_bytes)
    }
}

pub(super) fn bytes(value: ValueRef<'_>) -> Vec<u8> {
    optional_bytes(value).unwrap_or_default()
}

pub(super) fn optional_bytes(value: ValueRef<'_>) -> Option<Vec<u8>> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
        _ => None,
    }
}

fn job_row(columns: &mut Columns<'_>) -> rusqlite::Result<JobRow> {
    Ok(JobRow {
        id: columns.take()?,
        owner: columns.bytes()?.unwrap_or_default(),
        job_id: columns.bytes()?.unwrap_or_default(),
        attempt: columns.take()?,
        state: columns.bytes()?.unwrap_or_default(),
        held_from: columns.bytes()?,
        priority_neg: columns.take()?,
        content_hash: columns.bytes()?.unwrap_or_default(),
        reason: columns.bytes()?,
        accepted_at: columns.take()?,
        since: columns.take()?,
        kill_requested_at: columns.take()?,
        due_at: columns.take()?,
        token: columns.take()?,
        holder: columns.bytes()?,
        runs: columns.take()?,
        abandons: columns.take()?,
        started_at: columns.take()?,
        progress_permille: columns.take()?,
        progress_words: columns.bytes()?,
        told: columns.take()?,
    })
}

fn result_row(columns: &mut Columns<'_>) -> rusqlite::Result<Option<ResultRow>> {
    let Some(verdict) = columns.bytes()? else {
        return Ok(None);
    };
    Ok(Some(ResultRow {
        verdict,
        started_at: columns.take()?,
        ended_at: columns.take()?,
        exit_code: columns.take()?,
        cpu_us: columns.take()?,
        peak_memory: columns.take()?,
        fault_code: columns.bytes()?,
        fault_text: columns.bytes()?,
        outputs: columns.bytes()?.unwrap_or_default(),
    }))
}
