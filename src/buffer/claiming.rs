//! Who gets which job: what a store reads of jobs that are due or ready, and what follows. A store
//! first makes ready what is due, then gives away what is ready, both in one transaction.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use super::changes::{Cell, Changes, Draft, EventRow};
use super::row::{attempt, parse_state, record_id};
use super::{ClaimRequest, Claimed};
use crate::job::{JobId, JobKey, Owner, State, Token, Transition};

/// At most so many scheduled jobs are made ready by one claim; the next one goes on.
pub(super) const DUE_AT_ONCE: u32 = 1000;

/// The clocks of daemons that share a store differ by less.
const MAX_SKEW: Duration = Duration::from_mins(1);

/// A row that says it was written after this was written under a clock that was set back since.
/// Whatever it waits for, nobody knows how long that is, and so it is due. In microseconds.
pub(super) fn set_back(now: Timestamp) -> i64 {
    now.saturating_add(MAX_SKEW)
        .unwrap_or(Timestamp::MAX)
        .as_microsecond()
}

/// The columns of [`ReadyRow`], in order.
pub(super) const READY_COLUMNS: &str = "id, owner, job_id, attempt, token, runs";

/// Of a row of `jobs` in state `ready`: what its new holder must know.
#[derive(Clone, Debug)]
pub(super) struct ReadyRow {
    pub id: i64,
    pub owner: Vec<u8>,
    pub job_id: Vec<u8>,
    pub attempt: i64,
    pub token: i64,
    pub runs: i64,
}

/// Of a row of `jobs` whose `due_at` has come: its ID, state and `held_from`.
pub(super) type DueRow = (i64, Vec<u8>, Option<Vec<u8>>);

/// Jobs whose time has come: scheduled ones become ready, ready ones need not wait any more.
pub(super) fn make_due(rows: Vec<DueRow>, now: Timestamp) -> Changes {
    let mut changes = Changes::default();
    let mut drafts = Vec::with_capacity(rows.len());
    for (id, state, held) in rows {
        let Some(state) = parse_state(&state, held.as_deref()) else {
            continue;
        };
        let mut draft = Draft::new(id, state);
        draft.set("due_at", Cell::Null);
        if let Ok(next) = state.apply(Transition::Due) {
            draft.enter(next, now);
            draft.set("reason", Cell::Null);
            let text = "its time has come";
            let event = EventRow::of(id, Transition::Due, now, text);
            changes.events.push(event);
        }
        drafts.push(draft);
    }
    changes.gather(drafts);
    changes
}

/// The record that a claim passes over, as a parameter; 0: none.
pub(super) fn passed_over(request: &ClaimRequest) -> i64 {
    request.pass_over.map_or(0, |id| id.get().cast_signed())
}

/// Gives ready jobs to a holder, in the order of `rows`. A job that cannot be read, or whose
/// payload is not there, is trashed, so that it does not stand in the others' way for ever.
pub(super) fn claim(
    request: &ClaimRequest,
    rows: Vec<ReadyRow>,
    mut payloads: HashMap<i64, Vec<u8>>,
) -> (Vec<Claimed>, Changes) {
    let mut claimed = Vec::with_capacity(rows.len());
    let mut changes = Changes::default();
    let mut drafts = Vec::with_capacity(rows.len());
    let holder = request.holder.as_str();
    let taken = format!("claimed by {holder}");
    for row in rows {
        let mut draft = Draft::new(row.id, State::Ready);
        let (transition, text) = match row.claimed(payloads.remove(&row.id)) {
            Ok(job) => {
                draft.enter(State::Claimed, request.now);
                draft.set("token", row.token.saturating_add(1));
                draft.set("renewal", 0_u32);
                draft.set("holder", holder.to_owned());
                draft.set("reason", Cell::Null);
                claimed.push(job);
                (Transition::Claim, taken.as_str())
            }
            Err(why) => {
                tracing::error!(record = row.id, why, "a job cannot be built");
                draft.enter(State::Trashed, request.now);
                draft.set("reason", why);
                (Transition::Trash, why)
            }
        };
        let event = EventRow::of(row.id, transition, request.now, text);
        changes.events.push(event);
        drafts.push(draft);
    }
    changes.gather(drafts);
    (claimed, changes)
}

impl ReadyRow {
    /// The job under its new claim, or why there is none.
    fn claimed(&self, payload: Option<Vec<u8>>) -> Result<Claimed, &'static str> {
        let unreadable = "its row cannot be read";
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| unreadable);
        let token = u64::try_from(self.token.saturating_add(1)).map_err(|_| unreadable)?;
        let payload = payload.ok_or("its payload is not there")?;
        Ok(Claimed {
            id: record_id(self.id).ok_or(unreadable)?,
            token: Token(token),
            owner: Owner::new(text(&self.owner)?).map_err(|_| unreadable)?,
            key: JobKey {
                job_id: JobId::new(text(&self.job_id)?).map_err(|_| unreadable)?,
                attempt: attempt(self.attempt).ok_or(unreadable)?,
            },
            runs: u32::try_from(self.runs).map_err(|_| unreadable)?,
            payload: String::from_utf8(payload).map_err(|_| "its payload cannot be read")?,
        })
    }
}
