//! Which jobs a command is for.

use jiff::Timestamp;

use crate::buffer::ListFilter;
use crate::daemon::SystemClock;
use crate::job::policy::Clock;

use super::super::args::{Filter, Since};

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
