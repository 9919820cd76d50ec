//! A store that answers a question only when the test lets it: no real one can be held so.

use async_trait::async_trait;
use gristmill::buffer::{
    BufferError, Census, Dossier, KeptJob, Kill, KnownJob, ListFilter, Lookup, StoreRequest,
    Stored, TaskBuffer,
};
use gristmill::job::{Attempt, JobId, JobKey, Owner, Record, RecordId, State};
use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::rig::gristmill::OTHER_SUPERVISOR;

/// A question about this job makes it panic.
pub const PANIC: &str = "panic";

/// Holds nothing. Look-ups of jobs wait, but for those of the other supervisor.
pub struct GatedStore {
    gate: Semaphore,
}

impl GatedStore {
    /// One whose gate is shut.
    pub fn shut() -> Self {
        Self {
            gate: Semaphore::new(0),
        }
    }

    /// Lets so many look-ups through.
    pub fn let_through(&self, lookups: usize) {
        self.gate.add_permits(lookups);
    }
}

#[async_trait]
impl TaskBuffer for GatedStore {
    async fn store(&self, request: StoreRequest) -> Result<Vec<Stored>, BufferError> {
        Ok(vec![Stored::Conflict; request.jobs.len()])
    }

    async fn recall(
        &self,
        _: &Owner,
        keys: &[JobKey],
    ) -> Result<Vec<Option<KeptJob>>, BufferError> {
        Ok(keys.iter().map(|_| None).collect())
    }

    async fn find_jobs(
        &self,
        owner: &Owner,
        jobs: &[(JobId, Option<Attempt>)],
    ) -> Result<Vec<Lookup<KnownJob>>, BufferError> {
        assert!(
            jobs.iter().all(|(job, _)| job.as_str() != PANIC),
            "as the test wants it"
        );
        if owner.as_str() != OTHER_SUPERVISOR.0 {
            self.gate.acquire().await.unwrap().forget();
        }
        Ok(jobs.iter().map(|_| Lookup::Absent).collect())
    }

    async fn find_records(
        &self,
        _: &Owner,
        records: &[(JobId, RecordId)],
    ) -> Result<Vec<Lookup<Record>>, BufferError> {
        Ok(records.iter().map(|_| Lookup::Absent).collect())
    }

    async fn remember_rejected(
        &self,
        _: &Owner,
        jobs: &[(JobId, Option<Attempt>)],
        _: Timestamp,
        _: Timestamp,
    ) -> Result<Vec<bool>, BufferError> {
        Ok(vec![true; jobs.len()])
    }

    async fn kill(
        &self,
        _: &Owner,
        records: &[(JobId, RecordId)],
        _: Timestamp,
    ) -> Result<Vec<Lookup<Kill>>, BufferError> {
        Ok(records.iter().map(|_| Lookup::Absent).collect())
    }

    async fn mark_told(
        &self,
        _: &Owner,
        records: &[(RecordId, State)],
    ) -> Result<Vec<bool>, BufferError> {
        Ok(vec![false; records.len()])
    }

    async fn list(&self, _: &ListFilter) -> Result<Vec<Record>, BufferError> {
        Ok(Vec::new())
    }

    async fn show(&self, _: RecordId) -> Result<Lookup<Dossier>, BufferError> {
        Ok(Lookup::Absent)
    }

    async fn unfinished_owners(&self) -> Result<Vec<(Owner, u64)>, BufferError> {
        Ok(Vec::new())
    }

    async fn census(&self) -> Result<Census, BufferError> {
        unreachable!("nobody counts here")
    }

    async fn ping(&self) -> Result<(), BufferError> {
        Ok(())
    }

    async fn try_write(&self, _: bool) -> Result<(), BufferError> {
        Ok(())
    }
}
