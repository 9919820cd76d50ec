//! Storing many requests in one transaction.
//!
//! The known keys are selected first and the rest is inserted; the unique key is the judge when
//! another daemon is quicker, so everything that was inserted is read back by key. Each row says
//! in `batch` which transaction inserted it: that tells a new record from a duplicate, also when
//! the answer to the commit was lost.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use mysql_async::{Conn, Result, Value};

use super::rejections;
use super::statement::{Insert, read, select_in};
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

/// What the table has under the keys of a batch.
#[derive(Default)]
pub(super) struct Rows<'a>(HashMap<&'a Owner, HashMap<Vec<u8>, Vec<KeyRow>>>);

struct KeyRow {
    attempt: u32,
    id: i64,
    content: Vec<u8>,
    mark: u64,
}

/// Names of jobs, by owner; sorted, so that two writers do not lock each other out.
type Names<'a> = BTreeMap<&'a Owner, BTreeSet<&'a str>>;

impl Batch {
    pub fn new(requests: Vec<StoreRequest>) -> Self {
        Self {
            requests,
            mark: rand::random(),
        }
    }

    /// Stores everything in the session's open transaction; who is answered what if it commits.
    pub async fn write(&self, conn: &mut Conn, budget: usize) -> Result<Answers> {
        let stale = rejections::stale(conn, &self.requests).await?;
        let mut rows = Rows::default();
        rows.read(conn, names(self.fresh(&stale))).await?;
        let news = self.news(&stale, &rows);
        if !news.is_empty() {
            self.insert_jobs(&news).run(conn, budget).await?;
            let mut inserted = Names::new();
            for (owner, key) in news.keys() {
                inserted
                    .entry(owner)
                    .or_default()
                    .insert(key.job_id.as_str());
            }
            rows.read(conn, inserted).await?;
            self.insert_payloads(&news, &rows).run(conn, budget).await?;
        }
        insert_refusals(self.fresh(&stale))
            .run(conn, budget)
            .await?;
        Ok(self.judge(&stale, &rows))
    }

    /// What became of the batch, read back from the table. A request of which nothing can be
    /// proved is unreachable.
    pub async fn read_back(&self, conn: &mut Conn) -> Result<Answers> {
        let mut rows = Rows::default();
        rows.read(conn, names(self.requests.iter())).await?;
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
    fn news<'a>(
        &'a self,
        stale: &'a [bool],
        known: &Rows<'_>,
    ) -> BTreeMap<(&'a Owner, &'a JobKey), (&'a StoreRequest, &'a NewJob)> {
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

    fn insert_jobs(&self, news: &BTreeMap<(&Owner, &JobKey), (&StoreRequest, &NewJob)>) -> Insert {
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

    fn insert_payloads(
        &self,
        news: &BTreeMap<(&Owner, &JobKey), (&StoreRequest, &NewJob)>,
        rows: &Rows<'_>,
    ) -> Insert {
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

fn names<'a>(requests: impl Iterator<Item = &'a StoreRequest>) -> Names<'a> {
    let mut names = Names::new();
    for request in requests {
        let jobs = request.jobs.iter().map(|job| job.key.job_id.as_str());
        names.entry(&request.owner).or_default().extend(jobs);
    }
    names
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

impl<'a> Rows<'a> {
    async fn read(&mut self, conn: &mut Conn, names: Names<'a>) -> Result<()> {
        let query = "SELECT job_id, attempt, id, content_hash, batch FROM jobs
                     WHERE owner = ? AND job_id IN ({keys})";
        for (owner, names) in names {
            let keys: Vec<Value> = names.into_iter().map(Value::from).collect();
            let jobs = self.0.entry(owner).or_default();
            for row in select_in(conn, query, &[owner.as_str().into()], &keys).await? {
                let (job_id, attempt, id, content, mark) = read(row)?;
                let attempts: &mut Vec<KeyRow> = jobs.entry(job_id).or_default();
                attempts.retain(|known| known.attempt != attempt);
                attempts.push(KeyRow {
                    attempt,
                    id,
                    content,
                    mark,
                });
            }
        }
        Ok(())
    }

    fn get(&self, owner: &Owner, key: &JobKey) -> Option<&KeyRow> {
        let attempts = self.0.get(owner)?.get(key.job_id.as_str().as_bytes())?;
        attempts.iter().find(|row| row.attempt == key.attempt.get())
    }
}
