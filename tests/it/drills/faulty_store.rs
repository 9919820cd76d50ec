//! A store of which one call goes wrong in a way that is chosen: no real one fails to order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use gristmill::buffer::{
    AdvanceRequest, Advanced, AnsweredWord, BufferError, Census, ClaimRequest, Claimed, Claims,
    Dossier, Holder, KeptJob, Kill, KnownJob, Lease, ListFilter, Lookup, Notice, Notices, Orders,
    ProgressReport, Renewed, SqliteBuffer, StoreRequest, Stored, TakeNotices, TaskBuffer,
};
use gristmill::job::{Attempt, JobId, JobKey, Owner, Record, RecordId, State, StoreId, Token};
use jiff::Timestamp;
use tokio::time::sleep;

/// How a call goes wrong.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Nothing is done.
    Error,
    /// It is done, but so late that nobody waits any more.
    Late(Duration),
    /// It is done, and nobody hears of it.
    AnswerLost,
}

/// Which call of which question goes wrong, counted from 0.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub question: &'static str,
    pub call: usize,
    pub fault: Fault,
}

/// How often each question was asked.
pub type Calls = BTreeMap<&'static str, usize>;

pub struct FaultyStore {
    pub real: Arc<SqliteBuffer>,
    plan: Option<Plan>,
    calls: Mutex<Calls>,
}

impl FaultyStore {
    pub fn new(real: Arc<SqliteBuffer>, plan: Option<Plan>) -> Self {
        Self {
            real,
            plan,
            calls: Mutex::default(),
        }
    }

    pub fn calls(&self) -> Calls {
        self.calls.lock().unwrap().clone()
    }

    /// Whether the fault has happened.
    pub fn has_failed(&self) -> bool {
        let calls = self.calls();
        let asked = |plan: &Plan| calls.get(plan.question).copied().unwrap_or(0);
        self.plan
            .as_ref()
            .is_some_and(|plan| asked(plan) > plan.call)
    }

    async fn through<T>(
        &self,
        question: &'static str,
        answer: impl Future<Output = Result<T, BufferError>>,
    ) -> Result<T, BufferError> {
        let call = {
            let mut calls = self.calls.lock().unwrap();
            let count = calls.entry(question).or_default();
            *count += 1;
            *count - 1
        };
        let is_it = |plan: &&Plan| (plan.question, plan.call) == (question, call);
        let as_planned = || Err(BufferError::Unreachable("as the drill wants it".to_owned()));
        match self.plan.as_ref().filter(is_it).map(|plan| plan.fault) {
            None => answer.await,
            Some(Fault::Error) => as_planned(),
            Some(Fault::Late(delay)) => {
                sleep(delay).await;
                answer.await
            }
            Some(Fault::AnswerLost) => {
                let _ = answer.await;
                as_planned()
            }
        }
    }
}

#[async_trait]
impl TaskBuffer for FaultyStore {
    async fn store(&self, request: StoreRequest) -> Result<Vec<Stored>, BufferError> {
        self.through("store", self.real.store(request)).await
    }

    async fn recall(
        &self,
        owner: &Owner,
        keys: &[JobKey],
    ) -> Result<Vec<Option<KeptJob>>, BufferError> {
        self.through("recall", self.real.recall(owner, keys)).await
    }

    async fn find_jobs(
        &self,
        owner: &Owner,
        jobs: &[(JobId, Option<Attempt>)],
    ) -> Result<Vec<Lookup<KnownJob>>, BufferError> {
        let found = self.real.find_jobs(owner, jobs);
        self.through("find_jobs", found).await
    }

    async fn find_records(
        &self,
        owner: &Owner,
        records: &[(JobId, RecordId)],
    ) -> Result<Vec<Lookup<Record>>, BufferError> {
        let found = self.real.find_records(owner, records);
        self.through("find_records", found).await
    }

    async fn remember_rejected(
        &self,
        owner: &Owner,
        jobs: &[(JobId, Option<Attempt>)],
        at: Timestamp,
        forget_before: Timestamp,
    ) -> Result<Vec<bool>, BufferError> {
        let remembered = self.real.remember_rejected(owner, jobs, at, forget_before);
        self.through("remember_rejected", remembered).await
    }

    async fn kill(
        &self,
        owner: &Owner,
        records: &[(JobId, RecordId)],
        at: Timestamp,
    ) -> Result<Vec<Lookup<Kill>>, BufferError> {
        let killed = self.real.kill(owner, records, at);
        self.through("kill", killed).await
    }

    async fn mark_told(
        &self,
        owner: &Owner,
        records: &[(RecordId, State)],
    ) -> Result<Vec<bool>, BufferError> {
        let marked = self.real.mark_told(owner, records);
        self.through("mark_told", marked).await
    }

    async fn list(&self, filter: &ListFilter) -> Result<Vec<Record>, BufferError> {
        self.through("list", self.real.list(filter)).await
    }

    async fn show(&self, id: RecordId) -> Result<Lookup<Dossier>, BufferError> {
        self.through("show", self.real.show(id)).await
    }

    async fn unfinished_owners(&self) -> Result<Vec<(Owner, u64)>, BufferError> {
        let owners = self.real.unfinished_owners();
        self.through("unfinished_owners", owners).await
    }

    async fn census(&self) -> Result<Census, BufferError> {
        self.through("census", self.real.census()).await
    }

    async fn ping(&self) -> Result<(), BufferError> {
        self.through("ping", self.real.ping()).await
    }
}

#[async_trait]
impl Claims for FaultyStore {
    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claimed>, BufferError> {
        self.through("claim", self.real.claim(request)).await
    }

    async fn advance(&self, request: AdvanceRequest) -> Result<Vec<Advanced>, BufferError> {
        self.through("advance", self.real.advance(request)).await
    }

    async fn renew(&self, claims: &[(RecordId, Token)]) -> Result<Vec<Renewed>, BufferError> {
        self.through("renew", self.real.renew(claims)).await
    }

    async fn report(&self, report: ProgressReport) -> Result<bool, BufferError> {
        self.through("report", self.real.report(report)).await
    }

    async fn store_id(&self) -> Result<StoreId, BufferError> {
        self.through("store_id", self.real.store_id()).await
    }

    async fn leases(&self) -> Result<Vec<Lease>, BufferError> {
        self.through("leases", self.real.leases()).await
    }

    async fn orders(
        &self,
        holder: &Holder,
        daemon: &str,
        claims: &[(RecordId, Token)],
    ) -> Result<Orders, BufferError> {
        let orders = self.real.orders(holder, daemon, claims);
        self.through("orders", orders).await
    }
}

#[async_trait]
impl Notices for FaultyStore {
    async fn listen(&self, daemon: &str, owners: &[Owner]) -> Result<(), BufferError> {
        self.through("listen", self.real.listen(daemon, owners))
            .await
    }

    async fn take_notices(&self, request: TakeNotices) -> Result<Vec<Notice>, BufferError> {
        let notices = self.real.take_notices(request);
        self.through("take_notices", notices).await
    }

    async fn cover(&self, owner: &Owner, heard: &[(RecordId, u64)]) -> Result<(), BufferError> {
        self.through("cover", self.real.cover(owner, heard)).await
    }

    async fn cover_answered(
        &self,
        owner: &Owner,
        answered: &[AnsweredWord],
    ) -> Result<(), BufferError> {
        let covered = self.real.cover_answered(owner, answered);
        self.through("cover_answered", covered).await
    }

    async fn tell_again(&self, owner: &Owner) -> Result<(), BufferError> {
        self.through("tell_again", self.real.tell_again(owner))
            .await
    }
}
