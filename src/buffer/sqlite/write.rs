//! Storing and refusing. Each function runs in a savepoint of the writer's transaction.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{error, generation, lookup};
use crate::buffer::row::{attempt_or_all, held_from, record_id};
use crate::buffer::{BufferError, NewJob, StoreRequest, Stored};
use crate::job::{Attempt, JobId, Owner, RecordId};

type Result<T> = std::result::Result<T, BufferError>;

pub(super) fn store(connection: &Connection, request: &StoreRequest) -> Result<Vec<Stored>> {
    refuse_stale(connection, request)?;
    let store_all = || {
        let jobs = request
            .jobs
            .iter()
            .map(|job| store_job(connection, request, job));
        let stored = jobs.collect::<rusqlite::Result<Vec<_>>>()?;
        refuse_all(connection, request)?;
        Ok(stored)
    };
    store_all().map_err(|why| error(&why))
}

/// Where each job has a record there is nothing that a stale request could do twice.
fn refuse_stale(connection: &Connection, request: &StoreRequest) -> Result<()> {
    let is_stale = || -> rusqlite::Result<bool> {
        Ok(request.was_delayed()
            && may_be_rejected(connection, request)?
            && !all_stored(connection, request)?)
    };
    match is_stale() {
        Ok(true) => Err(BufferError::Stale),
        Ok(false) => Ok(()),
        Err(why) => Err(error(&why)),
    }
}

fn may_be_rejected(connection: &Connection, request: &StoreRequest) -> rusqlite::Result<bool> {
    let (owner, sent_at) = (request.owner.as_str(), request.sent_at.as_microsecond());
    let mut forgotten =
        connection.prepare_cached("SELECT 1 FROM forgotten WHERE sent_before > ?")?;
    if forgotten.exists([sent_at])? {
        return Ok(true);
    }
    let mut rejected = connection.prepare_cached(
        "SELECT 1 FROM rejections
         WHERE owner = ? AND job_id = ? AND attempt IN (0, ?) AND at >= ?",
    )?;
    for NewJob { key, .. } in &request.jobs {
        let (job_id, attempt) = (key.job_id.as_str(), key.attempt.get());
        if rejected.exists(params![owner, job_id, attempt, sent_at])? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn all_stored(connection: &Connection, request: &StoreRequest) -> rusqlite::Result<bool> {
    for NewJob { key, .. } in &request.jobs {
        let attempt = Some(key.attempt);
        if lookup::latest(connection, &request.owner, &key.job_id, attempt)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn store_job(
    connection: &Connection,
    request: &StoreRequest,
    job: &NewJob,
) -> rusqlite::Result<Stored> {
    let (owner, key) = (request.owner.as_str(), &job.key);
    let mut known = connection.prepare_cached(
        "SELECT id, content_hash FROM jobs WHERE owner = ? AND job_id = ? AND attempt = ?",
    )?;
    let parameters = params![owner, key.job_id.as_str(), key.attempt.get()];
    let known = known
        .query_row(parameters, |row| {
            Ok((row.get(0)?, row.get_ref(1)?.as_blob()? == job.content.0))
        })
        .optional()?;
    match known {
        Some((id, true)) => readable_id(id).map(Stored::Duplicate),
        Some((_, false)) => Ok(Stored::Conflict),
        None => insert(connection, request, job)
            .and_then(readable_id)
            .map(Stored::New),
    }
}

fn readable_id(id: i64) -> rusqlite::Result<RecordId> {
    record_id(id).ok_or(rusqlite::Error::IntegralValueOutOfRange(0, id))
}

fn insert(connection: &Connection, request: &StoreRequest, job: &NewJob) -> rusqlite::Result<i64> {
    let now = request.now.as_microsecond();
    let mut insert = connection.prepare_cached(
        "INSERT INTO jobs (owner, job_id, attempt, state, held_from, priority_neg, content_hash,
                           accepted_at, since)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let id = insert.insert(params![
        request.owner.as_str(),
        job.key.job_id.as_str(),
        job.key.attempt.get(),
        job.state.name(),
        held_from(job.state),
        -i64::from(job.priority),
        job.content.0,
        now,
        now,
    ])?;
    let mut payload =
        connection.prepare_cached("INSERT INTO payloads (record_id, xml) VALUES (?, ?)")?;
    payload.execute(params![id, job.payload])?;
    Ok(id)
}

fn refuse_all(connection: &Connection, request: &StoreRequest) -> rusqlite::Result<()> {
    let mut upsert = connection.prepare_cached(
        "INSERT INTO refusals (owner, job_id, attempt, code, text, at) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET code = excluded.code, text = excluded.text, at = excluded.at",
    )?;
    for refusal in &request.refusals {
        upsert.execute(params![
            request.owner.as_str(),
            refusal.job_id.as_str(),
            refusal.attempt.get(),
            refusal.code,
            refusal.text,
            request.now.as_microsecond(),
        ])?;
    }
    Ok(())
}

pub(super) fn remember_rejected(
    connection: &Connection,
    owner: &Owner,
    jobs: &[(JobId, Option<Attempt>)],
    at: Timestamp,
    forget_before: Timestamp,
) -> Result<Vec<bool>> {
    let restored = generation::was_restored(connection, forget_before.as_microsecond());
    if restored.map_err(|why| error(&why))? {
        return Err(BufferError::Restored);
    }
    let remember = || {
        forget(connection, forget_before)?;
        let mut upsert = connection.prepare_cached(
            "INSERT INTO rejections (owner, job_id, attempt, at) VALUES (?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET at = max(at, excluded.at)",
        )?;
        let mut absent = Vec::with_capacity(jobs.len());
        for (job_id, attempt) in jobs {
            let asked = attempt_or_all(*attempt);
            upsert.execute(params![
                owner.as_str(),
                job_id.as_str(),
                asked,
                at.as_microsecond()
            ])?;
            absent.push(lookup::latest(connection, owner, job_id, *attempt)?.is_none());
        }
        Ok(absent)
    };
    remember().map_err(|why| error(&why))
}

/// The next configuration may need what this one needs no longer: what was forgotten is noted.
fn forget(connection: &Connection, before: Timestamp) -> rusqlite::Result<()> {
    let before = [before.as_microsecond()];
    let forgotten = connection
        .prepare_cached("DELETE FROM rejections WHERE at < ?")?
        .execute(before)?;
    if forgotten > 0 {
        connection
            .prepare_cached("UPDATE forgotten SET sent_before = max(sent_before, ?)")?
            .execute(before)?;
    }
    Ok(())
}
