//! What holders of claims say of their jobs, and what follows: rows to [`Standing`], rulings to
//! [`Changes`]. A store reads the rows of the records under lock, asks here, and writes.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;

use super::changes::{Changes, Draft, EventRow, clip};
use super::result_row::ResultRow;
use super::row::{level_name, parse_state, record_id};
use super::{AdvanceRequest, Advanced, Change, Holder, Lease, Leases, Orders, ProgressReport};
use crate::job::{Event, Level, Move, RecordId, Ruling, Standing, State, Step, Token, Transition};

/// The columns of [`StandingRow`], in order.
pub(super) const STANDING_COLUMNS: &str =
    "id, state, held_from, token, renewal, runs, abandons, kill_requested_at, holder";

/// Of a row of `jobs`: all that a claim's holder can change.
#[derive(Clone, Debug)]
pub(super) struct StandingRow {
    pub id: i64,
    pub state: Vec<u8>,
    pub held_from: Option<Vec<u8>>,
    pub token: i64,
    pub renewal: i64,
    pub runs: i64,
    pub abandons: i64,
    pub kill_requested_at: Option<i64>,
    pub holder: Option<Vec<u8>>,
}

impl StandingRow {
    /// `None`: the row cannot be read.
    pub fn standing(&self) -> Option<Standing> {
        Some(Standing {
            state: parse_state(&self.state, self.held_from.as_deref())?,
            token: Token(u64::try_from(self.token).ok()?),
            renewal: u64::try_from(self.renewal).ok()?,
            runs: u32::try_from(self.runs).ok()?,
            abandons: u32::try_from(self.abandons).ok()?,
            kill_requested: self.kill_requested_at.is_some(),
        })
    }

    /// What is to be known of it if it is a claim that is held, by a holder that lives by these lengths;
    /// `None`: the row cannot be read.
    pub fn lease(&self, promised: Option<Leases>) -> Option<Lease> {
        let standing = self.standing()?;
        Some(Lease {
            id: record_id(self.id)?,
            token: standing.token,
            renewal: standing.renewal,
            state: standing.state,
            holder: Holder::new(String::from_utf8(self.holder.clone()?).ok()?)?,
            promised,
        })
    }
}

/// A row of `promises`: a holder, and its lengths in microseconds.
pub(super) type PromiseRow = (Vec<u8>, i64, i64, i64);

/// What a holder promises, in the order of the columns of `promises`.
pub(super) fn promise_columns(leases: Leases) -> [i64; 3] {
    [leases.claimed, leases.running, leases.grace]
        .map(|length| i64::try_from(length.as_micros()).unwrap_or(i64::MAX))
}

/// The claims of rows in state `claimed` or `running`. One that cannot be read is left alone.
/// `promises` were read after `rows`: a holder promises before it claims.
pub(super) fn leases(rows: &[StandingRow], promises: Vec<PromiseRow>) -> Vec<Lease> {
    let length = |micros: i64| Duration::from_micros(micros.unsigned_abs());
    let promises: HashMap<_, _> = promises
        .into_iter()
        .map(|(holder, claimed, running, grace)| {
            let leases = Leases {
                claimed: length(claimed),
                running: length(running),
                grace: length(grace),
            };
            (holder, leases)
        })
        .collect();
    let read = |row: &StandingRow| {
        let lengths = row.holder.as_ref().and_then(|name| promises.get(name));
        let lease = row.lease(lengths.copied());
        if lease.is_none() {
            tracing::error!(record = row.id, "nobody can tell who holds this record");
        }
        lease
    };
    rows.iter().filter_map(read).collect()
}

/// What a holder must know of its claims; `held`: the rows that it holds. The rest of [`Orders`]
/// is for the store to fill in.
pub(super) fn orders(held: &[StandingRow], asked: &[(RecordId, Token)]) -> Orders {
    let held: HashMap<_, _> = held
        .iter()
        .filter_map(|row| Some((record_id(row.id)?, row.standing()?)))
        .collect();
    let is_lost = |(id, token): &&(RecordId, Token)| {
        held.get(id).is_none_or(|standing| standing.token != *token)
    };
    let mut kill: Vec<_> = held
        .iter()
        .filter(|(_, standing)| standing.kill_requested)
        .map(|(id, _)| *id)
        .collect();
    kill.sort_unstable();
    Orders {
        kill,
        lost: asked.iter().filter(is_lost).copied().collect(),
        ..Orders::default()
    }
}

/// Rules on all changes of a request. `rows`: those of its records that there are, under lock;
/// `busy`: those that somebody else has locked.
pub(super) fn settle(
    request: &AdvanceRequest,
    rows: Vec<StandingRow>,
    busy: &HashSet<RecordId>,
) -> (Vec<Advanced>, Changes) {
    let mut settling = Settling::new(request, rows);
    let mut answer = |change: &Change| match settling.advance(change) {
        Advanced::Missing if busy.contains(&change.id) => Advanced::Busy,
        answer => answer,
    };
    let answers = request.changes.iter().map(&mut answer).collect();
    (answers, settling.finish())
}

struct Settling<'a> {
    request: &'a AdvanceRequest,
    records: HashMap<RecordId, (Standing, Draft)>,
    results: HashMap<i64, ResultRow>,
    changes: Changes,
}

impl<'a> Settling<'a> {
    fn new(request: &'a AdvanceRequest, rows: Vec<StandingRow>) -> Self {
        let mut records = HashMap::with_capacity(rows.len());
        for row in rows {
            let Some((id, standing)) = record_id(row.id).zip(row.standing()) else {
                tracing::error!(record = row.id, "a record cannot be advanced: {row:?}");
                continue;
            };
            records.insert(id, (standing, Draft::new(row.id, standing.state)));
        }
        Self {
            request,
            records,
            results: HashMap::new(),
            changes: Changes::default(),
        }
    }

    fn advance(&mut self, change: &Change) -> Advanced {
        let Some((standing, draft)) = self.records.get_mut(&change.id) else {
            return Advanced::Missing;
        };
        let limits = &self.request.limits;
        let to = match standing.rule(change.fence, change.step, limits, change.dice) {
            Ruling::Stale => return Advanced::Stale(standing.state),
            Ruling::AlreadyDone => return Advanced::Done(standing.state),
            Ruling::Move(to) => to,
        };
        let now = self.request.now;
        let reason = reason(change, to);
        draft.enter(to.state, now);
        draft.set("reason", reason.clone());
        if let Some(wait) = to.wait {
            draft.set("due_at", now.saturating_add(wait).unwrap_or(Timestamp::MAX));
        }
        if to.runs != standing.runs {
            draft.set("runs", to.runs);
        }
        if to.abandons != standing.abandons {
            draft.set("abandons", to.abandons);
        }
        if to.transition == Transition::Start {
            draft.set("started_at", now);
        }
        *standing = Standing {
            state: to.state,
            runs: to.runs,
            abandons: to.abandons,
            ..*standing
        };
        let id = change.id.get().cast_signed();
        let text = reason.as_deref().unwrap_or(sentence(to.transition));
        let event = EventRow::of(id, to.transition, now, text);
        self.changes.events.push(event);
        if let Some(report) = &change.report {
            self.results.insert(id, ResultRow::of(report));
        }
        Advanced::Done(to.state)
    }

    fn finish(mut self) -> Changes {
        let drafts = self.records.into_values().map(|(_, draft)| draft);
        self.changes.gather(drafts);
        self.changes.results = self.results.into_iter().collect();
        self.changes.results.sort_unstable_by_key(|(id, _)| *id);
        self.changes
    }
}

/// Why a job is where it is, where there is more to say than its state.
fn reason(change: &Change, to: Move) -> Option<String> {
    let fault = change
        .report
        .as_ref()
        .and_then(|report| report.fault.as_ref());
    let said = change.reason.as_deref();
    let said = said.or(fault.map(|fault| fault.text.as_str()));
    if change.step == Step::Abandon && to.transition == Transition::Trash {
        let last = said.unwrap_or(sentence(Transition::Abandon));
        return Some(clip(&format!(
            "abandoned {} times, last: {last}",
            to.abandons
        )));
    }
    said.map(clip)
}

/// What is said of a transition for which nobody gives a reason.
fn sentence(transition: Transition) -> &'static str {
    match transition {
        Transition::Start => "its run has started",
        Transition::GiveBack => "given back unharmed",
        Transition::Abandon => "its holder is gone",
        Transition::Succeed => "its run ended well",
        Transition::Fail => "its run failed",
        Transition::Retry => "its run failed, and another one follows",
        Transition::DeadlinePassed => "it took longer than it may",
        Transition::Cancel => "killed",
        Transition::Trash => "given up",
        other => other.name(),
    }
}

/// The code of the event that says that no more events of runs are kept.
pub(super) const EVENTS_DROPPED: &str = "events_dropped";

/// The longest code of an event, in bytes.
const MAX_CODE_BYTES: usize = 64;

/// The events of a report that are kept. `kept`: how many its record has; beyond
/// [`super::MAX_EVENTS`] they are dropped with one last warning, unless it `was_warned`.
pub(super) fn kept_events(report: &ProgressReport, kept: i64, was_warned: bool) -> Vec<EventRow> {
    let record_id = report.id.get().cast_signed();
    let room = i64::from(super::MAX_EVENTS).saturating_sub(kept);
    let room = usize::try_from(room).unwrap_or_default();
    let row = |event: &Event| EventRow {
        record_id,
        at: event.at.as_microsecond(),
        level: level_name(event.level),
        code: clip_code(&event.code).into(),
        text: clip(&event.text),
    };
    let mut rows: Vec<_> = report.events.iter().take(room).map(row).collect();
    let dropped = report.events.get(room).filter(|_| !was_warned);
    rows.extend(dropped.map(|first| EventRow {
        record_id,
        at: first.at.as_microsecond(),
        level: level_name(Level::Warning),
        code: EVENTS_DROPPED.into(),
        text: format!(
            "its runs say too much: beyond {} events of a record no more are kept",
            super::MAX_EVENTS
        ),
    }));
    rows
}

fn clip_code(code: &str) -> String {
    let end = code.floor_char_boundary(MAX_CODE_BYTES);
    code.get(..end).unwrap_or_default().to_owned()
}

/// Whether a report's claim is the latest and holds; what it says of a later one is stale.
pub(super) fn is_current(row: &StandingRow, token: Token) -> bool {
    row.standing().is_some_and(|standing| {
        let in_hand = matches!(standing.state, State::Claimed | State::Running);
        in_hand && standing.token == token
    })
}
