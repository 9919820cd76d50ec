//! Runners whose circuit breaker is open.

use jiff::Timestamp;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Result, Row};

use super::session::Work;
use super::statement;
use crate::buffer::changes::clip;
use crate::buffer::{Holder, OpenBreaker};

/// What is kept of a holder's breaker.
pub(super) struct Noted {
    pub holder: Holder,
    /// `None`: it is closed.
    pub open: Option<OpenBreaker>,
}

impl Work for Noted {
    type Answer = ();
    async fn write(&self, conn: &mut Conn, _: usize) -> Result<()> {
        let holder = self.holder.as_str();
        let Some(open) = &self.open else {
            let delete = "DELETE FROM breakers WHERE holder = ?";
            return conn.exec_drop(delete, (holder,)).await;
        };
        let insert = "REPLACE INTO breakers (holder, daemon, reason, since, seen)
                      VALUES (?, ?, ?, ?, ?)";
        let (since, seen) = (open.since.as_microsecond(), open.seen.as_microsecond());
        let row = (holder, &open.daemon, clip(&open.reason), since, seen);
        conn.exec_drop(insert, row).await
    }
}

pub(super) async fn read(conn: &mut Conn) -> Result<Vec<OpenBreaker>> {
    let query = "SELECT holder, daemon, reason, since, seen FROM breakers ORDER BY holder";
    let rows: Vec<Row> = conn.exec(query, ()).await?;
    let time = |micros| Timestamp::from_microsecond(micros).unwrap_or_default();
    let breaker = |row| {
        let (holder, daemon, reason, since, seen) = statement::read(row)?;
        Ok(Holder::new(holder).map(|holder| OpenBreaker {
            holder,
            daemon,
            reason,
            since: time(since),
            seen: time(seen),
        }))
    };
    let breakers = rows.into_iter().map(breaker);
    breakers.filter_map(Result::transpose).collect()
}
