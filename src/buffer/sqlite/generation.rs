//! How far the file is, and copies of it that were accepted.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use super::claims::read_store_id;
use super::open::{self, blocking, connect_for_reading};
use crate::buffer::generation::{Acceptance, Generation, Mark};
use crate::buffer::row::store_id;
use crate::buffer::{OpenError, Options, Restored};
use crate::job::StoreId;

/// This machine's time, in microseconds since 1970.
const NOW: &str = "CAST(unixepoch('subsec') * 1000000 AS INTEGER)";

/// Makes the file grow within a transaction.
pub(super) fn grow(connection: &Connection) -> rusqlite::Result<Mark> {
    let grow =
        format!("UPDATE generation SET number = number + 1, at = {NOW} RETURNING number, at");
    connection.prepare_cached(&grow)?.query_row([], mark)
}

/// Admits the file that was opened.
pub(super) fn begin(connection: &Connection, file: Option<&Path>) -> Result<Generation, OpenError> {
    let store = store(connection)?;
    let found = find(connection).map_err(|why| unreadable(&why))?;
    Generation::admit(file, &store, found)?;
    Ok(Generation::begin(file, store, found))
}

/// Whether an older copy was accepted at this time or later.
pub(super) fn was_restored(connection: &Connection, since: i64) -> rusqlite::Result<bool> {
    let mut find = connection.prepare_cached("SELECT 1 FROM restored WHERE accepted_at >= ?")?;
    find.exists([since])
}

pub(in crate::buffer) async fn accept_restored(
    path: &Path,
    options: &Options,
) -> Result<Restored, OpenError> {
    let file = options.generation_file.clone();
    let unchecked = Options {
        generation_file: None,
        ..options.clone()
    };
    let mut opened = open::for_writing(path, &unchecked).await?;
    blocking(path, move |_| {
        let store = store(&opened.connection)?;
        let found = find(&opened.connection).map_err(|why| unreadable(&why))?;
        let next = next_id(&opened.connection).map_err(|why| unreadable(&why))?;
        let acceptance = Acceptance::new(file.as_deref(), &store, found, next)?;
        let grown = accept(&mut opened.connection, &acceptance).map_err(|why| unreadable(&why))?;
        Generation::begin(file.as_deref(), store, grown);
        let accepted = last(&opened.connection).map_err(|why| unreadable(&why))?;
        accepted.ok_or_else(|| OpenError::Invalid("the acceptance is not there".to_owned()))
    })
    .await
}

pub(in crate::buffer) async fn restored(
    path: &Path,
    options: &Options,
) -> Result<Option<Restored>, OpenError> {
    let file = options.generation_file.clone();
    blocking(path, move |path| {
        let connection = connect_for_reading(path)?;
        let store = store(&connection)?;
        let found = find(&connection).map_err(|why| unreadable(&why))?;
        Generation::admit(file.as_deref(), &store, found)?;
        last(&connection).map_err(|why| unreadable(&why))
    })
    .await
}

fn accept(connection: &mut Connection, acceptance: &Acceptance) -> rusqlite::Result<Mark> {
    let transaction = connection.transaction()?;
    transaction.execute(
        &format!(
            "INSERT INTO restored (accepted_at, copy_at, known_at, first_lost, next_id)
                  VALUES ({NOW}, ?, ?, ?, ?)"
        ),
        params![
            acceptance.copy_at,
            acceptance.known_at,
            acceptance.first_lost,
            acceptance.next_id,
        ],
    )?;
    transaction.execute("DELETE FROM sqlite_sequence WHERE name = 'jobs'", [])?;
    transaction.execute(
        "INSERT INTO sqlite_sequence (name, seq) VALUES ('jobs', ?)",
        [acceptance.next_id - 1],
    )?;
    // It knows no rejection of a request that was sent before.
    transaction.execute(&format!("UPDATE forgotten SET sent_before = {NOW}"), [])?;
    let grow = format!("UPDATE generation SET number = ?, at = {NOW} RETURNING number, at");
    let grown = transaction.query_row(&grow, [acceptance.number], mark)?;
    transaction.commit()?;
    Ok(grown)
}

fn find(connection: &Connection) -> rusqlite::Result<Mark> {
    connection.query_row("SELECT number, at FROM generation", [], mark)
}

fn mark(row: &rusqlite::Row) -> rusqlite::Result<Mark> {
    Ok(Mark {
        number: row.get(0)?,
        at: row.get(1)?,
    })
}

/// The lowest record ID that the file would give next.
fn next_id(connection: &Connection) -> rusqlite::Result<i64> {
    let last = "SELECT COALESCE(MAX(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'jobs'";
    connection.query_row(last, [], |row| row.get(0))
}

fn last(connection: &Connection) -> rusqlite::Result<Option<Restored>> {
    let last = "SELECT accepted_at, copy_at, known_at, first_lost, next_id FROM restored
                ORDER BY accepted_at DESC LIMIT 1";
    let row = |row: &rusqlite::Row| {
        Ok(Restored::of_row((
            row.get(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(4)?,
        )))
    };
    connection.query_row(last, [], row).optional()
}

fn store(connection: &Connection) -> Result<StoreId, OpenError> {
    let id = store_id(read_store_id(connection).map_err(|why| unreadable(&why))?);
    id.map_err(|why| OpenError::Invalid(why.to_string()))
}

fn unreadable(why: &rusqlite::Error) -> OpenError {
    open::failed("how far the store is cannot be read or written", why)
}
