//! Keys that were answered `rejected`, and requests that were sent before that.

use std::collections::HashSet;

use jiff::Timestamp;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Result, Value};

use super::generation;
use super::statement::{Insert, read, select_in};
use crate::buffer::StoreRequest;
use crate::buffer::row::attempt_or_all;
use crate::job::{Attempt, JobId, Owner};

/// How many forgotten rows one question clears away.
const FORGET_AT_ONCE: u32 = 10_000;

/// Keys that are about to be answered `rejected`.
pub(super) struct Rejection {
    pub owner: Owner,
    pub jobs: Vec<(JobId, Option<Attempt>)>,
    pub at: Timestamp,
    pub forget_before: Timestamp,
    /// How far the database was.
    pub generation: i64,
}

/// Which rejections count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Those that are committed.
    Committed,
    /// These and those that another session is about to commit, which are waited for.
    Locking,
}

/// Whether a key of a request was answered `rejected` at or after it was sent, or may have been and
/// is no longer remembered.
pub(super) async fn is_stale(
    conn: &mut Conn,
    request: &StoreRequest,
    reading: Reading,
) -> Result<bool> {
    let lock = match reading {
        Reading::Committed => "",
        Reading::Locking => "LOCK IN SHARE MODE",
    };
    let sent_at = request.sent_at.as_microsecond();
    let forgotten = format!("SELECT sent_before FROM forgotten WHERE one = 1 {lock}");
    let forgotten: Option<i64> = conn.query_first(forgotten).await?;
    if forgotten.is_some_and(|before| sent_at < before) {
        return Ok(true);
    }
    let keys: Vec<Value> = request
        .jobs
        .iter()
        .map(|job| job.key.job_id.as_str().into())
        .collect();
    let leading = [sent_at.into(), request.owner.as_str().into()];
    let query = format!(
        "SELECT job_id, attempt FROM rejections
         WHERE at >= ? AND owner = ? AND job_id IN ({{keys}}) {lock}"
    );
    let rows = select_in(conn, &query, &leading, &keys).await?;
    let rejected = rows
        .into_iter()
        .map(read)
        .collect::<Result<HashSet<(Vec<u8>, u32)>>>()?;
    Ok(request.jobs.iter().any(|job| {
        let name = job.key.job_id.as_str().as_bytes();
        [0, job.key.attempt.get()]
            .into_iter()
            .any(|attempt| rejected.contains(&(name.to_vec(), attempt)))
    }))
}

impl Rejection {
    /// Remembers the keys; for each, whether it still has no record. `None`: the database is a copy
    /// that was accepted not long ago, or one that no operator accepted.
    pub async fn write(&self, conn: &mut Conn, budget: usize) -> Result<Option<Vec<bool>>> {
        if generation::may_lack(conn, self.generation, self.forget_before).await? {
            return Ok(None);
        }
        self.forget(conn).await?;
        self.insert().run(conn, budget).await?;
        let keys: Vec<Value> = self
            .jobs
            .iter()
            .map(|(job_id, _)| job_id.as_str().into())
            .collect();
        // A locking read waits for what another session has inserted and not committed: the
        // session of a daemon that was killed may still commit.
        let query = "SELECT job_id, attempt FROM jobs WHERE owner = ? AND job_id IN ({keys})
                     LOCK IN SHARE MODE";
        let mut there = HashSet::new();
        for row in select_in(conn, query, &[self.owner.as_str().into()], &keys).await? {
            let (job_id, attempt): (Vec<u8>, u32) = read(row)?;
            there.insert((job_id.clone(), 0));
            there.insert((job_id, attempt));
        }
        let is_absent = |(job_id, attempt): &(JobId, _)| {
            !there.contains(&(
                job_id.as_str().as_bytes().to_vec(),
                attempt_or_all(*attempt),
            ))
        };
        Ok(Some(self.jobs.iter().map(is_absent).collect()))
    }

    /// Another daemon may need what this one needs no longer: what was forgotten is noted.
    async fn forget(&self, conn: &mut Conn) -> Result<()> {
        let before = self.forget_before.as_microsecond();
        let forget = "DELETE FROM rejections WHERE at < ? LIMIT ?";
        conn.exec_drop(forget, (before, FORGET_AT_ONCE)).await?;
        if conn.affected_rows() > 0 {
            let note = "UPDATE forgotten SET sent_before = GREATEST(sent_before, ?) WHERE one = 1";
            conn.exec_drop(note, (before,)).await?;
        }
        Ok(())
    }

    fn insert(&self) -> Insert {
        let mut keys: Vec<_> = self
            .jobs
            .iter()
            .map(|(job_id, attempt)| (job_id.as_str(), attempt_or_all(*attempt)))
            .collect();
        // Sorted, so that two writers do not lock each other out.
        keys.sort_unstable();
        keys.dedup();
        let at = self.at.as_microsecond();
        let row = |(job_id, attempt): (&str, u32)| {
            vec![
                self.owner.as_str().into(),
                job_id.into(),
                attempt.into(),
                at.into(),
            ]
        };
        Insert {
            head: "INSERT INTO rejections (owner, job_id, attempt, at)",
            tail: "ON DUPLICATE KEY UPDATE at = GREATEST(at, VALUES(at))",
            rows: keys.into_iter().map(row).collect(),
        }
    }
}
