//! Whose jobs there are, bounded like every other question.

use async_trait::async_trait;

use super::Gate;
use crate::buffer::{BufferError, Owed, Owners, Peer};
use crate::job::Owner;

#[async_trait]
impl Owners for Gate {
    async fn owners(&self) -> Result<Vec<Owner>, BufferError> {
        self.ask(|store| async move { store.owners().await }).await
    }

    async fn owed(&self, owner: &Owner) -> Result<Owed, BufferError> {
        self.ask(|store| async move { store.owed(owner).await })
            .await
    }

    async fn peers(&self, daemon: &str) -> Result<Vec<Peer>, BufferError> {
        self.ask(|store| async move { store.peers(daemon).await })
            .await
    }

    async fn remember_peers(&self, daemon: &str, peers: &[Peer]) -> Result<(), BufferError> {
        self.ask(|store| async move { store.remember_peers(daemon, peers).await })
            .await
    }
}
