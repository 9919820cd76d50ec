//! A supervisor's wishes to kill, and what it was told. Each function runs in a savepoint of the
//! writer's transaction.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::{error, lookup, notices};
use crate::buffer::row::{
    JobRow, KILL_REQUESTED, KillVerdict, held_from, kill_verdict, level_name,
};
use crate::buffer::{BufferError, Kill, Lookup};
use crate::job::{JobId, Level, Owner, RecordId, State, Transition};

pub(super) fn kill(
    connection: &Connection,
    owner: &Owner,
    records: &[(JobId, RecordId)],
    at: Timestamp,
) -> Result<Vec<Lookup<Kill>>, BufferError> {
    let mut rows = lookup::rows(connection).map_err(|why| error(&why))?;
    let kill = |(job_id, id): &(JobId, RecordId)| {
        let row = lookup::row(&mut rows, owner, job_id, *id)?;
        let row = row.map(|row| row.job);
        Ok(match row.map(|row| row.state().map(|state| (row, state))) {
            None => Lookup::Absent,
            Some(Err(unreadable)) => {
                tracing::error!(%unreadable, "a record cannot be killed");
                Lookup::Unreachable
            }
            Some(Ok((row, state))) => Lookup::Found(kill_row(connection, &row, state, at)?),
        })
    };
    let killed = records.iter().map(kill).collect::<rusqlite::Result<_>>();
    killed.map_err(|why| error(&why))
}

fn kill_row(
    connection: &Connection,
    row: &JobRow,
    state: State,
    at: Timestamp,
) -> rusqlite::Result<Kill> {
    match kill_verdict(state) {
        KillVerdict::Ended => {
            if !row.told {
                let sql = "UPDATE jobs SET told = 1 WHERE id = ?";
                connection.prepare_cached(sql)?.execute([row.id])?;
            }
            Ok(Kill::AlreadyFinished(state))
        }
        KillVerdict::AskHolder => {
            if row.kill_requested_at.is_none() {
                let sql = "UPDATE jobs SET kill_requested_at = ? WHERE id = ?";
                connection
                    .prepare_cached(sql)?
                    .execute(params![at.as_microsecond(), row.id])?;
                let text = "its supervisor wants it killed";
                event(connection, row.id, at, KILL_REQUESTED, text)?;
            }
            Ok(Kill::Requested(state))
        }
        KillVerdict::Enter(next) => {
            // The state was read in this very transaction, in which nobody else writes.
            let sql = "UPDATE jobs SET state = ?1, held_from = ?2, since = ?3, reason = NULL,
                           due_at = NULL, told = 1,
                           kill_requested_at = COALESCE(kill_requested_at, ?3)
                       WHERE id = ?4 AND state = ?5";
            connection.prepare_cached(sql)?.execute(params![
                next.name(),
                held_from(next),
                at.as_microsecond(),
                row.id,
                state.name()
            ])?;
            notices::note(connection, row.id)?;
            let code = Transition::Cancel.name();
            event(connection, row.id, at, code, "killed by its supervisor")?;
            Ok(Kill::Killed)
        }
    }
}

pub(super) fn event(
    connection: &Connection,
    record_id: i64,
    at: Timestamp,
    code: &str,
    text: &str,
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO events (record_id, at, level, code, text) VALUES (?, ?, ?, ?, ?)",
    )?;
    let level = level_name(Level::Event);
    insert
        .execute(params![record_id, at.as_microsecond(), level, code, text])
        .map(drop)
}

pub(super) fn mark_told(
    connection: &Connection,
    owner: &Owner,
    records: &[(RecordId, State)],
) -> Result<Vec<bool>, BufferError> {
    let mark = || -> rusqlite::Result<_> {
        let mut mark = connection.prepare_cached(
            "UPDATE jobs SET told = 1
             WHERE id = ? AND owner = ? AND state = ? AND held_from IS ?",
        )?;
        let mut mark = |(id, state): &(RecordId, State)| {
            let id = id.get().cast_signed();
            let marked =
                mark.execute(params![id, owner.as_str(), state.name(), held_from(*state)])?;
            Ok(marked == 1)
        };
        records.iter().map(&mut mark).collect()
    };
    mark().map_err(|why| error(&why))
}
