//! What is done so that no `rejected` is overtaken by the job itself: it is remembered before it is
//! said, and it is not said any more once that memory may be too short.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Bridge, Origin, answers};
use crate::buffer::{BufferError, Lookup};
use crate::job::{Attempt, JobId};
use crate::windmill::{RecordQuery, Reply};

/// A rejection is remembered for so many times the age that an executeJobs may have: what is near
/// that age by one clock may be younger by another.
const KEPT_AGES: u32 = 2;

/// How long an answer that says `rejected` may wait for the line.
const ON_THE_WAY: Duration = Duration::from_secs(5);

/// How much the clocks of this machine and of the XMPP server may differ.
const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// A request that no stamp says to be delayed counts as prompt when it is dealt with so soon after
/// its line was known to hold nothing back. Such a one may be about a job that was rejected a moment
/// ago, and given to us on purpose.
const PROMPT: Duration = Duration::from_secs(5);

/// When a request was sent at the earliest, and until when it counts as prompt. No stamp is no
/// proof: it may have waited for a process or a machine that stood still. Where the time of day was
/// set back since, nothing is known to be prompt.
pub(super) fn earliest(origin: &Origin, now: Timestamp) -> (Timestamp, Option<Instant>) {
    match (origin.sent_at, origin.line_empty_at) {
        (None, None) => (Timestamp::MAX, None),
        (Some(sent_at), None) => (sent_at, None),
        (Some(sent_at), Some(empty_at)) => (sent_at.min(empty_at), None),
        (None, Some(empty_at)) => {
            let waited = Duration::try_from(now.duration_since(empty_at)).ok();
            let left = waited.and_then(|waited| PROMPT.checked_sub(waited));
            (empty_at.min(now), left.map(|left| Instant::now() + left))
        }
    }
}

/// How long a rejection is remembered, where an executeJobs may have this age.
#[must_use]
pub fn rejections_are_kept(max_age: Duration) -> Duration {
    max_age * KEPT_AGES
}

impl Bridge {
    /// Until when a reply to a request of this origin may be sent; after that, what is sent instead
    /// of it. `None`: for ever. A `rejected` is remembered for the time that its answer may be on
    /// its way; one that leaves later could overtake the job itself.
    #[must_use]
    pub fn good_until(&self, reply: &Reply, origin: &Origin) -> Option<(Instant, Reply)> {
        let doubtful = answers::without_rejections(reply)?;
        let until = origin.arrived + self.settings().timeout + ON_THE_WAY;
        Some((until, doubtful))
    }

    /// What is absent will be answered `rejected`: remembers that first, else it is in doubt.
    pub(super) async fn confirm_absent<T>(
        &self,
        queries: &[RecordQuery],
        mut found: Vec<Lookup<T>>,
        origin: &Origin,
    ) -> Vec<Lookup<T>> {
        let absent = queries
            .iter()
            .zip(&found)
            .filter(|(_, found)| found.is_absent());
        let absent = absent
            .map(|(query, _)| (query.job_id.clone(), None))
            .collect();
        if self.remember_rejected(absent, origin).await.is_err() {
            for entry in found.iter_mut().filter(|entry| entry.is_absent()) {
                *entry = Lookup::Unreachable;
            }
        }
        found
    }

    /// Asked before these keys are answered `rejected`: an executeJobs that was sent before the
    /// answer and arrives after it must be known for what it is. One entry for each key, in
    /// order: whether there is still no record of it.
    pub(super) async fn remember_rejected(
        &self,
        keys: Vec<(JobId, Option<Attempt>)>,
        origin: &Origin,
    ) -> Result<Vec<bool>, BufferError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.clock.now();
        // The answer leaves later than now, by `good_until` at the latest, and the clock of the
        // server that stamps what is delayed is another one.
        let at = now
            .checked_add(self.settings().timeout + ON_THE_WAY + CLOCK_SKEW)
            .unwrap_or(Timestamp::MAX);
        let forget_before = now
            .checked_sub(rejections_are_kept(self.settings().max_age))
            .unwrap_or(Timestamp::MIN);
        let remembered = self
            .buffer
            .remember_rejected(&origin.owner, &keys, at, forget_before);
        self.ask(origin, remembered).await
    }
}
