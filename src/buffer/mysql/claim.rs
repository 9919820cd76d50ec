//! Claims: ready jobs in the order of the claim index, past those that other sessions have locked.

use std::collections::HashMap;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Result, Row};

use super::statement::read;
use crate::buffer::ClaimRequest;
use crate::buffer::claiming::{self, DUE_AT_ONCE, DueRow, READY_COLUMNS, ReadyRow};

/// No transaction claims more than these.
const CLAIM_AT_ONCE: u32 = 1000;

/// A row of [`READY_COLUMNS`], and the payload.
type Ready = (i64, Vec<u8>, Vec<u8>, i64, i64, i64, Option<Vec<u8>>);

/// Jobs whose time has come, locked. With `all`, also those that were written under a clock that
/// was set back since.
pub(super) async fn due(conn: &mut Conn, request: &ClaimRequest, all: bool) -> Result<Vec<DueRow>> {
    let or_later = if all {
        "OR since > ?"
    } else {
        "AND ? IS NOT NULL"
    };
    let query = format!(
        "SELECT id, state, held_from FROM jobs FORCE INDEX (jobs_by_due)
         WHERE due_at IS NOT NULL AND (due_at <= ? {or_later})
           AND state IN ('ready', 'scheduled') LIMIT ? FOR UPDATE SKIP LOCKED"
    );
    let now = request.now.as_microsecond();
    let parameters = (now, claiming::set_back(request.now), DUE_AT_ONCE);
    let rows: Vec<Row> = conn.exec(query, parameters).await?;
    rows.into_iter().map(read).collect()
}

/// Jobs to be claimed, locked, and their payloads. These are locked, too, which is harmless: nobody
/// changes those of a ready job.
pub(super) async fn ready(
    conn: &mut Conn,
    request: &ClaimRequest,
) -> Result<(Vec<ReadyRow>, HashMap<i64, Vec<u8>>)> {
    // Unless the index gives the order, all that is ready is locked, and others find nothing.
    let query = format!(
        "SELECT {READY_COLUMNS}, xml
         FROM jobs FORCE INDEX (jobs_by_claim) LEFT JOIN payloads ON record_id = id
         WHERE state = 'ready' AND due_at IS NULL AND id <> ?
         ORDER BY priority_neg, id LIMIT ? FOR UPDATE SKIP LOCKED"
    );
    let most = request.most.min(CLAIM_AT_ONCE);
    let found: Vec<Row> = conn
        .exec(query, (claiming::passed_over(request), most))
        .await?;
    let mut rows = Vec::with_capacity(found.len());
    let mut payloads = HashMap::with_capacity(found.len());
    for row in found {
        let (id, owner, job_id, attempt, token, runs, xml): Ready = read(row)?;
        payloads.extend(xml.map(|xml| (id, xml)));
        rows.push(ReadyRow {
            id,
            owner,
            job_id,
            attempt,
            token,
            runs,
        });
    }
    Ok((rows, payloads))
}
