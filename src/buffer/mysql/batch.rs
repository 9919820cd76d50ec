//! Storing many requests in one transaction.
//!
//! What is known is selected first and the rest is inserted; the unique key is the judge when
//! another daemon is quicker, so everything that was inserted is read back. Each row says in
//! `batch` which transaction inserted it: that tells a new record from a duplicate, also when the
//! answer to the commit was lost.

use std::collections::{BTreeMap, HashSet};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Result, Value};

use super::rejections::{self, Reading};
use super::rows::{Rows, names};
use super::statement::Insert;
use crate::buffer::row::{held_from, record_id};
use crate::buffer::{BufferError, NewJob, StoreRequest, Stored};
use crate::job::{JobKey, Owner};

/// Requests that are stored together.
pub(super) struct Batch {
    pub requests: Vec<StoreRequest>,
    /// What `batch` says in the rows of this transaction.
    pub mark: u64,
}

/// One answer for each request of a batch.
pub(super) type Answers = Vec<std::result::Result<Vec<Stored>, BufferError>>;

/// A job's name and whose it is.
pub(super) type Key<'a> = (&'a Owner, &'a JobKey);

/// What is to be inserted; sorted, so that two writers do not lock each other out.
pub(super) type News<'a> = BTreeMap<Key<'a>, (&'a StoreRequest, &'a NewJob)>;

impl Batch {
    pub fn new(requests: Vec<StoreRequest>) -> Self {
        Self {
            requests,
            mark: rand::random(),
        }
    }

    /// Stores everything in the session's open transaction; who is answered what if it commits.
    pub async fn write(&self, conn: &mut Conn, budget: usize) -> Result<Answers> {
        let mut stale = self.stale(conn, Reading::Committed).await?;
        loop {
            let rows = self.insert(conn, budget, &stale).await?;
            // Another daemon that says `rejected` meanwhile waits for what was just inserted, or
            // was quicker: then its rejection is waited for here. What was prompt may be so no more.
            let by_now = self.stale(conn, Reading::Locking).await?;
            if by_now == stale {
                return Ok(self.judge(&stale, &rows));
            }
            conn.query_drop("ROLLBACK").await?;
            stale = by_now;
        }
    }

    /// For each request, whether it is stale: a job of it was answered `rejected` after it was
    /// sent. Where each job of it has a record there is nothing that it could do twice.
    async fn stale(&self, conn: &mut Conn, reading: Reading) -> Result<Vec<bool>> {
        let mut stale = Vec::with_capacity(self.requests.len());
        for request in &self.requests {
            let is_stale = request.was_delayed()
                && rejections::is_stale(conn, request, reading).await?
                && !self.had_all(conn, request).await?;
            stale.push(is_stale);
        }
        Ok(stale)
    }

    /// Whether each job of a request has a record that is not of this transaction.
    async fn had_all(&self, conn: &mut Conn, request: &StoreRequest) -> Result<bool> {
        let mut rows = Rows::default();
        rows.read(conn, names(keys(request))).await?;
        let had = |(owner, key)| {
            rows.get(owner, key)
                .is_some_and(|row| row.mark != self.mark)
        };
        Ok(keys(request).all(had))
    }

    /// Inserts what is new; what the table has then.
    async fn insert<'a>(
        &'a self,
        conn: &mut Conn,
        budget: usize,
        stale: &'a [bool],
    ) -> Result<Rows<'a>> {
        let mut rows = self.known(conn, stale).await?;
        let news = self.news(stale, &rows);
        if !news.is_empty() {
            for ids in self.insert_jobs(&news).run(conn, budget).await? {
                rows.read_inserted(conn, ids, self.mark, &news).await?;
            }
            let is_missing = |(owner, key): &&Key<'_>| rows.get(owner, key).is_none();
            let missing = names(news.keys().filter(is_missing).copied());
            rows.read(conn, missing).await?;
            self.insert_payloads(&news, &rows).run(conn, budget).await?;
        }
        insert_refusals(self.fresh(stale)).run(conn, budget).await?;
        Ok(rows)
    }

    /// What the table has already. A request's first job tells of the others: where that is new,
    /// most likely all are, and the insert will say.
    async fn known<'a>(&'a self, conn: &mut Conn, stale: &'a [bool]) -> Result<Rows<'a>> {
        let mut rows = Rows::default();
        let first = self.fresh(stale).filter_map(|request| keys(request).next());
        rows.read(conn, names(first)).await?;
        let is_known = |(owner, key)| rows.get(owner, key).is_some();
        let sent_again = self
            .fresh(stale)
            .filter(|request| request.jobs.len() > 1 && keys(request).next().is_some_and(is_known));
        let sent_again = names(sent_again.flat_map(keys));
        rows.read(conn, sent_again).await?;
        Ok(rows)
    }

    /// What became of the batch, read back from the table. A request of which nothing can be
    /// proved is unreachable.
    pub async fn read_back(&self, conn: &mut Conn) -> Result<Answers> {
        let mut rows = Rows::default();
        rows.read(conn, names(self.requests.iter().flat_map(keys)))
            .await?;
        let prove = |(request, answer): (&StoreRequest, _)| match answer {
            Ok(_) if request.jobs.is_empty() => Err(not_stored()),
            answer => answer,
        };
        let answers = self.judge(&vec![false; self.requests.len()], &rows);
        Ok(self.requests.iter().zip(answers).map(prove).collect())
    }

    fn fresh<'a>(&'a self, stale: &'a [bool]) -> impl Iterator<Item = &'a StoreRequest> {
        self.requests
            .iter()
            .zip(stale)
            .filter(|(_, stale)| !**stale)
            .map(|(request, _)| request)
    }

    /// The first job of each key that the table does not have.
    fn news<'a>(&'a self, stale: &'a [bool], known: &Rows<'_>) -> News<'a> {
        let mut news = BTreeMap::new();
        for request in self.fresh(stale) {
            for job in &request.jobs {
                if known.get(&request.owner, &job.key).is_none() {
                    news.entry((&request.owner, &job.key))
                        .or_insert((request, job));
                }
            }
        }
        news
    }

    fn insert_jobs(&self, news: &News<'_>) -> Insert {
        let row = |(request, job): &(&StoreRequest, &NewJob)| {
            let now = request.now.as_microsecond();
            vec![
                request.owner.as_str().into(),
                job.key.job_id.as_str().into(),
                job.key.attempt.get().into(),
                job.state.name().into(),
                held_from(job.state).into(),
                (-i64::from(job.priority)).into(),
                Value::Bytes(job.content.0.to_vec()),
                now.into(),
                now.into(),
                self.mark.into(),
            ]
        };
        Insert {
            head: "INSERT INTO jobs (owner, job_id, attempt, state, held_from, priority_neg,
                                     content_hash, accepted_at, since, batch)",
            tail: "ON DUPLICATE KEY UPDATE id = id",
            rows: news.values().map(row).collect(),
        }
    }

    fn insert_payloads(&self, news: &News<'_>, rows: &Rows<'_>) -> Insert {
        let row = |(request, job): &(&StoreRequest, &NewJob)| {
            let row = rows.get(&request.owner, &job.key)?;
            (row.mark == self.mark).then(|| vec![row.id.into(), job.payload.as_bytes().into()])
        };
        Insert {
            head: "INSERT INTO payloads (record_id, xml)",
            tail: "",
            rows: news.values().filter_map(row).collect(),
        }
    }

    fn judge(&self, stale: &[bool], rows: &Rows<'_>) -> Answers {
        let mut told = HashSet::new();
        let mut judge = |request: &StoreRequest, job: &NewJob| {
            let row = rows.get(&request.owner, &job.key).ok_or_else(not_stored)?;
            let unreadable = || BufferError::Corrupt(format!("a record has the ID {}", row.id));
            let id = record_id(row.id).ok_or_else(unreadable)?;
            let is_first = row.mark == self.mark && told.insert(row.id);
            Ok(match row.content == job.content.0 {
                true if is_first => Stored::New(id),
                true => Stored::Duplicate(id),
                false => Stored::Conflict,
            })
        };
        let requests = self.requests.iter().zip(stale);
        requests
            .map(|(request, stale)| match stale {
                true => Err(BufferError::Stale),
                false => request.jobs.iter().map(|job| judge(request, job)).collect(),
            })
            .collect()
    }
}

fn not_stored() -> BufferError {
    BufferError::Unreachable("the connection was lost; nothing was stored".to_owned())
}

fn keys(request: &StoreRequest) -> impl Iterator<Item = Key<'_>> {
    request.jobs.iter().map(|job| (&request.owner, &job.key))
}

fn insert_refusals<'a>(requests: impl Iterator<Item = &'a StoreRequest>) -> Insert {
    let rows = requests.flat_map(|request| {
        request.refusals.iter().map(|refusal| {
            vec![
                request.owner.as_str().into(),
                refusal.job_id.as_str().into(),
                refusal.attempt.get().into(),
                refusal.code.as_str().into(),
                refusal.text.as_str().into(),
                request.now.as_microsecond().into(),
            ]
        })
    });
    Insert {
        head: "INSERT INTO refusals (owner, job_id, attempt, code, text, at)",
        tail: "ON DUPLICATE KEY UPDATE code = VALUES(code), text = VALUES(text), at = VALUES(at)",
        rows: rows.collect(),
    }
}
