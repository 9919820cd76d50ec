//! A wish to kill: the rows are locked, and each group of them changes by one guarded statement.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use mysql_async::{Conn, Result, Value};

use super::columns::job_row;
use super::notices;
use super::statement::{Insert, select_in, update_in};
use crate::buffer::row::{
    JOB_COLUMNS, JobRow, KILL_REQUESTED, KillVerdict, held_from, kill_verdict, level_name,
};
use crate::buffer::{Kill, Lookup};
use crate::job::{JobId, Level, Owner, RecordId, State, Transition};

/// Which records are to be killed.
pub(super) struct Wish {
    pub owner: Owner,
    pub records: Vec<(JobId, RecordId)>,
    pub at: Timestamp,
}

/// Records that enter a state together: from which one, to which one.
type Moves = BTreeMap<(&'static str, Option<&'static str>), (State, Vec<i64>)>;

impl Wish {
    pub async fn write(&self, conn: &mut Conn, budget: usize) -> Result<Vec<Lookup<Kill>>> {
        let mut rows = self.lock_rows(conn).await?;
        let mut moves = Moves::new();
        let mut asked = Vec::new();
        let mut heard = Vec::new();
        let mut answers = Vec::with_capacity(self.records.len());
        for (job_id, id) in &self.records {
            let row = rows.get_mut(&id.get().cast_signed()).filter(|row| {
                row.owner == self.owner.as_str().as_bytes()
                    && row.job_id == job_id.as_str().as_bytes()
            });
            answers.push(match row {
                None => Lookup::Absent,
                Some(row) => decide(row, &mut moves, &mut asked, &mut heard),
            });
        }
        self.enter(conn, &moves).await?;
        self.ask_holders(conn, &asked).await?;
        tell(conn, &heard).await?;
        let killed = moves.values().flat_map(|(_, ids)| ids.iter().copied());
        notices::note(conn, killed.collect()).await?;
        self.insert_events(moves, asked).run(conn, budget).await?;
        Ok(answers)
    }

    async fn lock_rows(&self, conn: &mut Conn) -> Result<HashMap<i64, JobRow>> {
        let mut ids: Vec<_> = self.records.iter().map(|(_, id)| id.get()).collect();
        // Sorted, so that two writers do not lock each other out.
        ids.sort_unstable();
        ids.dedup();
        let keys: Vec<Value> = ids.into_iter().map(Value::from).collect();
        let query = format!("SELECT {JOB_COLUMNS} FROM jobs WHERE id IN ({{keys}}) FOR UPDATE");
        let rows = select_in(conn, &query, &[], &keys).await?;
        rows.into_iter()
            .map(|row| job_row(row).map(|row| (row.id, row)))
            .collect()
    }

    async fn enter(&self, conn: &mut Conn, moves: &Moves) -> Result<()> {
        let at = self.at.as_microsecond();
        for ((from, held), (next, ids)) in moves {
            let leading = [
                next.name().into(),
                held_from(*next).into(),
                at.into(),
                at.into(),
                (*from).into(),
                (*held).into(),
            ];
            let keys: Vec<Value> = ids.iter().map(Value::from).collect();
            let statement = "UPDATE jobs
                SET state = ?, held_from = ?, since = ?, reason = NULL, due_at = NULL, told = 1,
                    kill_requested_at = COALESCE(kill_requested_at, ?)
                WHERE state = ? AND held_from <=> ? AND id IN ({keys})";
            update_in(conn, statement, &leading, &keys).await?;
        }
        Ok(())
    }

    async fn ask_holders(&self, conn: &mut Conn, asked: &[i64]) -> Result<()> {
        let keys: Vec<Value> = asked.iter().map(Value::from).collect();
        let statement = "UPDATE jobs SET kill_requested_at = ?
                         WHERE kill_requested_at IS NULL AND id IN ({keys})";
        update_in(conn, statement, &[self.at.as_microsecond().into()], &keys).await?;
        Ok(())
    }

    fn insert_events(&self, moves: Moves, asked: Vec<i64>) -> Insert {
        let event = |id: i64, code: &str, text: &str| {
            let level = level_name(Level::Event);
            let at = self.at.as_microsecond();
            vec![id.into(), at.into(), level.into(), code.into(), text.into()]
        };
        let cancelled = moves.into_values().flat_map(|(_, ids)| {
            ids.into_iter()
                .map(move |id| event(id, Transition::Cancel.name(), "killed by its supervisor"))
        });
        let asked = asked
            .into_iter()
            .map(|id| event(id, KILL_REQUESTED, "its supervisor wants it killed"));
        Insert {
            head: "INSERT INTO events (record_id, at, level, code, text)",
            tail: "",
            rows: cancelled.chain(asked).collect(),
        }
    }
}

/// The final words of these records are about to be answered.
async fn tell(conn: &mut Conn, heard: &[i64]) -> Result<()> {
    let keys: Vec<Value> = heard.iter().map(Value::from).collect();
    update_in(
        conn,
        "UPDATE jobs SET told = 1 WHERE id IN ({keys})",
        &[],
        &keys,
    )
    .await?;
    Ok(())
}

/// Decides about one row, and notes in it what will be: it may be asked for twice.
fn decide(
    row: &mut JobRow,
    moves: &mut Moves,
    asked: &mut Vec<i64>,
    heard: &mut Vec<i64>,
) -> Lookup<Kill> {
    let state = match row.state() {
        Ok(state) => state,
        Err(unreadable) => {
            tracing::error!(%unreadable, "a record cannot be killed");
            return Lookup::Unreachable;
        }
    };
    Lookup::Found(match kill_verdict(state) {
        KillVerdict::Ended => {
            if !row.told {
                heard.push(row.id);
                row.told = true;
            }
            Kill::AlreadyFinished(state)
        }
        KillVerdict::AskHolder => {
            if row.kill_requested_at.is_none() {
                asked.push(row.id);
                row.kill_requested_at = Some(0);
            }
            Kill::Requested(state)
        }
        KillVerdict::Enter(next) => {
            let from = (state.name(), held_from(state));
            moves
                .entry(from)
                .or_insert((next, Vec::new()))
                .1
                .push(row.id);
            row.state = next.name().into();
            row.held_from = held_from(next).map(Into::into);
            row.told = true;
            Kill::Killed
        }
    })
}
