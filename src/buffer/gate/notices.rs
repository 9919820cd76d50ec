//! What supervisors are told unasked, bounded like every other question.

use async_trait::async_trait;

use super::Gate;
use crate::buffer::{AnsweredWord, BufferError, Notice, Notices, TakeNotices};
use crate::job::{Owner, RecordId};

#[async_trait]
impl Notices for Gate {
    async fn listen(&self, daemon: &str, owners: &[Owner]) -> Result<(), BufferError> {
        self.ask(|store| async move { store.listen(daemon, owners).await })
            .await
    }

    async fn take_notices(&self, request: TakeNotices) -> Result<Vec<Notice>, BufferError> {
        self.ask(|store| async move { store.take_notices(request).await })
            .await
    }

    async fn cover(&self, owner: &Owner, heard: &[(RecordId, u64)]) -> Result<(), BufferError> {
        self.ask(|store| async move { store.cover(owner, heard).await })
            .await
    }

    async fn cover_answered(
        &self,
        owner: &Owner,
        answered: &[AnsweredWord],
    ) -> Result<(), BufferError> {
        self.ask(|store| async move { store.cover_answered(owner, answered).await })
            .await
    }

    async fn tell_again(&self, owner: &Owner) -> Result<(), BufferError> {
        self.ask(|store| async move { store.tell_again(owner).await })
            .await
    }
}
