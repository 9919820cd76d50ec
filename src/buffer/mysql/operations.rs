//! What operators change: in a session of its own, which is connected only when it is needed.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::Timestamp;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row, Value};

use super::MysqlBuffer;
use super::apply::{apply, insert_events};
use super::breakers;
use super::keys::{self, OldLot};
use super::session::Work;
use super::statement::{read, select_in, update_in};
use crate::buffer::operating::{
    self, Answers, BELONGINGS, OPERATED_COLUMNS, OperatedRow, has_ended,
};
use crate::buffer::{BufferError, Drain, Note, OldKeys, OpenBreaker, Operation, Operations, Purge};
use crate::job::RecordId;

#[async_trait]
impl Operations for MysqlBuffer {
    async fn operate(&self, operation: Operation) -> Result<Answers, BufferError> {
        self.operate_by(operation).await
    }

    async fn set_drain(&self, drain: Drain) -> Result<(), BufferError> {
        self.operate_by(drain).await
    }

    async fn drains(&self) -> Result<Vec<Drain>, BufferError> {
        self.lines
            .ask(|mut conn| async move { drains(&mut conn).await })
            .await
    }

    async fn breakers(&self) -> Result<Vec<OpenBreaker>, BufferError> {
        self.lines
            .ask(|mut conn| async move { breakers::read(&mut conn).await })
            .await
    }

    /// The lot is looked for without locks; only its rows are locked, while they are deleted.
    async fn purge(&self, purge: &Purge) -> Result<u64, BufferError> {
        let records = self
            .lines
            .ask(|mut conn| async move { lot(&mut conn, purge).await });
        let records = records.await?;
        if records.is_empty() {
            return Ok(0);
        }
        let lot = Lot { purge, records };
        self.operate_by(lot).await
    }

    async fn count_purgeable(&self, purge: &Purge) -> Result<u64, BufferError> {
        self.lines
            .ask(|mut conn| async move { count(&mut conn, purge).await })
            .await
    }

    async fn old_keys(
        &self,
        purge: &Purge,
        after: Option<RecordId>,
    ) -> Result<OldKeys, BufferError> {
        self.lines
            .ask(|mut conn| async move { keys::find(&mut conn, purge, after).await })
            .await
    }

    async fn drop_keys(&self, purge: &Purge, records: &[RecordId]) -> Result<u64, BufferError> {
        let records = records.iter().map(|id| id.get().into()).collect();
        self.operate_by(OldLot { purge, records }).await
    }
}

impl Work for Operation {
    type Answer = Answers;

    async fn write(&self, conn: &mut Conn, budget: usize) -> Result<Answers, Error> {
        // Sorted, so that two writers do not lock each other out.
        let ids: BTreeSet<_> = self.records.iter().map(|id| id.get()).collect();
        let keys: Vec<Value> = ids.into_iter().map(Value::from).collect();
        let query =
            format!("SELECT {OPERATED_COLUMNS} FROM jobs WHERE id IN ({{keys}}) FOR UPDATE");
        let rows = select_in(conn, &query, &[], &keys).await?;
        let rows = rows.into_iter().map(operated).collect::<Result<_, _>>()?;
        let (answers, changes) = operating::operate(self, rows);
        let events = apply(conn, changes, budget).await?;
        insert_events(events).run(conn, budget).await?;
        Ok(answers)
    }
}

fn operated(row: Row) -> Result<OperatedRow, Error> {
    let (id, state, held_from, kill_requested_at, told, has_payload) = read(row)?;
    Ok(OperatedRow {
        id,
        state,
        held_from,
        kill_requested_at,
        told,
        has_payload,
    })
}

impl Work for Drain {
    type Answer = ();

    async fn write(&self, conn: &mut Conn, _: usize) -> Result<(), Error> {
        let daemon = self.daemon.as_deref().unwrap_or_default();
        let insert = "INSERT INTO drains (daemon, is_on, who, reason, since)
                      VALUES (?, ?, ?, ?, ?)
                      ON DUPLICATE KEY UPDATE is_on = VALUES(is_on), who = VALUES(who),
                          reason = VALUES(reason), since = VALUES(since)";
        let (Note { who, reason }, since) = (&self.note, self.since.as_microsecond());
        conn.exec_drop(insert, (daemon, self.on, who, reason, since))
            .await
    }
}

async fn drains(conn: &mut Conn) -> Result<Vec<Drain>, Error> {
    let query = "SELECT daemon, who, reason, since, is_on FROM drains ORDER BY daemon";
    let rows: Vec<Row> = conn.exec(query, ()).await?;
    let drain = |row| {
        let (daemon, who, reason, since, on): (String, _, _, i64, _) = read(row)?;
        Ok(Drain {
            daemon: (!daemon.is_empty()).then_some(daemon),
            on,
            note: Note { who, reason },
            since: Timestamp::from_microsecond(since).unwrap_or_default(),
        })
    };
    rows.into_iter().map(drain).collect()
}

/// Records that are to be purged.
struct Lot<'a> {
    purge: &'a Purge,
    records: Vec<Value>,
}

impl Work for Lot<'_> {
    type Answer = u64;

    async fn write(&self, conn: &mut Conn, _: usize) -> Result<u64, Error> {
        // One of them may have been brought back since it was looked for; one that somebody
        // holds just now is left for the next lot.
        let still = format!(
            "SELECT id FROM jobs WHERE {} AND since < ? AND id IN ({{keys}})
             FOR UPDATE SKIP LOCKED",
            has_ended(self.purge)
        );
        let before = self.purge.before.as_microsecond().into();
        let still = select_in(conn, &still, &[before], &self.records).await?;
        let still = still.into_iter().map(id).collect::<Result<Vec<_>, _>>()?;
        for table in BELONGINGS {
            let delete = format!("DELETE FROM {table} WHERE record_id IN ({{keys}})");
            update_in(conn, &delete, &[], &still).await?;
        }
        Ok(still.len() as u64)
    }
}

pub(super) fn id(row: Row) -> Result<Value, Error> {
    read(row).map(|(id,): (i64,)| id.into())
}

/// The IDs of records to be purged, the oldest first. What was purged has no payload and is not
/// looked at again.
async fn lot(conn: &mut Conn, purge: &Purge) -> Result<Vec<Value>, Error> {
    let query = format!(
        "SELECT record_id FROM payloads STRAIGHT_JOIN jobs ON id = record_id
         WHERE {} AND since < ? ORDER BY record_id LIMIT ?",
        has_ended(purge)
    );
    let before = purge.before.as_microsecond();
    let rows: Vec<Row> = conn.exec(query, (before, purge.lot)).await?;
    rows.into_iter().map(id).collect()
}

async fn count(conn: &mut Conn, purge: &Purge) -> Result<u64, Error> {
    let query = format!(
        "SELECT COUNT(*) FROM payloads STRAIGHT_JOIN jobs ON id = record_id
         WHERE {} AND since < ?",
        has_ended(purge)
    );
    let before = purge.before.as_microsecond();
    let count: Option<u64> = conn.exec_first(query, (before,)).await?;
    Ok(count.unwrap_or_default())
}
