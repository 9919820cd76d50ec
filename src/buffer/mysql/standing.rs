//! Rows as holders of claims see them.

use std::collections::HashSet;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Result, Row, Value};

use super::columns::standing_row;
use super::session::Work;
use super::statement::{read, select_in};
use crate::buffer::row::record_id;
use crate::buffer::settling::{self, STANDING_COLUMNS, StandingRow};
use crate::buffer::{Holder, Lease, Leases, Orders, Presence, Seen};
use crate::job::{RecordId, Token};

/// Whether anybody listens to changes of words: asked with the rows, which costs no round trip.
const LISTENED: &str = "EXISTS (SELECT 1 FROM listeners)";

/// The rows of some records.
pub(super) struct Locked {
    /// Those that there are, locked.
    pub rows: Vec<StandingRow>,
    /// Those that somebody else has locked. Nobody waits for them: all others would wait, too.
    pub busy: HashSet<RecordId>,
    /// Whether anybody listens to changes of words.
    pub listened: bool,
}

/// The rows of these records, as far as they can be locked at once.
pub(super) async fn lock(conn: &mut Conn, ids: impl Iterator<Item = RecordId>) -> Result<Locked> {
    let mut ids: Vec<_> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    let query = format!(
        "SELECT {STANDING_COLUMNS}, {LISTENED}
         FROM jobs WHERE id IN ({{keys}}) FOR UPDATE SKIP LOCKED"
    );
    let rows = select_in(conn, &query, &[], &keys(&ids)).await?;
    let rows: Vec<_> = rows.into_iter().map(standing_row).collect::<Result<_>>()?;
    let (rows, listened): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    let found: HashSet<_> = rows.iter().filter_map(|row| record_id(row.id)).collect();
    ids.retain(|id| !found.contains(id));
    let query = "SELECT id FROM jobs WHERE id IN ({keys})";
    let there = select_in(conn, query, &[], &keys(&ids)).await?;
    let there: Vec<(i64,)> = there.into_iter().map(read).collect::<Result<_>>()?;
    let busy = there.into_iter().filter_map(|(id,)| record_id(id));
    Ok(Locked {
        rows,
        busy: busy.collect(),
        listened: listened.contains(&true),
    })
}

fn keys(ids: &[RecordId]) -> Vec<Value> {
    ids.iter().map(|id| id.get().into()).collect()
}

/// The rows of claims that are held: all, or one holder's.
async fn held(conn: &mut Conn, holder: Option<&Holder>) -> Result<Vec<StandingRow>> {
    let holder = holder.map(Holder::as_str);
    let query = format!(
        "SELECT {STANDING_COLUMNS}, {LISTENED} FROM jobs
         WHERE state IN ('claimed', 'running') AND (? IS NULL OR holder = ?)"
    );
    let rows: Vec<Row> = conn.exec(query, (holder, holder)).await?;
    let rows: Vec<_> = rows.into_iter().map(standing_row).collect::<Result<_>>()?;
    Ok(rows.into_iter().map(|(row, _)| row).collect())
}

pub(super) async fn leases(conn: &mut Conn) -> Result<Vec<Lease>> {
    let held = held(conn, None).await?;
    let query = "SELECT holder, lease_us, run_lease_us, grace_us FROM promises";
    let promises: Vec<Row> = conn.query(query).await?;
    let promises = promises.into_iter().map(read).collect::<Result<_>>()?;
    Ok(settling::leases(&held, promises))
}

/// Which lengths a holder lives by. Where it has claims, each of them only grows.
pub(super) struct Promise {
    pub holder: Holder,
    pub leases: Leases,
}

impl Work for Promise {
    type Answer = ();
    async fn write(&self, conn: &mut Conn, _: usize) -> Result<()> {
        let [claimed, running, grace] = settling::promise_columns(self.leases);
        let has_none = held(conn, Some(&self.holder)).await?.is_empty();
        let statement = if has_none {
            "REPLACE INTO promises (holder, lease_us, run_lease_us, grace_us) VALUES (?, ?, ?, ?)"
        } else {
            "INSERT INTO promises (holder, lease_us, run_lease_us, grace_us) VALUES (?, ?, ?, ?)
             ON DUPLICATE KEY UPDATE lease_us = GREATEST(lease_us, VALUES(lease_us)),
                 run_lease_us = GREATEST(run_lease_us, VALUES(run_lease_us)),
                 grace_us = GREATEST(grace_us, VALUES(grace_us))"
        };
        let row = (self.holder.as_str(), claimed, running, grace);
        conn.exec_drop(statement, row).await
    }
}

/// In one statement, so that of two processes one is first. The mark is set last: what stands before
/// is judged by the one that was there.
const APPEAR: &str = "INSERT INTO presences (holder, mark, place, daemon) VALUES (?, ?, ?, ?)
    ON DUPLICATE KEY UPDATE
        place = IF(mark IN (?, ?), VALUES(place), place),
        daemon = IF(mark IN (?, ?), VALUES(daemon), daemon),
        mark = IF(mark IN (?, ?), VALUES(mark), mark)";

impl Work for Presence {
    type Answer = Option<Seen>;
    async fn write(&self, conn: &mut Conn, _: usize) -> Result<Self::Answer> {
        let (holder, [one, other]) = (self.holder.as_str(), self.over);
        let Seen {
            mark,
            folder,
            daemon,
        } = &self.seen;
        let row = (
            holder, mark, folder, daemon, one, other, one, other, one, other,
        );
        conn.exec_drop(APPEAR, row).await?;
        let query = "SELECT mark, place, daemon FROM presences WHERE holder = ?";
        let found: Option<(i64, String, String)> = conn.exec_first(query, (holder,)).await?;
        let found = found.map(|(mark, folder, daemon)| Seen {
            mark,
            folder,
            daemon,
        });
        Ok(found.filter(|found| found.mark != *mark))
    }
}

pub(super) async fn orders(
    conn: &mut Conn,
    holder: &Holder,
    daemon: &str,
    claims: &[(RecordId, Token)],
) -> Result<Orders> {
    let held = held(conn, Some(holder)).await?;
    let query = "SELECT 1 FROM drains WHERE daemon IN ('', ?) AND is_on = 1 LIMIT 1";
    let drain: Option<i32> = conn.exec_first(query, (daemon,)).await?;
    Ok(Orders {
        drain: drain.is_some(),
        ..settling::orders(&held, claims)
    })
}
