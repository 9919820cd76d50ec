//! What conductors ask. What changes something runs in a savepoint of the writer's transaction.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::lookup::{bytes, optional_bytes};
use super::{SqliteBuffer, breakers, changes, error};
use crate::buffer::claiming::{self, DUE_AT_ONCE, DueRow, READY_COLUMNS, ReadyRow};
use crate::buffer::row::store_id;
use crate::buffer::settling::{self, EVENTS_DROPPED, STANDING_COLUMNS, StandingRow};
use crate::buffer::{
    AdvanceRequest, Advanced, BufferError, ClaimRequest, Claimed, Claims, Holder, Lease, Leases,
    OpenBreaker, Orders, Presence, ProgressReport, Renewed, Seen,
};
use crate::job::{RecordId, StoreId, Token};

#[async_trait]
impl Claims for SqliteBuffer {
    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claimed>, BufferError> {
        self.write(move |connection| claim(connection, &request))
            .await
    }

    async fn advance(&self, request: AdvanceRequest) -> Result<Vec<Advanced>, BufferError> {
        self.write(move |connection| advance(connection, &request))
            .await
    }

    async fn renew(&self, claims: &[(RecordId, Token)]) -> Result<Vec<Renewed>, BufferError> {
        let claims = claims.to_vec();
        self.write(move |connection| renew(connection, &claims))
            .await
    }

    async fn report(&self, report: ProgressReport) -> Result<bool, BufferError> {
        self.write(move |connection| keep(connection, &report))
            .await
    }

    async fn promise(&self, holder: &Holder, leases: Leases) -> Result<(), BufferError> {
        let holder = holder.clone();
        self.write(move |connection| promise(connection, &holder, leases))
            .await
    }

    async fn note_breaker(
        &self,
        holder: &Holder,
        open: Option<&OpenBreaker>,
    ) -> Result<(), BufferError> {
        let (holder, open) = (holder.clone(), open.cloned());
        self.write(move |connection| breakers::keep(connection, &holder, open.as_ref()))
            .await
    }

    /// The file has one daemon, which has locked it.
    async fn appear(&self, _: &Presence) -> Result<Option<Seen>, BufferError> {
        Ok(None)
    }

    async fn store_id(&self) -> Result<StoreId, BufferError> {
        store_id(self.read(read_store_id).await?)
    }

    async fn purged(&self, records: &[RecordId]) -> Result<Vec<RecordId>, BufferError> {
        let records = records.to_vec();
        self.read(move |connection| purged(connection, records))
            .await
    }

    async fn leases(&self) -> Result<Vec<Lease>, BufferError> {
        self.read(leases).await
    }

    async fn orders(
        &self,
        holder: &Holder,
        daemon: &str,
        claims: &[(RecordId, Token)],
    ) -> Result<Orders, BufferError> {
        let (holder, daemon, claims) = (holder.clone(), daemon.to_owned(), claims.to_vec());
        self.read(move |connection| orders(connection, &holder, &daemon, &claims))
            .await
    }
}

impl SqliteBuffer {
    pub(super) async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, BufferError> {
        let write = move |connection: &_| write(connection).map_err(|why| error(&why));
        self.writer()?.ask(0, write).await
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, BufferError> {
        let read = move |connection: &_| read(connection).map_err(|why| error(&why));
        self.readers.ask(read).await
    }
}

fn claim(connection: &Connection, request: &ClaimRequest) -> rusqlite::Result<Vec<Claimed>> {
    let due = claiming::make_due(due(connection, request)?, request.now);
    changes::write(connection, &due)?;
    let ready = ready(connection, request)?;
    let payloads = payloads(connection, &ready)?;
    let (claimed, changes) = claiming::claim(request, ready, payloads);
    changes::write(connection, &changes)?;
    Ok(claimed)
}

/// Without INDEXED BY all ready jobs would be read.
const DUE_QUERY: &str = "SELECT id, state, held_from FROM jobs INDEXED BY jobs_by_due
     WHERE due_at IS NOT NULL AND (due_at <= ?1 OR since > ?2)
       AND state IN ('ready', 'scheduled') LIMIT ?3";

fn due(connection: &Connection, request: &ClaimRequest) -> rusqlite::Result<Vec<DueRow>> {
    let mut find = connection.prepare_cached(DUE_QUERY)?;
    let now = request.now.as_microsecond();
    let set_back = claiming::set_back(request.now);
    let rows = find.query_map(params![now, set_back, DUE_AT_ONCE], |row| {
        Ok((
            row.get(0)?,
            bytes(row.get_ref(1)?),
            optional_bytes(row.get_ref(2)?),
        ))
    })?;
    rows.collect()
}

/// Walks the index `jobs_by_claim`, which has the right order.
fn ready_query() -> String {
    format!(
        "SELECT {READY_COLUMNS} FROM jobs WHERE state = 'ready' AND due_at IS NULL
           AND id <> ?
         ORDER BY priority_neg, id LIMIT ?"
    )
}

fn ready(connection: &Connection, request: &ClaimRequest) -> rusqlite::Result<Vec<ReadyRow>> {
    let mut find = connection.prepare_cached(&ready_query())?;
    let rows = find.query_map(
        [claiming::passed_over(request), request.most.into()],
        |row| {
            Ok(ReadyRow {
                id: row.get(0)?,
                owner: bytes(row.get_ref(1)?),
                job_id: bytes(row.get_ref(2)?),
                attempt: row.get(3)?,
                token: row.get(4)?,
                runs: row.get(5)?,
            })
        },
    )?;
    rows.collect()
}

fn payloads(
    connection: &Connection,
    ready: &[ReadyRow],
) -> rusqlite::Result<HashMap<i64, Vec<u8>>> {
    let mut find = connection.prepare_cached("SELECT xml FROM payloads WHERE record_id = ?")?;
    let mut payloads = HashMap::with_capacity(ready.len());
    for row in ready {
        let payload = find.query_row([row.id], |row| Ok(bytes(row.get_ref(0)?)));
        if let Some(payload) = payload.optional()? {
            payloads.insert(row.id, payload);
        }
    }
    Ok(payloads)
}

fn advance(connection: &Connection, request: &AdvanceRequest) -> rusqlite::Result<Vec<Advanced>> {
    let mut ids: Vec<_> = request.changes.iter().map(|change| change.id).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        rows.extend(standing(connection, id)?);
    }
    let (answers, changes) = settling::settle(request, rows, &HashSet::new());
    changes::write(connection, &changes)?;
    Ok(answers)
}

fn standing(connection: &Connection, id: RecordId) -> rusqlite::Result<Option<StandingRow>> {
    let query = format!("SELECT {STANDING_COLUMNS} FROM jobs WHERE id = ?");
    connection
        .prepare_cached(&query)?
        .query_row([id.get().cast_signed()], standing_row)
        .optional()
}

fn standing_row(row: &Row<'_>) -> rusqlite::Result<StandingRow> {
    Ok(StandingRow {
        id: row.get(0)?,
        state: bytes(row.get_ref(1)?),
        held_from: optional_bytes(row.get_ref(2)?),
        token: row.get(3)?,
        renewal: row.get(4)?,
        runs: row.get(5)?,
        abandons: row.get(6)?,
        kill_requested_at: row.get(7)?,
        holder: optional_bytes(row.get_ref(8)?),
    })
}

fn renew(connection: &Connection, claims: &[(RecordId, Token)]) -> rusqlite::Result<Vec<Renewed>> {
    let mut renew = connection.prepare_cached(
        "UPDATE jobs SET renewal = renewal + 1
         WHERE id = ? AND token = ? AND state IN ('claimed', 'running')",
    )?;
    let mut renew = |(id, token): &(RecordId, Token)| {
        let parameters = params![id.get().cast_signed(), token.0.cast_signed()];
        Ok(match renew.execute(parameters)? {
            0 => Renewed::Lost,
            _ => Renewed::Held,
        })
    };
    claims.iter().map(&mut renew).collect()
}

fn keep(connection: &Connection, report: &ProgressReport) -> rusqlite::Result<bool> {
    let row = standing(connection, report.id)?;
    if !row.is_some_and(|row| settling::is_current(&row, report.token)) {
        return Ok(false);
    }
    let id = report.id.get().cast_signed();
    if let Some(progress) = &report.progress {
        let words = crate::buffer::changes::clip(&progress.words);
        connection
            .prepare_cached(
                "UPDATE jobs SET progress_permille = ?, progress_words = ? WHERE id = ?",
            )?
            .execute(params![progress.permille.min(1000), words, id])?;
    }
    if !report.events.is_empty() {
        let kept = connection
            .prepare_cached("SELECT COUNT(*) FROM events WHERE record_id = ?")?
            .query_row([id], |row| row.get(0))?;
        let was_warned = connection
            .prepare_cached("SELECT 1 FROM events WHERE record_id = ? AND code = ?")?
            .exists(params![id, EVENTS_DROPPED])?;
        let events = settling::kept_events(report, kept, was_warned);
        changes::events(connection, &events)?;
    }
    Ok(true)
}

fn held_query() -> String {
    format!("SELECT {STANDING_COLUMNS} FROM jobs WHERE state IN ('claimed', 'running')")
}

/// The claims that are held.
fn held(connection: &Connection) -> rusqlite::Result<Vec<StandingRow>> {
    let mut find = connection.prepare_cached(&held_query())?;
    find.query_map([], standing_row)?.collect()
}

fn leases(connection: &Connection) -> rusqlite::Result<Vec<Lease>> {
    let held = held(connection)?;
    let mut find = connection
        .prepare_cached("SELECT holder, lease_us, run_lease_us, grace_us FROM promises")?;
    let promises = find.query_map([], |row| {
        Ok((
            bytes(row.get_ref(0)?),
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
        ))
    })?;
    let promises = promises.collect::<rusqlite::Result<_>>()?;
    Ok(settling::leases(&held, promises))
}

/// Where the holder has claims, each length only grows.
fn promise(connection: &Connection, holder: &Holder, leases: Leases) -> rusqlite::Result<()> {
    let [claimed, running, grace] = settling::promise_columns(leases);
    let name = holder.as_str();
    let mut held = held(connection)?.into_iter();
    let statement = if held.any(|row| row.holder.as_deref() == Some(name.as_bytes())) {
        "INSERT INTO promises (holder, lease_us, run_lease_us, grace_us) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET lease_us = max(lease_us, excluded.lease_us),
             run_lease_us = max(run_lease_us, excluded.run_lease_us),
             grace_us = max(grace_us, excluded.grace_us)"
    } else {
        "REPLACE INTO promises (holder, lease_us, run_lease_us, grace_us) VALUES (?, ?, ?, ?)"
    };
    let row = params![name, claimed, running, grace];
    connection.execute(statement, row).map(drop)
}

/// Every record has a payload until it is purged.
fn purged(connection: &Connection, mut records: Vec<RecordId>) -> rusqlite::Result<Vec<RecordId>> {
    let mut find = connection.prepare_cached("SELECT 1 FROM payloads WHERE record_id = ?")?;
    let mut failed = None;
    records.retain(|record| match find.exists([record.get().cast_signed()]) {
        Ok(is_there) => !is_there,
        Err(error) => {
            failed = Some(error);
            false
        }
    });
    failed.map_or(Ok(records), Err)
}

pub(super) fn read_store_id(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let mut find = connection.prepare_cached("SELECT id FROM store_id")?;
    find.query_row([], |row| row.get(0)).optional()
}

fn orders(
    connection: &Connection,
    holder: &Holder,
    daemon: &str,
    claims: &[(RecordId, Token)],
) -> rusqlite::Result<Orders> {
    let mut held = held(connection)?;
    held.retain(|row| row.holder.as_deref() == Some(holder.as_str().as_bytes()));
    let drain = connection
        .prepare_cached("SELECT 1 FROM drains WHERE daemon IN ('', ?) AND is_on = 1")?
        .exists([daemon])?;
    Ok(Orders {
        drain,
        ..settling::orders(&held, claims)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::row::unfinished_states;

    fn plan(connection: &Connection, query: &str) -> String {
        let mut explain = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {query}"))
            .unwrap();
        let steps = explain.raw_query().mapped(|row| row.get(3));
        let steps: Vec<String> = steps.map(Result::unwrap).collect();
        steps.join("; ")
    }

    /// What is asked several times a second reads no more rows than it answers with.
    #[test]
    fn indexes_serve_what_is_asked_often() {
        let mut connection = Connection::open_in_memory().unwrap();
        crate::buffer::migrate::sqlite()
            .run(&mut connection)
            .unwrap();
        let ready = plan(&connection, &ready_query());
        assert!(ready.contains("INDEX jobs_by_claim (state=?)"), "{ready}");
        assert!(!ready.contains("TEMP B-TREE"), "{ready}");
        let due = plan(&connection, DUE_QUERY);
        assert!(due.contains("INDEX jobs_by_due"), "{due}");
        let held = plan(&connection, &held_query());
        assert!(held.contains("INDEX jobs_by_claim (state=?)"), "{held}");
        let owners = format!(
            "SELECT owner, COUNT(*) FROM jobs WHERE state IN ({}) GROUP BY owner",
            unfinished_states()
        );
        let owners = plan(&connection, &owners);
        assert!(owners.contains("INDEX jobs_by_claim (state=?)"), "{owners}");
    }
}
