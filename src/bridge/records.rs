//! The calls about records that a supervisor was told of: getStatus, killJobs, fixJobs.

use tokio::time::timeout_at;

use crate::buffer::{BufferError, Lookup};
use crate::job::{Owner, Record, RecordId, State};
use crate::windmill::{Answer, Fault, RecordQuery, Reply, Status};

use super::statuses::statuses;
use super::{Bridge, Finding, Origin, answers};

impl Bridge {
    /// A final word is told, and a change covered, only by a reply that fits.
    pub(super) async fn status(
        &self,
        queries: Vec<RecordQuery>,
        mut reply: Reply,
        origin: &Origin,
    ) -> Reply {
        let found = self.find_records(&queries, origin).await;
        let found = answers::each_or_unreachable(found, queries.len());
        let mut found = self.confirm_absent(&queries, found, origin).await;
        reply.content = Ok(Answer::Statuses(statuses(queries, &found)));
        reply = self.fit(reply, origin.room);
        if let Ok(Answer::Statuses(entries)) = &mut reply.content {
            self.confirm_final(&mut found, origin).await;
            for (entry, found) in entries.iter_mut().zip(&found) {
                if matches!(found, Lookup::Unreachable) {
                    entry.status = Status::Unknown;
                    entry.detail = None;
                }
            }
            self.cover(&found, origin).await;
        }
        reply
    }

    pub(super) async fn kill(
        &self,
        queries: Vec<RecordQuery>,
        origin: &Origin,
    ) -> Result<Answer, Fault> {
        let readable = answers::readable(&queries);
        let killed = self.buffer.kill(&origin.owner, &readable, self.clock.now());
        let killed = self.ask(origin, killed).await;
        let killed = killed.map_err(|error| answers::store_fault(&error))?;
        let killed = answers::absent_where_unreadable(&queries, killed);
        let killed = self.confirm_absent(&queries, killed, origin).await;
        Ok(Answer::Kills(answers::kills(queries, &killed)))
    }

    /// What somebody holds is looked at; what nobody holds can have no other truth than its record.
    pub(super) async fn fix(
        &self,
        queries: Vec<RecordQuery>,
        origin: &Origin,
    ) -> Result<Answer, Fault> {
        let found = self.find_records(&queries, origin).await;
        let found = found.map_err(|error| answers::store_fault(&error))?;
        let mut found = self.confirm_absent(&queries, found, origin).await;
        let findings = self.look_again(&found, origin).await;
        if findings.contains(&Finding::Corrected) {
            let now = self.find_records(&queries, origin).await;
            found = answers::each_or_unreachable(now, queries.len());
            found = self.confirm_absent(&queries, found, origin).await;
        }
        self.confirm_final(&mut found, origin).await;
        let looked = found.into_iter().zip(findings);
        let looked: Vec<_> = looked
            .map(|(found, finding)| match found {
                Lookup::Found(record) => Lookup::Found((record.state, finding)),
                Lookup::Absent => Lookup::Absent,
                Lookup::Unreachable => Lookup::Unreachable,
            })
            .collect();
        Ok(Answer::Fixes(answers::fixes(queries, &looked)))
    }

    /// One finding for each, in order. Takes half of the time: what was found has to be told, too.
    async fn look_again(&self, found: &[Lookup<Record>], origin: &Origin) -> Vec<Finding> {
        let doubtful: Vec<Record> = found.iter().filter_map(held).cloned().collect();
        let looked = match &self.truth {
            Some(truth) if !doubtful.is_empty() => {
                let by = origin.arrived + self.settings().timeout / 2;
                let looked = timeout_at(by, truth.look_again(&doubtful)).await;
                looked.unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let mut looked = looked.into_iter();
        let finding = |found| match held(found) {
            Some(_) => looked.next().unwrap_or(Finding::Unclear),
            None => Finding::Right,
        };
        found.iter().map(finding).collect()
    }

    async fn find_records(
        &self,
        queries: &[RecordQuery],
        origin: &Origin,
    ) -> Result<Vec<Lookup<Record>>, BufferError> {
        let readable = answers::readable(queries);
        let found = self.buffer.find_records(&origin.owner, &readable);
        let found = self.ask(origin, found).await?;
        Ok(answers::absent_where_unreadable(queries, found))
    }

    /// What has ended will be answered `finished`: remembers that first, for who was told so may
    /// give the work away. Else, or where somebody has it run again, it is in doubt.
    async fn confirm_final(&self, found: &mut [Lookup<Record>], origin: &Origin) {
        let words: Vec<_> = found.iter().filter_map(untold).collect();
        let confirmed = self
            .ask(origin, self.mark_told(&origin.owner, &words))
            .await;
        let mut confirmed = confirmed.unwrap_or_default().into_iter();
        for entry in found.iter_mut().filter(|entry| untold(entry).is_some()) {
            if confirmed.next() != Some(true) {
                *entry = Lookup::Unreachable;
            }
        }
    }

    pub(super) async fn mark_told(
        &self,
        owner: &Owner,
        records: &[(RecordId, State)],
    ) -> Result<Vec<bool>, BufferError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        self.buffer.mark_told(owner, records).await
    }
}

fn record(found: &Lookup<Record>) -> Option<&Record> {
    match found {
        Lookup::Found(record) => Some(record),
        Lookup::Absent | Lookup::Unreachable => None,
    }
}

fn held(found: &Lookup<Record>) -> Option<&Record> {
    record(found).filter(|record| matches!(record.state, State::Claimed | State::Running))
}

/// The final word that the supervisor does not know.
fn untold(found: &Lookup<Record>) -> Option<(RecordId, State)> {
    let record = record(found)?;
    (record.state.is_final() && !record.told).then_some((record.id, record.state))
}
