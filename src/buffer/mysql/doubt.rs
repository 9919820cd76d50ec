//! Commits of which nobody knows whether they took effect. Their session is made to end; then
//! nothing of it can happen any more, and what it left is read back.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::batch::Batch;
use super::connect::{Server, disconnect};
use super::queue::Reply;
use super::session::{Ended, SessionLock};
use crate::buffer::Stored;
use crate::job::policy::Backoff;

/// The waits between looks that told nothing.
const LOOK_AGAIN: Backoff = Backoff {
    first: Duration::from_millis(250),
    longest: Duration::from_secs(5),
};

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
        let mut tries = 1;
        let (conn, answers) = loop {
            let ended = self.lock.ended(&server).await;
            let is_gone = matches!(ended, Ended::Gone(_));
            let mut conn = ended.conn();
            let looked = timeout(server.limit, self.batch.read_back(&mut conn)).await;
            // What another server has, is stored. What it lacks, it may not have yet.
            if let Ok(Ok(answers)) = looked
                && (is_gone || answers.iter().all(Result::is_ok))
            {
                break (conn, answers);
            }
            if !is_gone && tries == 1 {
                tracing::warn!(
                    "the server of a commit in doubt is not the one that is reached now; its jobs                      are `unknown` until they are found or handed in again"
                );
            }
            sleep(LOOK_AGAIN.wait(tries, rand::random())).await;
            tries = tries.saturating_add(1);
        };
        tracing::info!("a commit in doubt was read back");
        for (reply, answer) in self.replies.into_iter().zip(answers) {
            // Who asked may have gone.
            let _ = reply.send(answer);
        }
        disconnect(conn, server.limit).await;
    }
}
