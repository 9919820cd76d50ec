//! A store with something around each question: what no real store does at the moment that a test
//! chooses.

use std::sync::Arc;

use async_trait::async_trait;
use gristmill::buffer::{
    AdvanceRequest, Advanced, AnsweredWord, BufferError, Census, ClaimRequest, Claimed, Claims,
    Dossier, Holder, KeptJob, Kill, KnownJob, Lease, Leases, ListFilter, Lookup, Notice, Notices,
    OpenBreaker, Orders, Owed, Owners, Peer, Presence, ProgressReport, Renewed, Seen, Store,
    StoreRequest, Stored, TakeNotices, TaskBuffer,
};
use gristmill::job::{Attempt, JobId, JobKey, Owner, Record, RecordId, State, StoreId, Token};
use jiff::Timestamp;

/// What happens around a question.
pub trait Hook: Send + Sync {
    /// `question`: the method's name; `answer`: the real store's, once it is awaited.
    fn around<T: Send>(
        &self,
        question: &'static str,
        answer: impl Future<Output = Result<T, BufferError>> + Send,
    ) -> impl Future<Output = Result<T, BufferError>> + Send;
}

pub struct HookedStore<H> {
    pub real: Arc<dyn Store>,
    pub hook: H,
}

#[async_trait]
impl<H: Hook> TaskBuffer for HookedStore<H> {
    async fn store(&self, request: StoreRequest) -> Result<Vec<Stored>, BufferError> {
        self.hook.around("store", self.real.store(request)).await
    }

    async fn recall(
        &self,
        owner: &Owner,
        keys: &[JobKey],
    ) -> Result<Vec<Option<KeptJob>>, BufferError> {
        self.hook
            .around("recall", self.real.recall(owner, keys))
            .await
    }

    async fn find_jobs(
        &self,
        owner: &Owner,
        jobs: &[(JobId, Option<Attempt>)],
    ) -> Result<Vec<Lookup<KnownJob>>, BufferError> {
        let found = self.real.find_jobs(owner, jobs);
        self.hook.around("find_jobs", found).await
    }

    async fn find_records(
        &self,
        owner: &Owner,
        records: &[(JobId, RecordId)],
    ) -> Result<Vec<Lookup<Record>>, BufferError> {
        let found = self.real.find_records(owner, records);
        self.hook.around("find_records", found).await
    }

    async fn remember_rejected(
        &self,
        owner: &Owner,
        jobs: &[(JobId, Option<Attempt>)],
        at: Timestamp,
        forget_before: Timestamp,
    ) -> Result<Vec<bool>, BufferError> {
        let remembered = self.real.remember_rejected(owner, jobs, at, forget_before);
        self.hook.around("remember_rejected", remembered).await
    }

    async fn kill(
        &self,
        owner: &Owner,
        records: &[(JobId, RecordId)],
        at: Timestamp,
    ) -> Result<Vec<Lookup<Kill>>, BufferError> {
        let killed = self.real.kill(owner, records, at);
        self.hook.around("kill", killed).await
    }

    async fn mark_told(
        &self,
        owner: &Owner,
        records: &[(RecordId, State)],
    ) -> Result<Vec<bool>, BufferError> {
        let marked = self.real.mark_told(owner, records);
        self.hook.around("mark_told", marked).await
    }

    async fn list(&self, filter: &ListFilter) -> Result<Vec<Record>, BufferError> {
        self.hook.around("list", self.real.list(filter)).await
    }

    async fn show(&self, id: RecordId) -> Result<Lookup<Dossier>, BufferError> {
        self.hook.around("show", self.real.show(id)).await
    }

    async fn unfinished_owners(&self) -> Result<Vec<(Owner, u64)>, BufferError> {
        let owners = self.real.unfinished_owners();
        self.hook.around("unfinished_owners", owners).await
    }

    async fn census(&self) -> Result<Census, BufferError> {
        self.hook.around("census", self.real.census()).await
    }

    async fn ping(&self) -> Result<(), BufferError> {
        self.hook.around("ping", self.real.ping()).await
    }

    async fn try_write(&self, by_write: bool) -> Result<(), BufferError> {
        let tried = self.real.try_write(by_write);
        self.hook.around("try_write", tried).await
    }
}

#[async_trait]
impl<H: Hook> Claims for HookedStore<H> {
    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claimed>, BufferError> {
        self.hook.around("claim", self.real.claim(request)).await
    }

    async fn advance(&self, request: AdvanceRequest) -> Result<Vec<Advanced>, BufferError> {
        self.hook
            .around("advance", self.real.advance(request))
            .await
    }

    async fn renew(&self, claims: &[(RecordId, Token)]) -> Result<Vec<Renewed>, BufferError> {
        self.hook.around("renew", self.real.renew(claims)).await
    }

    async fn report(&self, report: ProgressReport) -> Result<bool, BufferError> {
        self.hook.around("report", self.real.report(report)).await
    }

    async fn promise(&self, holder: &Holder, leases: Leases) -> Result<(), BufferError> {
        let promised = self.real.promise(holder, leases);
        self.hook.around("promise", promised).await
    }

    async fn note_breaker(
        &self,
        holder: &Holder,
        open: Option<&OpenBreaker>,
    ) -> Result<(), BufferError> {
        let noted = self.real.note_breaker(holder, open);
        self.hook.around("note_breaker", noted).await
    }

    async fn appear(&self, presence: &Presence) -> Result<Option<Seen>, BufferError> {
        let seen = self.real.appear(presence);
        self.hook.around("appear", seen).await
    }

    async fn store_id(&self) -> Result<StoreId, BufferError> {
        self.hook.around("store_id", self.real.store_id()).await
    }

    async fn purged(&self, records: &[RecordId]) -> Result<Vec<RecordId>, BufferError> {
        self.hook.around("purged", self.real.purged(records)).await
    }

    async fn leases(&self) -> Result<Vec<Lease>, BufferError> {
        self.hook.around("leases", self.real.leases()).await
    }

    async fn orders(
        &self,
        holder: &Holder,
        daemon: &str,
        claims: &[(RecordId, Token)],
    ) -> Result<Orders, BufferError> {
        let orders = self.real.orders(holder, daemon, claims);
        self.hook.around("orders", orders).await
    }
}

#[async_trait]
impl<H: Hook> Notices for HookedStore<H> {
    async fn listen(&self, daemon: &str, owners: &[Owner]) -> Result<(), BufferError> {
        self.hook
            .around("listen", self.real.listen(daemon, owners))
            .await
    }

    async fn take_notices(&self, request: TakeNotices) -> Result<Vec<Notice>, BufferError> {
        let notices = self.real.take_notices(request);
        self.hook.around("take_notices", notices).await
    }

    async fn cover(&self, owner: &Owner, heard: &[(RecordId, u64)]) -> Result<(), BufferError> {
        self.hook
            .around("cover", self.real.cover(owner, heard))
            .await
    }

    async fn cover_answered(
        &self,
        owner: &Owner,
        answered: &[AnsweredWord],
    ) -> Result<(), BufferError> {
        let covered = self.real.cover_answered(owner, answered);
        self.hook.around("cover_answered", covered).await
    }

    async fn tell_again(&self, owner: &Owner) -> Result<(), BufferError> {
        self.hook
            .around("tell_again", self.real.tell_again(owner))
            .await
    }
}

#[async_trait]
impl<H: Hook> Owners for HookedStore<H> {
    async fn owners(&self) -> Result<Vec<Owner>, BufferError> {
        self.hook.around("owners", self.real.owners()).await
    }

    async fn owed(&self, owner: &Owner) -> Result<Owed, BufferError> {
        self.hook.around("owed", self.real.owed(owner)).await
    }

    async fn peers(&self, daemon: &str) -> Result<Vec<Peer>, BufferError> {
        self.hook.around("peers", self.real.peers(daemon)).await
    }

    async fn remember_peers(&self, daemon: &str, peers: &[Peer]) -> Result<(), BufferError> {
        let remembered = self.real.remember_peers(daemon, peers);
        self.hook.around("remember_peers", remembered).await
    }
}
