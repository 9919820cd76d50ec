//! Rows as holders of claims see them.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Result, Row, Value};

use super::statement::{read, select_in};
use crate::buffer::settling::{self, STANDING_COLUMNS, StandingRow};
use crate::buffer::{Holder, Lease, Orders};
use crate::job::{RecordId, Token};

/// A row of [`STANDING_COLUMNS`].
type Standing = (
    i64,
    Vec<u8>,
    Option<Vec<u8>>,
    i64,
    i64,
    i64,
    i64,
    Option<i64>,
    Option<Vec<u8>>,
);

fn standing(row: Row) -> Result<StandingRow> {
    let (id, state, held_from, token, renewal, runs, abandons, kill_requested_at, holder): Standing =
        read(row)?;
    Ok(StandingRow {
        id,
        state,
        held_from,
        token,
        renewal,
        runs,
        abandons,
        kill_requested_at,
        holder,
    })
}

/// The rows of these records that there are, locked.
pub(super) async fn lock(
    conn: &mut Conn,
    ids: impl Iterator<Item = RecordId>,
) -> Result<Vec<StandingRow>> {
    let mut ids: Vec<_> = ids.collect();
    // Sorted, so that two writers do not lock each other out.
    ids.sort_unstable();
    ids.dedup();
    let keys: Vec<Value> = ids.into_iter().map(|id| id.get().into()).collect();
    let query = format!("SELECT {STANDING_COLUMNS} FROM jobs WHERE id IN ({{keys}}) FOR UPDATE");
    let rows = select_in(conn, &query, &[], &keys).await?;
    rows.into_iter().map(standing).collect()
}

/// The rows of claims that are held: all, or one holder's.
async fn held(conn: &mut Conn, holder: Option<&Holder>) -> Result<Vec<StandingRow>> {
    let holder = holder.map(Holder::as_str);
    let query = format!(
        "SELECT {STANDING_COLUMNS} FROM jobs
         WHERE state IN ('claimed', 'running') AND (? IS NULL OR holder = ?)"
    );
    let rows: Vec<Row> = conn.exec(query, (holder, holder)).await?;
    rows.into_iter().map(standing).collect()
}

pub(super) async fn leases(conn: &mut Conn) -> Result<Vec<Lease>> {
    Ok(settling::leases(&held(conn, None).await?))
}

pub(super) async fn orders(
    conn: &mut Conn,
    holder: &Holder,
    daemon: &str,
    claims: &[(RecordId, Token)],
) -> Result<Orders> {
    let held = held(conn, Some(holder)).await?;
    let query = "SELECT 1 FROM drains WHERE daemon IN ('', ?) LIMIT 1";
    let drain: Option<i32> = conn.exec_first(query, (daemon,)).await?;
    Ok(Orders {
        drain: drain.is_some(),
        ..settling::orders(&held, claims)
    })
}
