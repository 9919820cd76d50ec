//! The write-ahead log's size: SQLite writes it from its beginning again, and gives nothing back.

use std::time::Duration;

use rusqlite::Connection;

use super::open::BUSY_TIMEOUT;
use super::place::Place;

/// A log that is larger, in bytes, is cut. It holds what a group may have, so that groups in a row
/// do not cut it and let it grow again.
const LARGE: u64 = 16 << 20;

pub(super) fn is_large(place: &Place) -> bool {
    place.log_bytes() > LARGE
}

/// Cuts a large log where no reader needs it just now: neither waits for the other. `place` knows
/// its size afterwards.
pub(super) fn look_after(connection: &Connection, place: &Place) {
    place.measure_log();
    if is_large(place) {
        if let Err(error) = cut(connection) {
            tracing::debug!(%error, "the write-ahead log is not cut yet");
        }
        place.measure_log();
    }
}

fn cut(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::ZERO)?;
    let cut = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    connection.busy_timeout(BUSY_TIMEOUT)?;
    cut
}
