//! What the table has under the keys of a batch.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Result, Value};

use super::batch::{Key, News};
use super::statement::{read, select_in};
use crate::job::{JobKey, Owner};

/// What the table has under the keys of a batch.
#[derive(Default)]
pub(super) struct Rows<'a>(HashMap<&'a Owner, HashMap<Vec<u8>, Vec<KeyRow>>>);

pub(super) struct KeyRow {
    attempt: u32,
    pub id: i64,
    pub content: Vec<u8>,
    pub mark: u64,
}

/// Names of jobs, by owner; sorted, so that each statement reads an index from one end to the
/// other.
pub(super) type Names<'a> = BTreeMap<&'a Owner, BTreeSet<&'a str>>;

pub(super) fn names<'a>(keys: impl Iterator<Item = Key<'a>>) -> Names<'a> {
    let mut names = Names::new();
    for (owner, key) in keys {
        names.entry(owner).or_default().insert(key.job_id.as_str());
    }
    names
}

impl<'a> Rows<'a> {
    /// Reads what there is under these names.
    pub async fn read(&mut self, conn: &mut Conn, names: Names<'a>) -> Result<()> {
        let query = "SELECT job_id, attempt, id, content_hash, batch FROM jobs
                     WHERE owner = ? AND job_id IN ({keys})";
        for (owner, names) in names {
            let keys: Vec<Value> = names.into_iter().map(Value::from).collect();
            for row in select_in(conn, query, &[owner.as_str().into()], &keys).await? {
                let (job_id, attempt, id, content, mark) = read(row)?;
                let row = KeyRow {
                    attempt,
                    id,
                    content,
                    mark,
                };
                self.add(owner, job_id, row);
            }
        }
        Ok(())
    }

    /// Reads what this transaction has inserted, which its `mark` proves, as far as it has these
    /// IDs: to walk along them is quicker than to look each key up. What has other IDs, or was
    /// there before, is not found so.
    pub async fn read_inserted(
        &mut self,
        conn: &mut Conn,
        ids: RangeInclusive<u64>,
        mark: u64,
        news: &News<'a>,
    ) -> Result<()> {
        let query = "SELECT owner, job_id, attempt, id, content_hash FROM jobs
                     WHERE id BETWEEN ? AND ? AND batch = ?";
        let owners: HashMap<&[u8], &'a Owner> = news
            .keys()
            .map(|(owner, _)| (owner.as_str().as_bytes(), *owner))
            .collect();
        let rows = conn.exec(query, (ids.start(), ids.end(), mark)).await?;
        for row in rows {
            let (owner, job_id, attempt, id, content): (Vec<u8>, _, _, _, _) = read(row)?;
            if let Some(owner) = owners.get(owner.as_slice()) {
                let row = KeyRow {
                    attempt,
                    id,
                    content,
                    mark,
                };
                self.add(owner, job_id, row);
            }
        }
        Ok(())
    }

    pub fn get(&self, owner: &Owner, key: &JobKey) -> Option<&KeyRow> {
        let attempts = self.0.get(owner)?.get(key.job_id.as_str().as_bytes())?;
        attempts.iter().find(|row| row.attempt == key.attempt.get())
    }

    fn add(&mut self, owner: &'a Owner, job_id: Vec<u8>, row: KeyRow) {
        let attempts = self.0.entry(owner).or_default().entry(job_id).or_default();
        attempts.retain(|known| known.attempt != row.attempt);
        attempts.push(row);
    }
}
