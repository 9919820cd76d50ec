//! A table's row to the domain's types. Both stores have the same columns.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::result_row::{RESULT_COLUMNS, ResultRow};
use super::{BufferError, Dossier, KeptJob};
use crate::job::{
    Attempt, ContentHash, Event, JobId, JobKey, Level, Owner, Progress, Record, RecordId, State,
    StoreId, Token,
};

/// Which store this is, from its one row that says so.
pub(super) fn store_id(name: Option<String>) -> Result<StoreId, BufferError> {
    let none = || BufferError::Corrupt("the table store_id does not say which it is".to_owned());
    name.and_then(StoreId::new).ok_or_else(none)
}

/// A row of `jobs`, as it is stored.
#[derive(Clone, Debug)]
pub(super) struct JobRow {
    pub id: i64,
    pub owner: Vec<u8>,
    pub job_id: Vec<u8>,
    pub attempt: i64,
    pub state: Vec<u8>,
    pub held_from: Option<Vec<u8>>,
    pub priority_neg: i64,
    pub content_hash: Vec<u8>,
    pub reason: Option<Vec<u8>>,
    pub accepted_at: i64,
    pub since: i64,
    pub kill_requested_at: Option<i64>,
    pub due_at: Option<i64>,
    pub token: i64,
    pub holder: Option<Vec<u8>>,
    pub runs: i64,
    pub abandons: i64,
    pub started_at: Option<i64>,
    pub progress_permille: Option<i64>,
    pub progress_words: Option<Vec<u8>>,
    pub told: bool,
}

/// The columns of [`JobRow`], in order.
pub(super) const JOB_COLUMNS: &str = "id, owner, job_id, attempt, state, held_from, priority_neg, \
     content_hash, reason, accepted_at, since, kill_requested_at, due_at, token, holder, runs, \
     abandons, jobs.started_at, progress_permille, progress_words, told";

/// All that a [`Record`] is made of, as it is stored.
#[derive(Clone, Debug)]
pub(super) struct RecordRow {
    pub job: JobRow,
    pub result: Option<ResultRow>,
}

/// Selects what a [`RecordRow`] is made of: the columns of `jobs`, then those of `results`.
pub(super) fn select_records() -> String {
    format!(
        "SELECT {JOB_COLUMNS}, {RESULT_COLUMNS}
         FROM jobs LEFT JOIN results ON results.record_id = jobs.id"
    )
}

/// A row that cannot be read: which column of which record, and its bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {id}: column {column} holds {value}")]
pub(super) struct Unreadable {
    id: i64,
    column: &'static str,
    value: String,
}

impl RecordRow {
    pub fn record(&self) -> Result<Record, Unreadable> {
        let result = match &self.result {
            None => None,
            Some(row) => Some(Box::new(
                row.report()
                    .ok_or_else(|| self.job.unreadable("of its result", row))?,
            )),
        };
        Ok(Record {
            result,
            ..self.job.record()?
        })
    }
}

impl JobRow {
    /// The record without its result.
    pub fn record(&self) -> Result<Record, Unreadable> {
        Ok(Record {
            id: self.record_id()?,
            owner: self.text(&self.owner, "owner").and_then(|text| {
                Owner::new(text).map_err(|_| self.unreadable("owner", &self.owner))
            })?,
            key: self.key()?,
            state: self.state()?,
            priority: i32::try_from(-self.priority_neg)
                .map_err(|_| self.unreadable("priority_neg", self.priority_neg))?,
            content: self.content()?,
            reason: self.optional_text(self.reason.as_deref(), "reason")?,
            accepted_at: self.time(self.accepted_at, "accepted_at")?,
            since: self.time(self.since, "since")?,
            kill_requested_at: self.optional_time(self.kill_requested_at, "kill_requested_at")?,
            due_at: self.optional_time(self.due_at, "due_at")?,
            token: self.token()?,
            holder: self.optional_text(self.holder.as_deref(), "holder")?,
            runs: self.count(self.runs, "runs")?,
            abandons: self.count(self.abandons, "abandons")?,
            started_at: self.optional_time(self.started_at, "started_at")?,
            progress: self.progress()?,
            told: self.told,
            result: None,
        })
    }

    fn token(&self) -> Result<Token, Unreadable> {
        let token = u64::try_from(self.token).map(Token);
        token.map_err(|_| self.unreadable("token", self.token))
    }

    fn progress(&self) -> Result<Option<Progress>, Unreadable> {
        let Some(stored) = self.progress_permille else {
            return Ok(None);
        };
        let permille = u16::try_from(stored).ok().filter(|part| *part <= 1000);
        Ok(Some(Progress {
            permille: permille.ok_or_else(|| self.unreadable("progress_permille", stored))?,
            words: self
                .optional_text(self.progress_words.as_deref(), "progress_words")?
                .unwrap_or_default(),
        }))
    }

    pub fn state(&self) -> Result<State, Unreadable> {
        parse_state(&self.state, self.held_from.as_deref())
            .ok_or_else(|| self.unreadable("state", (&self.state, &self.held_from)))
    }

    fn record_id(&self) -> Result<RecordId, Unreadable> {
        record_id(self.id).ok_or_else(|| self.unreadable("id", self.id))
    }

    fn key(&self) -> Result<JobKey, Unreadable> {
        let text = self.text(&self.job_id, "job_id")?;
        Ok(JobKey {
            job_id: JobId::new(text).map_err(|_| self.unreadable("job_id", &self.job_id))?,
            attempt: attempt(self.attempt)
                .ok_or_else(|| self.unreadable("attempt", self.attempt))?,
        })
    }

    fn content(&self) -> Result<ContentHash, Unreadable> {
        let hash = self.content_hash.as_slice().try_into();
        hash.map(ContentHash)
            .map_err(|_| self.unreadable("content_hash", &self.content_hash))
    }

    fn text(&self, bytes: &[u8], column: &'static str) -> Result<String, Unreadable> {
        String::from_utf8(bytes.to_vec()).map_err(|_| self.unreadable(column, bytes))
    }

    fn optional_text(
        &self,
        bytes: Option<&[u8]>,
        column: &'static str,
    ) -> Result<Option<String>, Unreadable> {
        bytes.map(|bytes| self.text(bytes, column)).transpose()
    }

    fn count(&self, count: i64, column: &'static str) -> Result<u32, Unreadable> {
        u32::try_from(count).map_err(|_| self.unreadable(column, count))
    }

    fn time(&self, micros: i64, column: &'static str) -> Result<Timestamp, Unreadable> {
        Timestamp::from_microsecond(micros).map_err(|_| self.unreadable(column, micros))
    }

    fn optional_time(
        &self,
        micros: Option<i64>,
        column: &'static str,
    ) -> Result<Option<Timestamp>, Unreadable> {
        micros.map(|micros| self.time(micros, column)).transpose()
    }

    fn unreadable(&self, column: &'static str, value: impl std::fmt::Debug) -> Unreadable {
        Unreadable {
            id: self.id,
            column,
            value: format!("{value:?}"),
        }
    }
}

pub(super) fn record_id(id: i64) -> Option<RecordId> {
    u64::try_from(id).ok().and_then(RecordId::new)
}

pub(super) fn attempt(number: i64) -> Option<Attempt> {
    u32::try_from(number).ok().and_then(Attempt::new)
}

/// How an asked attempt is stored among the rejections, where 0 stands for all.
pub(super) fn attempt_or_all(attempt: Option<Attempt>) -> u32 {
    attempt.map_or(0, Attempt::get)
}

/// What the column `held_from` holds for this state.
pub(super) fn held_from(state: State) -> Option<&'static str> {
    match state {
        State::Held(from) => Some(State::from(from).name()),
        _ => None,
    }
}

pub(super) fn parse_state(name: &[u8], held: Option<&[u8]>) -> Option<State> {
    State::ALL.into_iter().find(|state| {
        state.name().as_bytes() == name && held_from(*state).map(str::as_bytes) == held
    })
}

/// What the column `level` holds.
pub(super) fn level_name(level: Level) -> &'static str {
    match level {
        Level::Event => "event",
        Level::Warning => "warning",
        Level::Error => "error",
    }
}

/// A level that is unknown to us is at least worth a look.
pub(super) fn parse_level(name: &str) -> Level {
    match name {
        "event" => Level::Event,
        "error" => Level::Error,
        _ => Level::Warning,
    }
}

/// The records of the rows that can be read; the others are told to the log.
pub(super) fn readable(rows: &[RecordRow]) -> Vec<Record> {
    let read = |row: &RecordRow| {
        let log = |unreadable: &Unreadable| tracing::error!(%unreadable, "left out of a list");
        row.record().inspect_err(log).ok()
    };
    rows.iter().filter_map(read).collect()
}

/// The record without its result; one that cannot be read is told to the log.
pub(super) fn readable_job(row: &JobRow) -> Option<Record> {
    let log = |unreadable: &Unreadable| tracing::error!(%unreadable, "left out of what is told");
    row.record().inspect_err(log).ok()
}

/// A count as a store takes it.
pub(super) fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The names of the states that are not final, as a list in SQL.
pub(super) fn unfinished_states() -> String {
    state_names(|state| !state.is_final())
}

/// The names of some states, as a list in SQL.
pub(super) fn state_names(is_one: impl Fn(State) -> bool) -> String {
    let some = State::ALL.iter().filter(|state| is_one(**state));
    let names = some.map(|state| state.name());
    let names: BTreeSet<_> = names.map(|name| format!("'{name}'")).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// Counts by owner, as they are stored.
pub(super) fn owners(counts: Vec<(String, i64)>) -> Result<Vec<(Owner, u64)>, BufferError> {
    let read = |(owner, count): (String, i64)| {
        let owner = Owner::new(owner).map_err(|why| BufferError::Corrupt(why.to_string()))?;
        Ok((owner, count.unsigned_abs()))
    };
    counts.into_iter().map(read).collect()
}

/// What came in with a job; `None` where it cannot be read.
pub(super) fn kept_job(content: &[u8], priority_neg: i64, payload: String) -> Option<KeptJob> {
    Some(KeptJob {
        content: ContentHash(content.try_into().ok()?),
        priority: i32::try_from(-priority_neg).ok()?,
        payload,
    })
}

/// Puts a dossier together. Its first event is the acceptance, which the record itself tells.
pub(super) fn dossier(record: Record, payload: Option<String>, later: Vec<Event>) -> Dossier {
    let accepted = Event {
        at: record.accepted_at,
        level: Level::Event,
        code: "accepted".to_owned(),
        text: "accepted and stored".to_owned(),
    };
    Dossier {
        record,
        payload,
        events: std::iter::once(accepted).chain(later).collect(),
    }
}

/// The code of the event that somebody wishes a job killed which is in hand.
pub(super) const KILL_REQUESTED: &str = "kill_requested";

/// What a wish to kill does to a job in this state. Only [`State::apply`] decides what follows.
pub(super) enum KillVerdict {
    /// Nobody holds it: it enters this state at once.
    Enter(State),
    /// Its holder ends it.
    AskHolder,
    /// It has ended.
    Ended,
}

pub(super) fn kill_verdict(state: State) -> KillVerdict {
    use crate::job::Transition::Cancel;
    match state {
        State::Claimed | State::Running => KillVerdict::AskHolder,
        _ => state
            .apply(Cancel)
            .map_or(KillVerdict::Ended, KillVerdict::Enter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_stored_and_read_back() {
        for state in State::ALL {
            let held = held_from(state).map(str::as_bytes);
            assert_eq!(parse_state(state.name().as_bytes(), held), Some(state));
        }
        for (name, held) in [
            ("held", None),
            ("ready", Some("ready")),
            ("Ready", None),
            ("", None),
        ] {
            assert_eq!(
                parse_state(name.as_bytes(), held.map(str::as_bytes)),
                None,
                "{name}"
            );
        }
    }

    #[test]
    fn a_wish_to_kill_never_leaves_a_final_state() {
        for state in State::ALL {
            match kill_verdict(state) {
                KillVerdict::Enter(next) => assert_eq!(next, State::Cancelled),
                KillVerdict::AskHolder => assert!(matches!(state, State::Claimed | State::Running)),
                KillVerdict::Ended => assert!(state.is_final()),
            }
        }
    }
}
