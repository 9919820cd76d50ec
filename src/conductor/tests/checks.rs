//! What must hold after each step.

use super::store::Row;
use super::world::Inside;
use crate::buffer::Change;
use crate::job::{RecordId, RunKey, State, Step, Verdict};

/// After a step of a claim's holder or of a rescuer.
pub fn after_step(inside: &mut Inside, change: &Change) {
    let (id, token) = (change.id, change.fence.token);
    let row = &inside.rows[&id];
    if row.standing.token != token {
        let latest = row.standing.token;
        inside.breaks(format!(
            "{id}: a word of claim {token} counted, the latest is {latest}"
        ));
    }
    let row = &inside.rows[&id];
    let wanted = match change.step {
        Step::Succeed => Some(Verdict::Succeeded),
        Step::Fail { retry: false } => Some(Verdict::Failed),
        Step::TimeOut => Some(Verdict::TimedOut),
        Step::Fail { retry: true } if row.payload != super::scenario::CRASHES => {
            Some(Verdict::FailedForNow)
        }
        _ => None,
    };
    let run = RunKey { record: id, token };
    let verdict = inside
        .processes
        .get(&run)
        .and_then(|process| process.verdict);
    if wanted.is_some() && verdict != wanted {
        inside.breaks(format!(
            "{run}: settled as {wanted:?}, but it ended as {verdict:?}"
        ));
    }
    after_any(inside, id);
}

/// After anything happened to a row.
pub fn after_any(inside: &mut Inside, id: RecordId) {
    let row = &inside.rows[&id];
    if let Err(why) = replay(row) {
        inside.breaks(format!("{id}: {why}"));
    }
    let row = &inside.rows[&id];
    if !row.is_held() {
        let state = row.standing.state;
        let mut processes = inside.processes.iter();
        let alive = processes.find(|(run, process)| run.record == id && process.alive);
        if let Some(run) = alive.map(|(run, _)| *run) {
            inside.breaks(format!("{id} is {state} while its run {run} lives"));
        }
    }
}

/// When a process is about to start: whether it may.
pub fn before_process(inside: &mut Inside, run: RunKey) {
    let mut processes = inside.processes.iter();
    let twin = processes.find(|(other, process)| other.record == run.record && process.alive);
    if let Some(twin) = twin.map(|(other, _)| *other) {
        inside.breaks(format!("{run} starts while {twin} lives"));
    }
    let row = &inside.rows[&run.record];
    if !row.is_held() || row.standing.token != run.token {
        let (state, token) = (row.standing.state, row.standing.token);
        inside.breaks(format!(
            "{run} starts under a claim that is not: {state}, {token}"
        ));
    }
}

/// When all is quiet again.
pub fn at_the_end(inside: &mut Inside, one_machine: bool) {
    let ids: Vec<_> = inside.rows.keys().copied().collect();
    for id in ids {
        let row = &inside.rows[&id];
        let finals = row
            .events
            .iter()
            .filter(|(_, state)| state.is_final())
            .count();
        let wanted = row.reruns as usize + 1;
        let state = row.standing.state;
        if !state.is_final() || finals != wanted {
            inside.breaks(format!(
                "{id} is {state}, ended {finals} times, not {wanted}"
            ));
        }
        let successes = inside.processes.iter().filter(|(run, process)| {
            run.record == id && process.verdict == Some(Verdict::Succeeded)
        });
        // Where several machines share a store, one that is gone keeps what it knows for itself.
        let successes = successes.count();
        if one_machine && successes > wanted {
            inside.breaks(format!("{id} was done {successes} times, not {wanted}"));
        }
        after_any(inside, id);
    }
}

/// Whether the events of a row lead to where it stands, each by an arrow that there is.
fn replay(row: &Row) -> Result<(), String> {
    let mut state = State::Ready;
    for (transition, to) in &row.events {
        state = state
            .apply(*transition)
            .map_err(|error| error.to_string())?;
        if state != *to {
            return Err(format!("{transition:?} leads to {state}, not to {to}"));
        }
    }
    let last = row.events.last().map(|(transition, _)| *transition);
    if state == row.standing.state {
        return Ok(());
    }
    Err(format!("its events end with {last:?} in {state}"))
}
