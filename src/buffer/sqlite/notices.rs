//! What supervisors are told unasked. What writes runs in a savepoint of the writer's transaction.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::{SqliteBuffer, error, lookup};
use crate::buffer::notices::{
    AnsweredWord, DueRow, Notice, Notices, TakeNotices, answered, due_again, due_ranges, notices,
};
use crate::buffer::{BufferError, row};
use crate::job::{Owner, Record, RecordId};

#[async_trait]
impl Notices for SqliteBuffer {
    async fn listen(&self, daemon: &str, owners: &[Owner]) -> Result<(), BufferError> {
        let (daemon, owners) = (daemon.to_owned(), owners.to_vec());
        let write = move |connection: &_| listen(connection, &daemon, &owners);
        self.writer()?.ask(0, write).await
    }

    async fn take_notices(&self, request: TakeNotices) -> Result<Vec<Notice>, BufferError> {
        let asked = request.clone();
        let is_any_due = move |connection: &_| is_any_due(connection, &asked);
        if !self.readers.ask(is_any_due).await? {
            return Ok(Vec::new());
        }
        let write = move |connection: &_| take(connection, &request);
        self.writer()?.ask(0, write).await
    }

    async fn cover(&self, owner: &Owner, heard: &[(RecordId, u64)]) -> Result<(), BufferError> {
        let (owner, heard) = (owner.clone(), heard.to_vec());
        let write = move |connection: &_| cover(connection, &owner, &heard);
        self.writer()?.ask(0, write).await
    }

    async fn cover_answered(
        &self,
        owner: &Owner,
        answered: &[AnsweredWord],
    ) -> Result<(), BufferError> {
        let (asked, words) = (owner.clone(), answered.to_vec());
        let find = move |connection: &_| find_answered(connection, &asked, &words);
        let heard = self.readers.ask(find).await?;
        if heard.is_empty() {
            return Ok(());
        }
        self.cover(owner, &heard).await
    }

    async fn tell_again(&self, owner: &Owner) -> Result<(), BufferError> {
        let owner = owner.clone();
        let write = move |connection: &_| tell_again(connection, &owner);
        self.writer()?.ask(0, write).await
    }
}

/// Notes that a record's word has changed, if anybody listens.
pub(super) fn note(connection: &Connection, record_id: i64) -> rusqlite::Result<()> {
    let mut note = connection.prepare_cached(
        "INSERT INTO notices (record_id, owner, changes, due_at, tries)
         SELECT id, owner, 1, 0, 0 FROM jobs
         WHERE id = ? AND EXISTS (SELECT 1 FROM listeners WHERE listeners.owner = jobs.owner)
         ON CONFLICT DO UPDATE SET changes = changes + 1, due_at = 0, tries = 0",
    )?;
    note.execute([record_id]).map(drop)
}

fn listen(connection: &Connection, daemon: &str, owners: &[Owner]) -> Result<(), BufferError> {
    let listen = || {
        connection
            .prepare_cached("DELETE FROM listeners WHERE daemon = ?")?
            .execute([daemon])?;
        let mut insert = connection
            .prepare_cached("INSERT OR IGNORE INTO listeners (owner, daemon) VALUES (?, ?)")?;
        for owner in owners {
            insert.execute([owner.as_str(), daemon])?;
            all_due(connection, owner)?;
        }
        Ok(())
    };
    listen().map_err(|why| error(&why))
}

fn tell_again(connection: &Connection, owner: &Owner) -> Result<(), BufferError> {
    all_due(connection, owner).map_err(|why| error(&why))
}

fn all_due(connection: &Connection, owner: &Owner) -> rusqlite::Result<()> {
    let sql = "UPDATE notices SET due_at = 0, tries = 0 WHERE owner = ? AND due_at > 0";
    let mut update = connection.prepare_cached(sql)?;
    update.execute([owner.as_str()]).map(drop)
}

/// Whether there is anything to take.
fn is_any_due(connection: &Connection, request: &TakeNotices) -> Result<bool, BufferError> {
    let due = due_rows(connection, request, 1);
    due.map(|due| !due.is_empty()).map_err(|why| error(&why))
}

fn take(connection: &Connection, request: &TakeNotices) -> Result<Vec<Notice>, BufferError> {
    let take = || {
        let due = due_rows(connection, request, request.most)?;
        let sql = "UPDATE notices SET due_at = ?, tries = tries + 1 WHERE record_id = ?";
        let mut put_off = connection.prepare_cached(sql)?;
        let mut records = Vec::with_capacity(due.len());
        for row in &due {
            put_off.execute([due_again(request, row.tries), row.id])?;
            records.extend(record(connection, row.id)?);
        }
        Ok(notices(&due, records))
    };
    take().map_err(|why| error(&why))
}

fn due_rows(
    connection: &Connection,
    request: &TakeNotices,
    most: usize,
) -> rusqlite::Result<Vec<DueRow>> {
    let mut find = connection.prepare_cached(
        "SELECT record_id, changes, tries FROM notices
         WHERE owner = ? AND due_at BETWEEN ? AND ? ORDER BY due_at, record_id LIMIT ?",
    )?;
    let mut due = Vec::new();
    for (least, last) in due_ranges(request) {
        let room = most.saturating_sub(due.len());
        let found = find.query_map(
            params![request.owner.as_str(), least, last, row::signed(room)],
            |row| {
                Ok(DueRow {
                    id: row.get(0)?,
                    changes: row.get(1)?,
                    tries: row.get(2)?,
                })
            },
        )?;
        for row in found {
            due.push(row?);
        }
    }
    Ok(due)
}

/// The record without its result. One that cannot be read is told to the log.
fn record(connection: &Connection, id: i64) -> rusqlite::Result<Option<Record>> {
    let row = lookup::job(connection, id)?;
    Ok(row.and_then(|row| row::readable_job(&row)))
}

fn cover(
    connection: &Connection,
    owner: &Owner,
    heard: &[(RecordId, u64)],
) -> Result<(), BufferError> {
    let cover = || {
        let mut cover = connection.prepare_cached(
            "UPDATE notices SET due_at = NULL WHERE record_id = ? AND owner = ? AND changes <= ?",
        )?;
        for (id, changes) in heard {
            let changes = i64::try_from(*changes).unwrap_or(i64::MAX);
            cover.execute(params![id.get().cast_signed(), owner.as_str(), changes])?;
        }
        Ok(())
    };
    cover().map_err(|why: rusqlite::Error| error(&why))
}

/// Which changes these answers cover.
fn find_answered(
    connection: &Connection,
    owner: &Owner,
    words: &[AnsweredWord],
) -> Result<Vec<(RecordId, u64)>, BufferError> {
    let find = || {
        let mut find = connection.prepare_cached(
            "SELECT changes, tries FROM notices
             WHERE record_id = ? AND owner = ? AND due_at IS NOT NULL",
        )?;
        let mut noted = Vec::new();
        for word in words {
            let id = word.id.get().cast_signed();
            let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            let row = find.query_row(params![id, owner.as_str()], read);
            if let Some((changes, tries)) = row.optional()?
                && let Some(record) = record(connection, id)?
            {
                noted.push((DueRow { id, changes, tries }, record));
            }
        }
        Ok(answered(noted, words))
    };
    find().map_err(|why: rusqlite::Error| error(&why))
}
