//! Which jobs a command is for.

use jiff::Timestamp;

use crate::buffer::{ListFilter, TaskBuffer};
use crate::daemon::SystemClock;
use crate::error::Report;
use crate::job::policy::Clock;
use crate::job::{Record, RecordId};

use super::super::args::{Filter, Since, Which};
use super::super::store::Store;

/// No command acts on more jobs than this at a time; it keeps their records in memory.
pub(super) const MAX_SELECTED: u32 = 100_000;

/// What a filter of the command line means to a store.
pub(super) fn list_filter(filter: &Filter, limit: u32) -> ListFilter {
    ListFilter {
        owner: filter.owner.clone(),
        job_id: filter.job_id.clone(),
        state: filter.state.map(str::to_owned),
        since: filter.since.map(|since| match since {
            Since::Time(time) => time,
            Since::Age(age) => SystemClock.now().checked_sub(age).unwrap_or(Timestamp::MIN),
        }),
        limit,
    }
}

/// The records of a filter, newest first in each state; only those in one of `states`, unless
/// the filter names a state itself.
pub(super) async fn matching(
    store: &Store<dyn TaskBuffer>,
    which: &Which,
    states: &[&'static str],
) -> Result<Vec<Record>, Report> {
    let states = match which.filter.state {
        Some(state) => vec![state],
        None => states.to_vec(),
    };
    let most = which.limit.unwrap_or(MAX_SELECTED).min(MAX_SELECTED);
    let mut found: Vec<Record> = Vec::new();
    for state in states {
        let room = most.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        let mut filter = list_filter(&which.filter, room);
        filter.state = Some(state.to_owned());
        found.extend(store.ask(|store| store.list(&filter)).await?);
    }
    Ok(found)
}

/// The records of named ones: each that is there, and the IDs of the others.
pub(super) async fn named(
    store: &Store<dyn TaskBuffer>,
    records: &[RecordId],
) -> Result<Vec<Record>, Report> {
    let mut found = Vec::with_capacity(records.len());
    for id in records {
        let dossier = store.ask(|store| store.show(*id)).await?;
        found.push(store.found(*id, dossier)?.record);
    }
    Ok(found)
}
