//! Supervisors that need not ask: changes are told until they are known to be heard of.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::buffer::{AnsweredWord, BufferError, Lookup, Notice, Notices, TakeNotices};
use crate::job::policy::Backoff;
use crate::job::{Owner, Phase, Record, RecordId};
use crate::windmill::{Answer, ChangedJob, Fault, HeardChange, RecordRef, write_job_changed};

use super::{Bridge, Origin, ReplyRoom, answers};

/// Changes that are taken from the store at a time.
pub const NEWS_LOT: usize = 200;

/// What nobody was heard to know is told again after these waits.
const AGAIN: Backoff = Backoff {
    first: Duration::from_secs(30),
    longest: Duration::from_mins(10),
};

/// Who is told, and from where.
pub(super) struct Telling {
    pub notices: Arc<dyn Notices>,
    pub owners: HashSet<Owner>,
}

/// Changes to be told, in one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// A `jobChanged`.
    pub document: String,
    /// How many jobs are in it.
    pub jobs: usize,
}

impl Bridge {
    /// What an owner's supervisors are to be told now: documents that fit into `room`. Nothing
    /// where they are not to be told, or where the store cannot be asked.
    pub async fn news(&self, owner: &Owner, room: ReplyRoom) -> Vec<News> {
        let Some(telling) = self.telling_to(owner) else {
            return Vec::new();
        };
        match self.changes(telling, owner).await {
            Ok(jobs) => documents(&jobs, room),
            Err(error) => {
                tracing::debug!(%owner, %error, "no changes can be told just now");
                Vec::new()
            }
        }
    }

    async fn changes(
        &self,
        telling: &Telling,
        owner: &Owner,
    ) -> Result<Vec<ChangedJob>, BufferError> {
        let request = TakeNotices {
            owner: owner.clone(),
            most: NEWS_LOT,
            again: AGAIN,
            now: self.clock.now(),
        };
        let mut due = telling.notices.take_notices(request).await?;
        let is_untold = |notice: &Notice| notice.record.state.is_final() && !notice.record.told;
        let untold: Vec<_> = due
            .iter()
            .filter(|notice| is_untold(notice))
            .map(|notice| (notice.record.id, notice.record.state))
            .collect();
        let mut confirmed = self.mark_told(owner, &untold).await?.into_iter();
        due.retain(|notice| !is_untold(notice) || confirmed.next() == Some(true));
        Ok(due.into_iter().map(changed).collect())
    }

    /// A supervisor knows these changes; or, with none, wants to hear all that it may not know.
    pub(super) async fn acknowledge(
        &self,
        heard: &[HeardChange],
        origin: &Origin,
    ) -> Result<Answer, Fault> {
        let Some(telling) = self.telling_to(&origin.owner) else {
            return Ok(Answer::Acknowledged);
        };
        let (notices, owner) = (&telling.notices, &origin.owner);
        let kept = if heard.is_empty() {
            self.ask(origin, notices.tell_again(owner)).await
        } else {
            let known: Vec<_> = heard.iter().filter_map(readable).collect();
            self.ask(origin, notices.cover(owner, &known)).await
        };
        kept.map_err(|error| answers::store_fault(&error))?;
        Ok(Answer::Acknowledged)
    }

    /// These records' changes are in an answer. Where that cannot be kept they are told once more.
    pub(super) async fn cover(&self, answered: &[Lookup<Record>], origin: &Origin) {
        let Some(telling) = self.telling_to(&origin.owner) else {
            return;
        };
        let words: Vec<_> = answered.iter().filter_map(word).collect();
        if !words.is_empty() {
            let covered = telling.notices.cover_answered(&origin.owner, &words);
            let _ = self.ask(origin, covered).await;
        }
    }

    fn telling_to(&self, owner: &Owner) -> Option<&Telling> {
        let telling = self.telling.as_ref();
        telling.filter(|telling| telling.owners.contains(owner))
    }
}

fn word(found: &Lookup<Record>) -> Option<AnsweredWord> {
    match found {
        Lookup::Found(record) => Some(AnsweredWord {
            id: record.id,
            state: record.state,
            since: record.since,
        }),
        Lookup::Absent | Lookup::Unreachable => None,
    }
}

fn readable(heard: &HeardChange) -> Option<(RecordId, u64)> {
    match heard.record {
        RecordRef::Readable(id) => Some((id, heard.change)),
        RecordRef::Unreadable(_) => None,
    }
}

fn changed(notice: Notice) -> ChangedJob {
    ChangedJob {
        key: notice.record.key,
        record: notice.record.id,
        status: answers::status(notice.record.state),
        result: match notice.record.state.phase() {
            Phase::Finished(outcome) => Some(outcome),
            Phase::Pending | Phase::Running => None,
        },
        since: notice.record.since,
        change: notice.changes,
    }
}

/// As few documents as the room allows.
fn documents(jobs: &[ChangedJob], room: ReplyRoom) -> Vec<News> {
    if jobs.is_empty() {
        return Vec::new();
    }
    let document = write_job_changed(jobs);
    if let (false, Some((left, right))) = (room.holds(&document), halves(jobs)) {
        let mut news = documents(left, room);
        news.extend(documents(right, room));
        return news;
    }
    vec![News {
        document,
        jobs: jobs.len(),
    }]
}

fn halves<T>(all: &[T]) -> Option<(&[T], &[T])> {
    (all.len() > 1).then(|| all.split_at(all.len() / 2))
}
