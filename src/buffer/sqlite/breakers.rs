//! Runners whose circuit breaker is open.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::buffer::changes::clip;
use crate::buffer::{Holder, OpenBreaker};

/// `None`: it is closed.
pub(super) fn keep(
    connection: &Connection,
    holder: &Holder,
    open: Option<&OpenBreaker>,
) -> rusqlite::Result<()> {
    let Some(open) = open else {
        let delete = "DELETE FROM breakers WHERE holder = ?";
        return connection.execute(delete, [holder.as_str()]).map(drop);
    };
    let insert = "INSERT OR REPLACE INTO breakers (holder, daemon, reason, since, seen)
                  VALUES (?, ?, ?, ?, ?)";
    let (since, seen) = (open.since.as_microsecond(), open.seen.as_microsecond());
    let row = params![
        holder.as_str(),
        open.daemon,
        clip(&open.reason),
        since,
        seen
    ];
    connection.execute(insert, row).map(drop)
}

pub(super) fn read(connection: &Connection) -> rusqlite::Result<Vec<OpenBreaker>> {
    let query = "SELECT holder, daemon, reason, since, seen FROM breakers ORDER BY holder";
    let mut find = connection.prepare_cached(query)?;
    let time = |micros| Timestamp::from_microsecond(micros).unwrap_or_default();
    let rows = find.query_map([], |row| {
        let (daemon, reason) = (row.get(1)?, row.get(2)?);
        let (since, seen) = (time(row.get(3)?), time(row.get(4)?));
        Ok(Holder::new(row.get(0)?).map(|holder| OpenBreaker {
            holder,
            daemon,
            reason,
            since,
            seen,
        }))
    })?;
    rows.filter_map(Result::transpose).collect()
}
