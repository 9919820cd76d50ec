//! What supervisors are told unasked.

use std::collections::BTreeMap;

use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Result, Value};

use super::MysqlBuffer;
use super::columns::job_row;
use super::session::Work;
use super::statement::{Insert, read, select_in, update_in};
use crate::buffer::BufferError;
use crate::buffer::notices::{
    AnsweredWord, DueRow, Notice, Notices, TakeNotices, answered, due_again, due_ranges, notices,
};
use crate::buffer::row::{self, JOB_COLUMNS};
use crate::job::{Owner, Record, RecordId};

/// Whose changes are noted for a daemon.
struct Listen {
    daemon: String,
    owners: Vec<Owner>,
}

/// Changes that are known.
struct Cover {
    owner: Owner,
    heard: Vec<(RecordId, u64)>,
}

/// Everything of an owner's is due.
struct TellAgain(Owner);

#[async_trait]
impl Notices for MysqlBuffer {
    async fn listen(&self, daemon: &str, owners: &[Owner]) -> std::result::Result<(), BufferError> {
        let (daemon, owners) = (daemon.to_owned(), owners.to_vec());
        self.tell(Listen { daemon, owners }).await
    }

    async fn take_notices(
        &self,
        request: TakeNotices,
    ) -> std::result::Result<Vec<Notice>, BufferError> {
        let asked = &request;
        let is_any_due = self
            .lines
            .ask(|mut conn| async move { is_any_due(&mut conn, asked).await });
        if !is_any_due.await? {
            return Ok(Vec::new());
        }
        self.tell(request).await
    }

    async fn cover(
        &self,
        owner: &Owner,
        heard: &[(RecordId, u64)],
    ) -> std::result::Result<(), BufferError> {
        let (owner, heard) = (owner.clone(), heard.to_vec());
        self.tell(Cover { owner, heard }).await
    }

    async fn cover_answered(
        &self,
        owner: &Owner,
        answered: &[AnsweredWord],
    ) -> std::result::Result<(), BufferError> {
        let heard = self
            .lines
            .ask(|mut conn| async move { find_answered(&mut conn, owner, answered).await });
        let heard = heard.await?;
        if heard.is_empty() {
            return Ok(());
        }
        self.cover(owner, &heard).await
    }

    async fn tell_again(&self, owner: &Owner) -> std::result::Result<(), BufferError> {
        self.tell(TellAgain(owner.clone())).await
    }
}

/// Notes, in the transaction that changes them, that these records' words have changed, if
/// anybody listens.
pub(super) async fn note(conn: &mut Conn, mut ids: Vec<i64>) -> Result<()> {
    // Sorted, so that two writers do not lock each other out.
    ids.sort_unstable();
    let keys: Vec<Value> = ids.into_iter().map(Value::from).collect();
    let statement = "INSERT INTO notices (record_id, owner, changes, due_at, tries)
        SELECT id, owner, 1, 0, 0 FROM jobs
        WHERE EXISTS (SELECT 1 FROM listeners WHERE listeners.owner = jobs.owner)
            AND id IN ({keys})
        ON DUPLICATE KEY UPDATE changes = notices.changes + 1, due_at = 0, tries = 0";
    update_in(conn, statement, &[], &keys).await.map(drop)
}

impl Work for Listen {
    type Answer = ();
    async fn write(&self, conn: &mut Conn, budget: usize) -> Result<()> {
        let daemon = self.daemon.as_str();
        conn.exec_drop("DELETE FROM listeners WHERE daemon = ?", (daemon,))
            .await?;
        let row = |owner: &Owner| vec![owner.as_str().into(), daemon.into()];
        let insert = Insert {
            head: "INSERT INTO listeners (owner, daemon)",
            tail: "",
            rows: self.owners.iter().map(row).collect(),
        };
        insert.run(conn, budget).await?;
        for owner in &self.owners {
            all_due(conn, owner).await?;
        }
        Ok(())
    }
}

impl Work for TellAgain {
    type Answer = ();
    async fn write(&self, conn: &mut Conn, _: usize) -> Result<()> {
        all_due(conn, &self.0).await
    }
}

async fn all_due(conn: &mut Conn, owner: &Owner) -> Result<()> {
    let statement = "UPDATE notices SET due_at = 0, tries = 0 WHERE owner = ? AND due_at > 0";
    conn.exec_drop(statement, (owner.as_str(),)).await
}

impl Work for Cover {
    type Answer = ();
    async fn write(&self, conn: &mut Conn, _: usize) -> Result<()> {
        let mut groups: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for (id, changes) in &self.heard {
            groups.entry(*changes).or_default().push(id.get());
        }
        for (changes, mut ids) in groups {
            ids.sort_unstable();
            let keys: Vec<Value> = ids.into_iter().map(Value::from).collect();
            let statement = "UPDATE notices SET due_at = NULL
                             WHERE owner = ? AND changes <= ? AND record_id IN ({keys})";
            let leading = [self.owner.as_str().into(), changes.into()];
            update_in(conn, statement, &leading, &keys).await?;
        }
        Ok(())
    }
}

impl Work for TakeNotices {
    type Answer = Vec<Notice>;
    async fn write(&self, conn: &mut Conn, _: usize) -> Result<Vec<Notice>> {
        // What somebody changes just now is taken a moment later.
        let due = due_rows(conn, self, self.most, "FOR UPDATE SKIP LOCKED").await?;
        let mut groups: BTreeMap<u32, Vec<Value>> = BTreeMap::new();
        for row in &due {
            groups.entry(row.tries).or_default().push(row.id.into());
        }
        for (tries, keys) in groups {
            let statement = "UPDATE notices SET due_at = ?, tries = tries + 1
                             WHERE record_id IN ({keys})";
            let leading = [due_again(self, tries).into()];
            update_in(conn, statement, &leading, &keys).await?;
        }
        let keys: Vec<Value> = due.iter().map(|row| row.id.into()).collect();
        Ok(notices(&due, records(conn, &keys).await?))
    }
}

/// Whether there is anything to take.
async fn is_any_due(conn: &mut Conn, request: &TakeNotices) -> Result<bool> {
    let due = due_rows(conn, request, 1, "").await?;
    Ok(!due.is_empty())
}

async fn due_rows(
    conn: &mut Conn,
    request: &TakeNotices,
    most: usize,
    lock: &str,
) -> Result<Vec<DueRow>> {
    let query = format!(
        "SELECT record_id, changes, tries FROM notices
         WHERE owner = ? AND due_at BETWEEN ? AND ? ORDER BY due_at, record_id LIMIT ? {lock}"
    );
    let mut due = Vec::new();
    for (least, last) in due_ranges(request) {
        let room = most.saturating_sub(due.len());
        let parameters = (request.owner.as_str(), least, last, room);
        for row in conn.exec(query.as_str(), parameters).await? {
            due.push(due_row(row)?);
        }
    }
    Ok(due)
}

fn due_row(row: mysql_async::Row) -> Result<DueRow> {
    let (id, changes, tries) = read(row)?;
    Ok(DueRow { id, changes, tries })
}

/// The records without their results.
async fn records(conn: &mut Conn, keys: &[Value]) -> Result<Vec<Record>> {
    let query = format!("SELECT {JOB_COLUMNS} FROM jobs WHERE id IN ({{keys}})");
    let rows = select_in(conn, &query, &[], keys).await?;
    let rows: Result<Vec<_>> = rows.into_iter().map(job_row).collect();
    Ok(rows?.iter().filter_map(row::readable_job).collect())
}

/// Which changes these answers cover.
async fn find_answered(
    conn: &mut Conn,
    owner: &Owner,
    words: &[AnsweredWord],
) -> Result<Vec<(RecordId, u64)>> {
    let keys: Vec<Value> = words.iter().map(|word| word.id.get().into()).collect();
    let query = "SELECT record_id, changes, tries FROM notices
                 WHERE owner = ? AND due_at IS NOT NULL AND record_id IN ({keys})";
    let rows = select_in(conn, query, &[owner.as_str().into()], &keys).await?;
    let due: Vec<DueRow> = rows.into_iter().map(due_row).collect::<Result<_>>()?;
    let keys: Vec<Value> = due.iter().map(|row| row.id.into()).collect();
    let records = records(conn, &keys).await?;
    let noted = due.into_iter().filter_map(|row| {
        let is_its = |record: &&Record| record.id.get().cast_signed() == row.id;
        Some((row, records.iter().find(is_its)?.clone()))
    });
    Ok(answered(noted.collect(), words))
}
