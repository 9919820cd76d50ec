//! What conductors ask: the desk answers what changes something, the pool the rest.

use async_trait::async_trait;
use mysql_async::prelude::Queryable;

use super::{MysqlBuffer, breakers, connect, standing};
use crate::buffer::row::store_id;
use crate::buffer::{
    AdvanceRequest, Advanced, BufferError, ClaimRequest, Claimed, Claims, Holder, Lease, Leases,
    OpenBreaker, Orders, ProgressReport, Renewed,
};
use crate::job::{RecordId, StoreId, Token};

#[async_trait]
impl Claims for MysqlBuffer {
    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claimed>, BufferError> {
        self.writing()?.desk.claim(request).await
    }

    async fn advance(&self, request: AdvanceRequest) -> Result<Vec<Advanced>, BufferError> {
        self.writing()?.desk.advance(request).await
    }

    async fn renew(&self, claims: &[(RecordId, Token)]) -> Result<Vec<Renewed>, BufferError> {
        self.writing()?.desk.renew(claims.to_vec()).await
    }

    async fn report(&self, report: ProgressReport) -> Result<bool, BufferError> {
        self.writing()?.desk.report(report).await
    }

    async fn promise(&self, holder: &Holder, leases: Leases) -> Result<(), BufferError> {
        let mut conn = self.server.take(&self.pool).await?;
        let promised = standing::promise(&mut conn, holder, leases).await;
        promised.map_err(|why| connect::error(&why))
    }

    async fn note_breaker(
        &self,
        holder: &Holder,
        open: Option<&OpenBreaker>,
    ) -> Result<(), BufferError> {
        let mut conn = self.server.take(&self.pool).await?;
        let noted = breakers::keep(&mut conn, holder, open).await;
        noted.map_err(|why| connect::error(&why))
    }

    async fn store_id(&self) -> Result<StoreId, BufferError> {
        let mut conn = self.server.take(&self.pool).await?;
        let name = conn.query_first("SELECT id FROM store_id").await;
        store_id(name.map_err(|why| connect::error(&why))?)
    }

    async fn leases(&self) -> Result<Vec<Lease>, BufferError> {
        let mut conn = self.server.take(&self.pool).await?;
        let leases = standing::leases(&mut conn).await;
        leases.map_err(|why| connect::error(&why))
    }

    async fn orders(
        &self,
        holder: &Holder,
        daemon: &str,
        claims: &[(RecordId, Token)],
    ) -> Result<Orders, BufferError> {
        let mut conn = self.server.take(&self.pool).await?;
        let orders = standing::orders(&mut conn, holder, daemon, claims).await;
        orders.map_err(|why| connect::error(&why))
    }
}
