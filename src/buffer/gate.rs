//! Time limits in front of a store. A store tells the truth, however long it takes; the gate
//! answers in time, and never says `absent` of a key whose storing is in flight or in doubt.

mod claims;
mod notices;
mod owners;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::health::{Health, Suspicion};
use super::pending::Ledger;
use super::{
    BufferError, Census, Dossier, KeptJob, Kill, KnownJob, ListFilter, Lookup, OpenError, Store,
    StoreRequest, Stored, TaskBuffer, Vitals,
};
use crate::job::{Attempt, JobId, JobKey, Owner, Record, RecordId, State};

/// Opens a store in the background and stands in front of it.
pub struct Gate {
    /// Whether there is a store, and whether it answers.
    health: Arc<Health>,
    /// The keys that are being stored.
    ledger: Arc<Ledger>,
    /// How long a question may take.
    limit: Duration,
    /// Rung after a commit that may concern the conductor.
    bell: Arc<Notify>,
    /// How it goes.
    vitals: Arc<Vitals>,
}

impl Gate {
    /// Begins to open the store and tries until it succeeds, until a failure that time does not
    /// heal, or until `shutdown`. Then looks after it until `shutdown`. Each question may take
    /// `limit`.
    pub fn start<F, Opening>(open: F, limit: Duration, shutdown: CancellationToken) -> Arc<Self>
    where
        F: Fn() -> Opening + Send + Sync + 'static,
        Opening: Future<Output = Result<Arc<dyn Store>, OpenError>> + Send + 'static,
    {
        let health = Arc::new(Health::new());
        let vitals = Arc::<Vitals>::default();
        let (keeper, pulse) = (health.clone(), vitals.pulse.clone());
        tokio::spawn(async move {
            let keep = keeper.keep(open, limit, &pulse);
            shutdown.run_until_cancelled(keep).await;
        });
        Arc::new(Self {
            health,
            ledger: Arc::default(),
            limit,
            bell: Arc::default(),
            vitals,
        })
    }

    /// What rings when a job was stored or is to be killed, by this process; one listener is
    /// woken each time. Nobody need listen.
    #[must_use]
    pub fn bell(&self) -> Arc<Notify> {
        self.bell.clone()
    }

    /// How the store does.
    #[must_use]
    pub fn vitals(&self) -> Arc<Vitals> {
        self.vitals.clone()
    }

    /// Whether the store is open and, as far as is known, answers; else why not.
    pub fn is_up(&self) -> Result<(), BufferError> {
        self.health.store().map(drop)
    }

    /// Whether the store is up and, as far as is known, takes writes; else why not. From memory.
    pub fn can_store(&self) -> Result<(), BufferError> {
        self.health.can_store()
    }

    /// Waits until the store is open; an error that time does not heal.
    pub async fn opened(&self) -> Result<(), OpenError> {
        self.health.opened().await
    }

    async fn ask<T, Asking>(
        &self,
        question: impl FnOnce(Arc<dyn Store>) -> Asking,
    ) -> Result<T, BufferError>
    where
        Asking: Future<Output = Result<T, BufferError>>,
    {
        let store = self.health.store()?;
        let suspicion = Suspicion::new(&self.health);
        let asked = Instant::now();
        let answer = timeout(self.limit, question(store)).await;
        self.vitals.times.add(asked.elapsed());
        let Ok(answer) = answer else {
            self.vitals.errors.late.add_one();
            return Err(self.too_late());
        };
        suspicion.lift(&answer);
        answer.inspect_err(|error| self.vitals.errors.count(error))
    }

    fn too_late(&self) -> BufferError {
        BufferError::Unreachable(format!("no answer within {} ms", self.limit.as_millis()))
    }
}

#[async_trait]
impl TaskBuffer for Gate {
    /// Once begun it goes on to its end, also when nobody waits for it any more.
    async fn store(&self, request: StoreRequest) -> Result<Vec<Stored>, BufferError> {
        let store = self.health.store()?;
        let full = || BufferError::Unreachable("too many requests are in doubt".to_owned());
        let pending = self.ledger.enter(&request).ok_or_else(full)?;
        let (sender, answer) = oneshot::channel();
        let (bell, vitals) = (self.bell.clone(), self.vitals.clone());
        let (owner, refused) = (request.owner.clone(), request.refusals.len());
        tokio::spawn(async move {
            let stored = store.store(request).await;
            pending.settle();
            if let Ok(stored) = &stored {
                vitals.count_received(&owner, stored, refused);
            }
            let is_new = |stored: &Stored| matches!(stored, Stored::New(_));
            if stored.iter().flatten().any(is_new) {
                bell.notify_one();
            }
            // Who asked may have gone.
            let _ = sender.send(stored);
        });
        let lost = |_| BufferError::Unreachable("the outcome is not known".to_owned());
        self.ask(|_| async { answer.await.map_err(lost)? }).await
    }

    async fn recall(
        &self,
        owner: &Owner,
        keys: &[JobKey],
    ) -> Result<Vec<Option<KeptJob>>, BufferError> {
        self.ask(|store| async move { store.recall(owner, keys).await })
            .await
    }

    async fn find_jobs(
        &self,
        owner: &Owner,
        jobs: &[(JobId, Option<Attempt>)],
    ) -> Result<Vec<Lookup<KnownJob>>, BufferError> {
        let look_up = self.ledger.look_up();
        let found = self
            .ask(|store| async move { store.find_jobs(owner, jobs).await })
            .await?;
        let keys = jobs.iter().map(|(job_id, attempt)| (job_id, *attempt));
        let in_doubt = look_up.in_doubt(owner, keys);
        let judge = |(found, in_doubt)| match found {
            // To say that it was refused is to say `rejected`, too.
            Lookup::Absent | Lookup::Found(KnownJob::Refused(_)) if in_doubt => Lookup::Unreachable,
            found => found,
        };
        Ok(found.into_iter().zip(in_doubt).map(judge).collect())
    }

    async fn find_records(
        &self,
        owner: &Owner,
        records: &[(JobId, RecordId)],
    ) -> Result<Vec<Lookup<Record>>, BufferError> {
        let look_up = self.ledger.look_up();
        let found = self.ask(|store| async move { store.find_records(owner, records).await });
        let found = found.await?;
        let in_doubt = look_up.in_doubt(owner, records.iter().map(|(job_id, _)| (job_id, None)));
        Ok(doubt_absent(found, in_doubt))
    }

    async fn remember_rejected(
        &self,
        owner: &Owner,
        jobs: &[(JobId, Option<Attempt>)],
        at: Timestamp,
        forget_before: Timestamp,
    ) -> Result<Vec<bool>, BufferError> {
        let look_up = self.ledger.look_up();
        let remember = |store: Arc<dyn Store>| async move {
            store
                .remember_rejected(owner, jobs, at, forget_before)
                .await
        };
        let absent = self.ask(remember).await?;
        let keys = jobs.iter().map(|(job_id, attempt)| (job_id, *attempt));
        let in_doubt = look_up.in_doubt(owner, keys);
        Ok(absent
            .into_iter()
            .zip(in_doubt)
            .map(|(absent, doubt)| absent && !doubt)
            .collect())
    }

    async fn kill(
        &self,
        owner: &Owner,
        records: &[(JobId, RecordId)],
        at: Timestamp,
    ) -> Result<Vec<Lookup<Kill>>, BufferError> {
        let look_up = self.ledger.look_up();
        let killed = self
            .ask(|store| async move { store.kill(owner, records, at).await })
            .await?;
        self.bell.notify_one();
        let in_doubt = look_up.in_doubt(owner, records.iter().map(|(job_id, _)| (job_id, None)));
        Ok(doubt_absent(killed, in_doubt))
    }

    async fn mark_told(
        &self,
        owner: &Owner,
        records: &[(RecordId, State)],
    ) -> Result<Vec<bool>, BufferError> {
        self.ask(|store| async move { store.mark_told(owner, records).await })
            .await
    }

    async fn list(&self, filter: &ListFilter) -> Result<Vec<Record>, BufferError> {
        self.ask(|store| async move { store.list(filter).await })
            .await
    }

    async fn show(&self, id: RecordId) -> Result<Lookup<Dossier>, BufferError> {
        self.ask(|store| async move { store.show(id).await }).await
    }

    async fn unfinished_owners(&self) -> Result<Vec<(Owner, u64)>, BufferError> {
        self.ask(|store| async move { store.unfinished_owners().await })
            .await
    }

    async fn census(&self) -> Result<Census, BufferError> {
        self.ask(|store| async move { store.census().await }).await
    }

    async fn ping(&self) -> Result<(), BufferError> {
        self.ask(|store| async move { store.ping().await }).await
    }

    async fn try_write(&self, by_write: bool) -> Result<(), BufferError> {
        self.ask(|store| async move { store.try_write(by_write).await })
            .await
    }

    fn log_bytes(&self) -> Option<u64> {
        self.health.store().ok()?.log_bytes()
    }
}

fn doubt_absent<T>(found: Vec<Lookup<T>>, in_doubt: Vec<bool>) -> Vec<Lookup<T>> {
    let judge = |(found, in_doubt)| match found {
        Lookup::Absent if in_doubt => Lookup::Unreachable,
        found => found,
    };
    found.into_iter().zip(in_doubt).map(judge).collect()
}
