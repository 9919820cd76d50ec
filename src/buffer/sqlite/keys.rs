//! Keys of jobs that ended so long ago that nobody will send them again.

use rusqlite::{Connection, params};

use super::changes::{IN_LIST, list};
use super::operations::delete_belongings;
use crate::buffer::operating::{BELONGINGS, has_an_old_key, old_keys};
use crate::buffer::{OldKeys, Purge};
use crate::job::RecordId;

/// One step along the primary key. The newest record of all is not looked at, as on other stores.
pub(super) fn find(
    connection: &Connection,
    purge: &Purge,
    after: Option<RecordId>,
) -> rusqlite::Result<OldKeys> {
    let mut find = connection.prepare_cached(&format!(
        "SELECT id, {}, accepted_at < ? FROM jobs
         WHERE id > ? AND id < (SELECT MAX(id) FROM jobs) ORDER BY id LIMIT ?",
        has_an_old_key(purge)
    ))?;
    let before = purge.before.as_microsecond();
    let after = after.map_or(0, |id| id.get().cast_signed());
    let rows = find.query_map(params![before, before, after, purge.lot], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(old_keys(purge, &rows))
}

/// Drops those that were not brought back since they were looked for.
pub(super) fn drop(
    connection: &Connection,
    purge: &Purge,
    records: &[RecordId],
) -> rusqlite::Result<u64> {
    let ids: Vec<_> = records.iter().map(|id| id.get().cast_signed()).collect();
    let still = format!(
        "SELECT id FROM jobs WHERE {} AND {IN_LIST}",
        has_an_old_key(purge)
    );
    let before = purge.before.as_microsecond();
    let still: Vec<i64> = connection
        .prepare_cached(&still)?
        .query_map(params![before, list(&ids)], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for table in BELONGINGS.into_iter().chain(["notices"]) {
        delete_belongings(connection, table, &still)?;
    }
    let delete = format!("DELETE FROM jobs WHERE {IN_LIST}");
    let dropped = connection
        .prepare_cached(&delete)?
        .execute([list(&still)])?;
    Ok(dropped as u64)
}
