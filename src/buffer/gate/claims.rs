//! What conductors ask, bounded like every other question. One that was given up may still take
//! effect: a conductor gives back what it does not know of.

use async_trait::async_trait;

use super::Gate;
use crate::buffer::{
    AdvanceRequest, Advanced, BufferError, ClaimRequest, Claimed, Claims, Holder, Lease, Leases,
    OpenBreaker, Orders, Presence, ProgressReport, Renewed, Seen,
};
use crate::job::{RecordId, StoreId, Token};

#[async_trait]
impl Claims for Gate {
    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claimed>, BufferError> {
        self.ask(|store| async move { store.claim(request).await })
            .await
    }

    async fn advance(&self, request: AdvanceRequest) -> Result<Vec<Advanced>, BufferError> {
        self.ask(|store| async move { store.advance(request).await })
            .await
    }

    async fn renew(&self, claims: &[(RecordId, Token)]) -> Result<Vec<Renewed>, BufferError> {
        self.ask(|store| async move { store.renew(claims).await })
            .await
    }

    async fn report(&self, report: ProgressReport) -> Result<bool, BufferError> {
        self.ask(|store| async move { store.report(report).await })
            .await
    }

    async fn promise(&self, holder: &Holder, leases: Leases) -> Result<(), BufferError> {
        self.ask(|store| async move { store.promise(holder, leases).await })
            .await
    }

    async fn note_breaker(
        &self,
        holder: &Holder,
        open: Option<&OpenBreaker>,
    ) -> Result<(), BufferError> {
        self.ask(|store| async move { store.note_breaker(holder, open).await })
            .await
    }

    async fn appear(&self, presence: &Presence) -> Result<Option<Seen>, BufferError> {
        self.ask(|store| async move { store.appear(presence).await })
            .await
    }

    async fn store_id(&self) -> Result<StoreId, BufferError> {
        self.ask(|store| async move { store.store_id().await })
            .await
    }

    async fn purged(&self, records: &[RecordId]) -> Result<Vec<RecordId>, BufferError> {
        self.ask(|store| async move { store.purged(records).await })
            .await
    }

    async fn leases(&self) -> Result<Vec<Lease>, BufferError> {
        self.ask(|store| async move { store.leases().await }).await
    }

    async fn orders(
        &self,
        holder: &Holder,
        daemon: &str,
        claims: &[(RecordId, Token)],
    ) -> Result<Orders, BufferError> {
        self.ask(|store| async move { store.orders(holder, daemon, claims).await })
            .await
    }
}
