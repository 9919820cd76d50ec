//! A supervisor's look-ups: one statement for up to a thousand keys, by the unique key or the
//! record ID, never with payloads.

use std::collections::HashMap;

use mysql_async::{Conn, Result, Value};

use super::columns::record_row;
use super::statement::{read, select_in};
use crate::buffer::row::{self, RecordRow};
use crate::buffer::{KnownJob, Lookup};
use crate::job::{Attempt, JobId, Owner, Record, RecordId, Refusal};

/// What is kept of each attempt, by job.
type Attempts<T> = HashMap<Vec<u8>, Vec<(u32, T)>>;

pub(super) async fn find_jobs(
    conn: &mut Conn,
    owner: &Owner,
    jobs: &[(JobId, Option<Attempt>)],
) -> Result<Vec<Lookup<KnownJob>>> {
    let records = records(conn, owner, jobs).await?;
    let unknown: Vec<_> = jobs
        .iter()
        .filter(|(id, asked)| latest(&records, id, *asked).is_none())
        .cloned()
        .collect();
    let refusals = refusals(conn, owner, &unknown).await?;
    let find = |(job_id, asked): &(JobId, Option<Attempt>)| {
        if let Some((attempt, id)) = latest(&records, job_id, *asked) {
            return match (row::record_id(*id), Attempt::new(*attempt)) {
                (Some(id), Some(attempt)) => Lookup::Found(KnownJob::Accepted { id, attempt }),
                _ => Lookup::Unreachable,
            };
        }
        let Some((attempt, (code, text))) = latest(&refusals, job_id, *asked) else {
            return Lookup::Absent;
        };
        Attempt::new(*attempt).map_or(Lookup::Unreachable, |attempt| {
            Lookup::Found(KnownJob::Refused(Refusal {
                job_id: job_id.clone(),
                attempt,
                code: code.clone(),
                text: text.clone(),
            }))
        })
    };
    Ok(jobs.iter().map(find).collect())
}

fn latest<'a, T>(
    attempts: &'a Attempts<T>,
    job_id: &JobId,
    asked: Option<Attempt>,
) -> Option<&'a (u32, T)> {
    let attempts = attempts.get(job_id.as_str().as_bytes())?.iter();
    let fits = |(attempt, _): &&(u32, T)| asked.is_none_or(|asked| asked.get() == *attempt);
    attempts.filter(fits).max_by_key(|(attempt, _)| *attempt)
}

fn names(jobs: &[(JobId, Option<Attempt>)]) -> Vec<Value> {
    jobs.iter()
        .map(|(job_id, _)| job_id.as_str().into())
        .collect()
}

async fn records(
    conn: &mut Conn,
    owner: &Owner,
    jobs: &[(JobId, Option<Attempt>)],
) -> Result<Attempts<i64>> {
    let query = "SELECT job_id, attempt, id FROM jobs WHERE owner = ? AND job_id IN ({keys})";
    let mut found = Attempts::new();
    for row in select_in(conn, query, &[owner.as_str().into()], &names(jobs)).await? {
        let (job_id, attempt, id): (Vec<u8>, u32, i64) = read(row)?;
        found.entry(job_id).or_default().push((attempt, id));
    }
    Ok(found)
}

async fn refusals(
    conn: &mut Conn,
    owner: &Owner,
    jobs: &[(JobId, Option<Attempt>)],
) -> Result<Attempts<(String, String)>> {
    let query = "SELECT job_id, attempt, code, text FROM refusals
                 WHERE owner = ? AND job_id IN ({keys})";
    let mut found = Attempts::new();
    for row in select_in(conn, query, &[owner.as_str().into()], &names(jobs)).await? {
        let (job_id, attempt, code, text): (Vec<u8>, u32, String, String) = read(row)?;
        found
            .entry(job_id)
            .or_default()
            .push((attempt, (code, text)));
    }
    Ok(found)
}

pub(super) async fn find_records(
    conn: &mut Conn,
    owner: &Owner,
    records: &[(JobId, RecordId)],
) -> Result<Vec<Lookup<Record>>> {
    let keys: Vec<Value> = records.iter().map(|(_, id)| id.get().into()).collect();
    let query = format!("{} WHERE id IN ({{keys}})", row::select_records());
    let mut rows = HashMap::with_capacity(records.len());
    for row in select_in(conn, &query, &[], &keys).await? {
        let row = record_row(row)?;
        rows.insert(row.job.id, row);
    }
    let find = |(job_id, id): &(JobId, RecordId)| {
        let row = rows.get(&id.get().cast_signed()).filter(|row| {
            row.job.owner == owner.as_str().as_bytes()
                && row.job.job_id == job_id.as_str().as_bytes()
        });
        match row.map(RecordRow::record) {
            None => Lookup::Absent,
            Some(Ok(record)) => Lookup::Found(record),
            Some(Err(unreadable)) => {
                tracing::error!(%unreadable, "a record cannot be read");
                Lookup::Unreachable
            }
        }
    };
    Ok(records.iter().map(find).collect())
}
