//! What operators want of jobs, and what follows: rows to [`Action::apply`], effects to
//! [`Changes`]. A store reads the rows of the records under lock, asks here, and writes.

use std::collections::HashMap;

use super::changes::{Cell, Changes, Draft, EventRow, clip};
use super::row::{KILL_REQUESTED, level_name, parse_state, record_id};
use super::{Lookup, Note, OldKeys, Operation, Purge};
use crate::job::{Action, Declined, Effect, Level, Outcome, RecordId, State, Transition};

/// The columns of [`OperatedRow`], in order.
pub(super) const OPERATED_COLUMNS: &str = "id, state, held_from, kill_requested_at, told, \
     EXISTS (SELECT 1 FROM payloads WHERE record_id = jobs.id)";

/// Of a row of `jobs`: all that what an operator may do depends on.
#[derive(Clone, Debug)]
pub(super) struct OperatedRow {
    pub id: i64,
    pub state: Vec<u8>,
    pub held_from: Option<Vec<u8>>,
    pub kill_requested_at: Option<i64>,
    pub told: bool,
    /// Not purged.
    pub has_payload: bool,
}

/// One answer for each record of an operation.
pub(super) type Answers = Vec<Lookup<Result<Effect, Declined>>>;

/// Decides about an operation. `rows`: those of its records that there are, under lock.
pub(super) fn operate(operation: &Operation, rows: Vec<OperatedRow>) -> (Answers, Changes) {
    let mut records: HashMap<_, _> = rows
        .into_iter()
        .filter_map(|row| Some((record_id(row.id)?, Operated::new(row))))
        .collect();
    let mut changes = Changes::default();
    let answer = |id: &RecordId| match records.get_mut(id) {
        None => Lookup::Absent,
        Some(None) => Lookup::Unreachable,
        Some(Some(record)) => Lookup::Found(record.operate(operation, &mut changes)),
    };
    let answers = operation.records.iter().map(answer).collect();
    let drafts = records.into_values().flatten().map(|record| record.draft);
    changes.gather(drafts);
    (answers, changes)
}

struct Operated {
    row: OperatedRow,
    state: State,
    draft: Draft,
}

impl Operated {
    /// `None`: the row cannot be read.
    fn new(row: OperatedRow) -> Option<Self> {
        let state = parse_state(&row.state, row.held_from.as_deref());
        if state.is_none() {
            tracing::error!(record = row.id, "a record cannot be changed: {row:?}");
        }
        let state = state?;
        Some(Self {
            draft: Draft::new(row.id, state),
            state,
            row,
        })
    }

    fn operate(
        &mut self,
        operation: &Operation,
        changes: &mut Changes,
    ) -> Result<Effect, Declined> {
        let (action, now) = (operation.action, operation.now);
        let effect = action.apply(self.state, self.row.told, operation.force)?;
        let note = text(&operation.note);
        match effect {
            Effect::AlreadyFinished(_) => {}
            Effect::KillRequested => {
                if self.row.kill_requested_at.is_none() {
                    self.wish_killed(operation);
                    changes.events.push(EventRow {
                        record_id: self.row.id,
                        at: now.as_microsecond(),
                        level: level_name(Level::Event),
                        code: KILL_REQUESTED.into(),
                        text: note,
                    });
                }
            }
            Effect::Moved(state) => {
                let again = matches!(action, Action::Rerun | Action::Restore);
                if again && !self.row.has_payload {
                    return Err(Declined::Purged);
                }
                self.draft.enter(state, now);
                self.draft.set("reason", reason(action, &note));
                if again {
                    self.begin_anew();
                    changes.dropped_results.push(self.row.id);
                }
                if action == Action::Kill {
                    self.wish_killed(operation);
                }
                self.state = state;
                let event = EventRow::of(self.row.id, transition(action), now, &note);
                changes.events.push(event);
            }
        }
        Ok(effect)
    }

    fn wish_killed(&mut self, operation: &Operation) {
        self.draft.set("kill_requested_at", operation.now);
        self.row.kill_requested_at = Some(operation.now.as_microsecond());
    }

    fn begin_anew(&mut self) {
        for counter in ["runs", "abandons", "told"] {
            self.draft.set(counter, 0_u32);
        }
        self.draft.set("kill_requested_at", Cell::Null);
        self.row.told = false;
    }
}

/// Why a job is where it is, by an operator's doing.
fn reason(action: Action, note: &str) -> Option<String> {
    let what = match action {
        Action::Kill => "killed",
        Action::Hold => "held",
        Action::Trash => "trashed",
        Action::Release | Action::Rerun | Action::Restore => return None,
    };
    Some(clip(&format!("{what} {note}")))
}

fn text(note: &Note) -> String {
    clip(&match &note.reason {
        None => format!("by {}", note.who),
        Some(reason) => format!("by {}: {reason}", note.who),
    })
}

fn transition(action: Action) -> Transition {
    match action {
        Action::Kill => Transition::Cancel,
        Action::Hold => Transition::Hold,
        Action::Release => Transition::Release,
        Action::Rerun => Transition::Rerun,
        Action::Trash => Transition::Trash,
        Action::Restore => Transition::Restore,
    }
}

/// The condition in SQL on the states of rows that are to be purged: final ones only.
pub(super) fn has_ended(purge: &Purge) -> String {
    let names = Outcome::ALL.map(Outcome::name);
    let is_meant = |name: &&str| purge.states.is_empty() || purge.states.contains(name);
    let names = names.into_iter().filter(is_meant);
    let names: Vec<_> = names.map(|name| format!("'{name}'")).collect();
    match names.as_slice() {
        [] => "FALSE".to_owned(),
        names => format!("state IN ({})", names.join(", ")),
    }
}

/// The condition in SQL, with a time as its parameter, on rows whose keys are needed no more. What
/// a supervisor was not told stays: it would take `rejected` for leave to give the job away.
pub(super) fn has_an_old_key(purge: &Purge) -> String {
    format!("{} AND told AND since < ?", has_ended(purge))
}

/// What a lot of rows says, the oldest first: their IDs, whether their keys are needed no more,
/// and whether what follows can be as old.
pub(super) fn old_keys(purge: &Purge, rows: &[(i64, bool, bool)]) -> OldKeys {
    let old = rows.iter().filter(|(_, is_old, _)| *is_old);
    let is_full = rows.len() as u64 >= u64::from(purge.lot);
    let last = rows.last().filter(|(_, _, goes_on)| is_full && *goes_on);
    OldKeys {
        records: old.filter_map(|(id, ..)| record_id(*id)).collect(),
        next: last.and_then(|(id, ..)| record_id(*id)),
    }
}

/// What there is of a record beside its row in `jobs`.
pub(super) const BELONGINGS: [&str; 3] = ["payloads", "events", "results"];

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn only_what_has_ended_is_purged() {
        let purge = |states| Purge {
            states,
            before: Timestamp::UNIX_EPOCH,
            lot: 1,
        };
        let some = has_ended(&purge(vec!["failed", "ready", "succeeded"]));
        assert_eq!(some, "state IN ('succeeded', 'failed')");
        assert_eq!(has_ended(&purge(vec!["running"])), "FALSE");
        assert!(has_ended(&purge(Vec::new())).contains("'timed_out'"));
    }
}
