//! Commits of which nobody knows whether they took effect. Their session is made to end; then
//! nothing of it can happen any more, and what it left is read back.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::batch::Batch;
use super::connect::{Server, disconnect};
use super::queue::Reply;
use super::session::SessionLock;
use crate::buffer::Stored;

/// The wait after a look that failed.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// A batch whose commit is in doubt, and who waits for its outcome.
pub(super) struct Doubt {
    lock: SessionLock,
    batch: Batch,
    replies: Vec<Reply<Vec<Stored>>>,
}

impl Doubt {
    pub fn new(lock: SessionLock, mut batch: Batch, replies: Vec<Reply<Vec<Stored>>>) -> Self {
        // The payloads are not needed any more, and this may take long.
        for job in batch
            .requests
            .iter_mut()
            .flat_map(|request| &mut request.jobs)
        {
            job.payload = String::new();
        }
        Self {
            lock,
            batch,
            replies,
        }
    }

    /// Finds out, however long it takes, and answers.
    pub async fn resolve(self, server: Server) {
        let (conn, answers) = loop {
            let mut conn = self.lock.ended(&server).await;
            let looked = timeout(server.limit, self.batch.read_back(&mut conn)).await;
            if let Ok(Ok(answers)) = looked {
                break (conn, answers);
            }
            sleep(LOOK_AGAIN).await;
        };
        tracing::info!("a commit in doubt was read back");
        for (reply, answer) in self.replies.into_iter().zip(answers) {
            // Who asked may have gone.
            let _ = reply.send(answer);
        }
        disconnect(conn, server.limit).await;
    }
}
