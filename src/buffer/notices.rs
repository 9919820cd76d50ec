//! Which changes of their jobs' words supervisors have not been heard to know: told unasked, and
//! again, until they are covered.

use std::collections::HashMap;

use async_trait::async_trait;
use jiff::Timestamp;

use super::BufferError;
use crate::job::policy::Backoff;
use crate::job::{Owner, Record, RecordId, State};

/// The store as who tells supervisors of changes sees it. A change is noted in the transaction
/// that makes it; of a job's changes only the newest is kept.
#[async_trait]
pub trait Notices: Send + Sync {
    /// From now on the changes of these owners' jobs are noted, whoever makes them, and on behalf
    /// of this daemon those of no others. What was noted before is due.
    async fn listen(&self, daemon: &str, owners: &[Owner]) -> Result<(), BufferError>;

    /// An owner's changes that are due to be told, those that have waited longest first. Each is
    /// due again after a wait that grows from time to time.
    async fn take_notices(&self, request: TakeNotices) -> Result<Vec<Notice>, BufferError>;

    /// The owner's supervisor knows these changes, and all before them of the same records.
    async fn cover(&self, owner: &Owner, heard: &[(RecordId, u64)]) -> Result<(), BufferError>;

    /// The owner's supervisor was answered that its records are so; covers what has not changed
    /// since.
    async fn cover_answered(
        &self,
        owner: &Owner,
        answered: &[AnsweredWord],
    ) -> Result<(), BufferError>;

    /// Everything of an owner's that is not covered is due now.
    async fn tell_again(&self, owner: &Owner) -> Result<(), BufferError>;
}

/// What [`Notices::take_notices`] takes.
#[derive(Clone, Debug)]
pub struct TakeNotices {
    /// Whose jobs.
    pub owner: Owner,
    /// No more than these.
    pub most: usize,
    /// When what is told now is due again.
    pub again: Backoff,
    /// What is due by now.
    pub now: Timestamp,
}

/// A change that is due to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The job as it is now.
    pub record: Record,
    /// How often its word has changed.
    pub changes: u64,
}

/// What a supervisor was answered of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnsweredWord {
    /// Which record.
    pub id: RecordId,
    /// Where it stood.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
}

/// A row of `notices` that is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct DueRow {
    pub id: i64,
    pub changes: i64,
    pub tries: u32,
}

/// The ranges of `due_at`, in microseconds, that are due: the past, and what lies further ahead
/// than any wait, for then somebody has set the clock.
pub(super) fn due_ranges(request: &TakeNotices) -> [(i64, i64); 2] {
    let now = request.now.as_microsecond();
    [(0, now), (due_again(request, u32::MAX) + 1, i64::MAX)]
}

/// When what was told `tries` times before, and is told now, is due again; in microseconds.
pub(super) fn due_again(request: &TakeNotices, tries: u32) -> i64 {
    let wait = request.again.wait(tries.saturating_add(1), 1.0).as_micros();
    let now = request.now.as_microsecond();
    now.saturating_add(i64::try_from(wait).unwrap_or(i64::MAX))
}

/// Joins what is due with what the records are now. A record that cannot be read is left out.
pub(super) fn notices(due: &[DueRow], records: Vec<Record>) -> Vec<Notice> {
    let mut records: HashMap<_, _> = records
        .into_iter()
        .map(|record| (record.id.get().cast_signed(), record))
        .collect();
    due.iter()
        .filter_map(|row| {
            let record = records.remove(&row.id)?;
            let changes = row.changes.unsigned_abs();
            Some(Notice { record, changes })
        })
        .collect()
}

/// Which of these changes were answered: those of records that are still as they were answered.
pub(super) fn answered(
    noted: Vec<(DueRow, Record)>,
    words: &[AnsweredWord],
) -> Vec<(RecordId, u64)> {
    let words: HashMap<_, _> = words.iter().map(|word| (word.id, word)).collect();
    let is_answered = |record: &Record| {
        let word = words.get(&record.id);
        word.is_some_and(|word| (word.state, word.since) == (record.state, record.since))
    };
    noted
        .into_iter()
        .filter(|(_, record)| is_answered(record))
        .map(|(row, record)| (record.id, row.changes.unsigned_abs()))
        .collect()
}
