//! What operators change. What changes something runs in a savepoint of the writer's transaction.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteBuffer;
use super::breakers;
use super::changes::{self, IN_LIST, list};
use super::keys;
use super::lookup::{bytes, optional_bytes};
use crate::buffer::operating::{self, Answers, BELONGINGS, OPERATED_COLUMNS, OperatedRow};
use crate::buffer::{BufferError, Drain, Note, OldKeys, OpenBreaker, Operation, Operations, Purge};
use crate::job::RecordId;

#[async_trait]
impl Operations for SqliteBuffer {
    async fn operate(&self, operation: Operation) -> Result<Answers, BufferError> {
        self.write(move |connection| operate(connection, &operation))
            .await
    }

    async fn set_drain(&self, drain: Drain) -> Result<(), BufferError> {
        self.write(move |connection| set_drain(connection, &drain))
            .await
    }

    async fn drains(&self) -> Result<Vec<Drain>, BufferError> {
        self.read(drains).await
    }

    async fn breakers(&self) -> Result<Vec<OpenBreaker>, BufferError> {
        self.read(breakers::read).await
    }

    /// The lot is looked for beside the writer; only its deletion makes others wait.
    async fn purge(&self, purge: &Purge) -> Result<u64, BufferError> {
        let wanted = purge.clone();
        let lot = self
            .read(move |connection| lot(connection, &wanted))
            .await?;
        if lot.is_empty() {
            return Ok(0);
        }
        let purge = purge.clone();
        self.write(move |connection| delete(connection, &purge, &lot))
            .await
    }

    async fn count_purgeable(&self, purge: &Purge) -> Result<u64, BufferError> {
        let purge = purge.clone();
        self.read(move |connection| count(connection, &purge)).await
    }

    async fn old_keys(
        &self,
        purge: &Purge,
        after: Option<RecordId>,
    ) -> Result<OldKeys, BufferError> {
        let purge = purge.clone();
        self.read(move |connection| keys::find(connection, &purge, after))
            .await
    }

    async fn drop_keys(&self, purge: &Purge, records: &[RecordId]) -> Result<u64, BufferError> {
        let (purge, records) = (purge.clone(), records.to_vec());
        self.write(move |connection| keys::drop(connection, &purge, &records))
            .await
    }
}

fn operate(connection: &Connection, operation: &Operation) -> rusqlite::Result<Answers> {
    let mut ids = operation.records.clone();
    ids.sort_unstable();
    ids.dedup();
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        rows.extend(operated(connection, id)?);
    }
    let (answers, changes) = operating::operate(operation, rows);
    changes::write(connection, &changes)?;
    Ok(answers)
}

fn operated(connection: &Connection, id: RecordId) -> rusqlite::Result<Option<OperatedRow>> {
    let query = format!("SELECT {OPERATED_COLUMNS} FROM jobs WHERE id = ?");
    connection
        .prepare_cached(&query)?
        .query_row([id.get().cast_signed()], |row| {
            Ok(OperatedRow {
                id: row.get(0)?,
                state: bytes(row.get_ref(1)?),
                held_from: optional_bytes(row.get_ref(2)?),
                kill_requested_at: row.get(3)?,
                told: row.get(4)?,
                has_payload: row.get(5)?,
            })
        })
        .optional()
}

fn set_drain(connection: &Connection, drain: &Drain) -> rusqlite::Result<()> {
    let daemon = drain.daemon.as_deref().unwrap_or_default();
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO drains (daemon, is_on, who, reason, since)
             VALUES (?, ?, ?, ?, ?)",
        )?
        .execute(params![
            daemon,
            drain.on,
            drain.note.who,
            drain.note.reason,
            drain.since.as_microsecond()
        ])
        .map(drop)
}

fn drains(connection: &Connection) -> rusqlite::Result<Vec<Drain>> {
    let mut find = connection
        .prepare_cached("SELECT daemon, who, reason, since, is_on FROM drains ORDER BY daemon")?;
    let drains = find.query_map([], |row| {
        let daemon: String = row.get(0)?;
        Ok(Drain {
            daemon: (!daemon.is_empty()).then_some(daemon),
            on: row.get(4)?,
            note: Note {
                who: row.get(1)?,
                reason: row.get(2)?,
            },
            since: Timestamp::from_microsecond(row.get(3)?).unwrap_or_default(),
        })
    })?;
    drains.collect()
}

/// Records that are to be purged, the oldest first. What was purged has no payload and is not
/// looked at again: the CROSS JOIN has SQLite begin with the payloads.
fn lot(connection: &Connection, purge: &Purge) -> rusqlite::Result<Vec<i64>> {
    let mut find = connection.prepare_cached(&format!(
        "SELECT record_id FROM payloads CROSS JOIN jobs ON id = record_id
         WHERE {} AND since < ? ORDER BY record_id LIMIT ?",
        operating::has_ended(purge)
    ))?;
    find.query_map(params![purge.before.as_microsecond(), purge.lot], |row| {
        row.get(0)
    })?
    .collect()
}

fn delete(connection: &Connection, purge: &Purge, lot: &[i64]) -> rusqlite::Result<u64> {
    // One of them may have been brought back since it was looked for.
    let still = format!(
        "SELECT id FROM jobs WHERE {} AND since < ? AND {IN_LIST}",
        operating::has_ended(purge)
    );
    let before = purge.before.as_microsecond();
    let still: Vec<i64> = connection
        .prepare_cached(&still)?
        .query_map(params![before, list(lot)], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for table in BELONGINGS {
        delete_belongings(connection, table, &still)?;
    }
    Ok(still.len() as u64)
}

/// Deletes what a table has of these records.
pub(super) fn delete_belongings(
    connection: &Connection,
    table: &str,
    records: &[i64],
) -> rusqlite::Result<()> {
    let delete = format!("DELETE FROM {table} WHERE record_id IN (SELECT value FROM json_each(?))");
    let mut delete = connection.prepare_cached(&delete)?;
    delete.execute([list(records)]).map(drop)
}

fn count(connection: &Connection, purge: &Purge) -> rusqlite::Result<u64> {
    let count = format!(
        "SELECT COUNT(*) FROM payloads CROSS JOIN jobs ON id = record_id
         WHERE {} AND since < ?",
        operating::has_ended(purge)
    );
    let count: i64 = connection
        .prepare_cached(&count)?
        .query_row([purge.before.as_microsecond()], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}
