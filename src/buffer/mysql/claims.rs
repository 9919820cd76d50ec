//! What conductors ask: the desk answers what changes something, the pool the rest.

use std::collections::HashSet;

use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Value};

use super::statement::{read, select_in};
use super::{MysqlBuffer, breakers, standing};
use crate::buffer::row::store_id;
use crate::buffer::{
    AdvanceRequest, Advanced, BufferError, ClaimRequest, Claimed, Claims, Holder, Lease, Leases,
    OpenBreaker, Orders, Presence, ProgressReport, Renewed, Seen,
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
        let holder = holder.clone();
        self.tell(standing::Promise { holder, leases }).await
    }

    async fn note_breaker(
        &self,
        holder: &Holder,
        open: Option<&OpenBreaker>,
    ) -> Result<(), BufferError> {
        let (holder, open) = (holder.clone(), open.cloned());
        self.tell(breakers::Noted { holder, open }).await
    }

    async fn appear(&self, presence: &Presence) -> Result<Option<Seen>, BufferError> {
        self.tell(presence.clone()).await
    }

    async fn store_id(&self) -> Result<StoreId, BufferError> {
        let query = "SELECT id FROM store_id";
        let name = self
            .lines
            .ask(|mut conn| async move { conn.query_first(query).await });
        store_id(name.await?)
    }

    async fn purged(&self, records: &[RecordId]) -> Result<Vec<RecordId>, BufferError> {
        self.lines
            .ask(|mut conn| async move { purged(&mut conn, records).await })
            .await
    }

    async fn leases(&self) -> Result<Vec<Lease>, BufferError> {
        self.lines
            .ask(|mut conn| async move { standing::leases(&mut conn).await })
            .await
    }

    async fn orders(
        &self,
        holder: &Holder,
        daemon: &str,
        claims: &[(RecordId, Token)],
    ) -> Result<Orders, BufferError> {
        self.lines
            .ask(
                |mut conn| async move { standing::orders(&mut conn, holder, daemon, claims).await },
            )
            .await
    }
}

/// Every record has a payload until it is purged.
async fn purged(conn: &mut Conn, records: &[RecordId]) -> mysql_async::Result<Vec<RecordId>> {
    let keys: Vec<Value> = records.iter().map(|record| record.get().into()).collect();
    let query = "SELECT record_id FROM payloads WHERE record_id IN ({keys})";
    let there = select_in(conn, query, &[], &keys).await?;
    let there = there.into_iter().map(read);
    let there: HashSet<u64> = there.collect::<mysql_async::Result<_>>()?;
    let purged = records.iter().copied();
    Ok(purged
        .filter(|record| !there.contains(&record.get()))
        .collect())
}
