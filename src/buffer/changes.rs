//! What one transaction changes, the same for every store: a store only has the statements.
//!
//! Rows are read under lock, decided about in memory (`settling`, `operating`, `claiming`), and
//! what follows is gathered here: equal assignments are one statement for all their records.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;

use super::result_row::ResultRow;
use super::row::{held_from, level_name};
use crate::job::{Level, State, Transition};

/// No text about a job that is not its own XML is longer, in bytes.
const MAX_TEXT_BYTES: usize = 4096;

/// What a column gets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cell {
    Null,
    Number(i64),
    Text(Cow<'static, str>),
}

/// What columns of a row of `jobs` get.
type Assignment = BTreeMap<&'static str, Cell>;

/// All that a transaction writes. The order of writing does not matter.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Records that change alike.
    pub groups: Vec<Group>,
    /// To be inserted, in order.
    pub events: Vec<EventRow>,
    /// To be inserted, or to replace what there is; no record twice.
    pub results: Vec<(i64, ResultRow)>,
    /// Records whose result is to be deleted.
    pub dropped_results: Vec<i64>,
    /// Records of which their supervisors hear another word than before.
    pub words: Vec<i64>,
}

/// Records that change alike.
#[derive(Debug)]
pub(super) struct Group {
    /// The name of the state that they are in.
    state: &'static str,
    assignment: Assignment,
    /// Their IDs, sorted.
    pub ids: Vec<i64>,
}

impl Group {
    /// The statement, but for the list of IDs: `UPDATE jobs SET … WHERE state = ?`.
    pub fn statement(&self) -> String {
        let columns = self.assignment.keys();
        let set: Vec<_> = columns.map(|column| format!("{column} = ?")).collect();
        format!("UPDATE jobs SET {} WHERE state = ?", set.join(", "))
    }

    /// What stands for its placeholders, in order.
    pub fn cells(&self) -> Vec<Cell> {
        let guard = Cell::from(self.state);
        self.assignment.values().cloned().chain([guard]).collect()
    }
}

/// A row of `events`, but for its ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EventRow {
    pub record_id: i64,
    pub at: i64,
    pub level: &'static str,
    pub code: Cow<'static, str>,
    pub text: String,
}

impl EventRow {
    /// What is to be said of a transition.
    pub fn of(record_id: i64, transition: Transition, at: Timestamp, text: &str) -> Self {
        Self {
            record_id,
            at: at.as_microsecond(),
            level: level_name(level(transition)),
            code: transition.name().into(),
            text: clip(text),
        }
    }
}

/// One record's row while a transaction is decided about.
#[derive(Debug)]
pub(super) struct Draft {
    id: i64,
    /// The state that it was read in.
    former: State,
    /// The state that it enters.
    next: State,
    assignment: Assignment,
}

impl Draft {
    pub fn new(id: i64, state: State) -> Self {
        Self {
            id,
            former: state,
            next: state,
            assignment: Assignment::new(),
        }
    }

    pub fn set(&mut self, column: &'static str, value: impl Into<Cell>) {
        self.assignment.insert(column, value.into());
    }

    /// Has it enter a state. What belongs to a claim ends with it, and what belongs to a run ends
    /// where another run may follow.
    pub fn enter(&mut self, state: State, now: Timestamp) {
        self.next = state;
        self.set("state", state.name());
        self.set("since", now);
        let held = |state| matches!(state, State::Held(_));
        if held(self.former) || held(state) {
            self.set("held_from", held_from(state));
        }
        let goes_on_after_a_hold = held(self.former) && !state.is_final();
        if !held(state) && !goes_on_after_a_hold {
            self.set("due_at", Cell::Null);
        }
        let in_hand = |state| matches!(state, State::Claimed | State::Running);
        if in_hand(self.former) && !in_hand(state) {
            self.set("holder", Cell::Null);
        }
        if matches!(state, State::Ready | State::Scheduled) {
            self.forget_run();
        }
    }

    fn forget_run(&mut self) {
        for column in ["started_at", "progress_permille", "progress_words"] {
            self.set(column, Cell::Null);
        }
    }
}

impl Changes {
    /// Adds what was drafted, alike with alike.
    pub fn gather(&mut self, drafts: impl IntoIterator<Item = Draft>) {
        let mut groups: BTreeMap<(&'static str, Assignment), Vec<i64>> = BTreeMap::new();
        for draft in drafts {
            if draft.former.phase() != draft.next.phase() {
                self.words.push(draft.id);
            }
            if !draft.assignment.is_empty() {
                let alike = (draft.former.name(), draft.assignment);
                groups.entry(alike).or_default().push(draft.id);
            }
        }
        for ((state, assignment), mut ids) in groups {
            ids.sort_unstable();
            self.groups.push(Group {
                state,
                assignment,
                ids,
            });
        }
    }
}

/// The beginning of a text, as much of it as is kept.
pub(super) fn clip(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TEXT_BYTES);
    text.get(..end).unwrap_or_default().to_owned()
}

fn level(transition: Transition) -> Level {
    match transition {
        Transition::Retry | Transition::Abandon => Level::Warning,
        Transition::Fail | Transition::Trash | Transition::DeadlinePassed => Level::Error,
        _ => Level::Event,
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<Timestamp> for Cell {
    fn from(at: Timestamp) -> Self {
        Self::Number(at.as_microsecond())
    }
}

impl From<&'static str> for Cell {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alike_is_one_statement() {
        let mut changes = Changes::default();
        let now = Timestamp::UNIX_EPOCH;
        changes.gather([3, 1, 2].map(|id| {
            let mut draft = Draft::new(id, State::Running);
            draft.enter(
                if id == 2 {
                    State::Failed
                } else {
                    State::Succeeded
                },
                now,
            );
            draft
        }));
        changes.gather([Draft::new(4, State::Ready)]);
        let ids: Vec<_> = changes.groups.iter().map(|group| &group.ids[..]).collect();
        assert_eq!(ids, [&[2][..], &[1, 3]]);
        let group = &changes.groups[1];
        let set = "due_at = ?, holder = ?, since = ?, state = ?";
        let statement = format!("UPDATE jobs SET {set} WHERE state = ?");
        assert_eq!(group.statement(), statement);
        let cells = [
            Cell::Null,
            Cell::Null,
            Cell::Number(0),
            "succeeded".into(),
            "running".into(),
        ];
        assert_eq!(group.cells(), cells);
    }

    #[test]
    fn a_word_changes_only_where_a_supervisor_hears_another_one() {
        let now = Timestamp::UNIX_EPOCH;
        let ways: [(State, &[State]); 5] = [
            (State::Ready, &[State::Claimed]),
            (State::Claimed, &[State::Running]),
            (State::Claimed, &[State::Running, State::Failed]),
            (State::Claimed, &[State::Running, State::Scheduled]),
            (State::Failed, &[State::Ready]),
        ];
        let mut changes = Changes::default();
        changes.gather((0..).zip(ways).map(|(id, (former, states))| {
            let mut draft = Draft::new(id, former);
            for state in states {
                draft.enter(*state, now);
            }
            draft
        }));
        assert_eq!(changes.words, [1, 2, 4]);
    }

    #[test]
    fn texts_are_clipped_between_characters() {
        assert_eq!(clip("é"), "é");
        assert_eq!(clip(&"é".repeat(5000)).len(), MAX_TEXT_BYTES);
        assert_eq!(
            clip(&format!("a{}", "é".repeat(5000))).len(),
            MAX_TEXT_BYTES - 1
        );
    }
}
