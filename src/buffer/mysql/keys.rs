//! Keys of jobs that ended so long ago that nobody will send them again.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Value};

use super::operations::id;
use super::session::Work;
use super::statement::{select_in, update_in};
use crate::buffer::operating::{BELONGINGS, has_an_old_key, old_keys};
use crate::buffer::{OldKeys, Purge};
use crate::job::RecordId;

/// One step along the primary key, without locks. The newest record of all is not looked at: some
/// servers take the next number from it.
pub(super) async fn find(
    conn: &mut Conn,
    purge: &Purge,
    after: Option<RecordId>,
) -> Result<OldKeys, Error> {
    let query = format!(
        "SELECT id, {}, accepted_at < ? FROM jobs
         WHERE id > ? AND id < (SELECT MAX(id) FROM jobs) ORDER BY id LIMIT ?",
        has_an_old_key(purge)
    );
    let before = purge.before.as_microsecond();
    let after = after.map_or(0, RecordId::get);
    let rows: Vec<(i64, bool, bool)> = conn.exec(query, (before, before, after, purge.lot)).await?;
    Ok(old_keys(purge, &rows))
}

/// Records whose keys are dropped.
pub(super) struct OldLot<'a> {
    pub purge: &'a Purge,
    pub records: Vec<Value>,
}

impl Work for OldLot<'_> {
    type Answer = u64;

    async fn write(&self, conn: &mut Conn, _: usize) -> Result<u64, Error> {
        // As for a purge: not those that were brought back, nor those that somebody holds.
        let still = format!(
            "SELECT id FROM jobs WHERE {} AND id IN ({{keys}}) FOR UPDATE SKIP LOCKED",
            has_an_old_key(self.purge)
        );
        let before = self.purge.before.as_microsecond().into();
        let still = select_in(conn, &still, &[before], &self.records).await?;
        let still = still.into_iter().map(id).collect::<Result<Vec<_>, _>>()?;
        for table in BELONGINGS.into_iter().chain(["notices"]) {
            let delete = format!("DELETE FROM {table} WHERE record_id IN ({{keys}})");
            update_in(conn, &delete, &[], &still).await?;
        }
        update_in(conn, "DELETE FROM jobs WHERE id IN ({keys})", &[], &still).await
    }
}
