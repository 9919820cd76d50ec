//! Commits of which nobody knows whether they took effect. Their session is made to end; then
//! nothing of it can happen any more, and what it left is read back.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::batch::{Answers, Batch};
use super::connect::{Server, disconnect};
use crate::buffer::{BufferError, Stored};
use crate::job::policy::Backoff;

/// The waits between tries.
const LOOK_AGAIN: Backoff = Backoff {
    first: Duration::from_millis(50),
    longest: Duration::from_secs(1),
};

/// A named lock that a session holds as long as it lives. The server frees it after it has
/// committed or rolled back the session's transaction.
#[derive(Clone)]
pub(super) struct SessionLock(String);

impl SessionLock {
    /// Takes a new lock in this session.
    pub async fn take(conn: &mut Conn) -> Result<Self, Error> {
        let name = format!("gristmill:{:032x}", rand::random::<u128>());
        let got: Option<Option<i32>> = conn.exec_first("SELECT GET_LOCK(?, 0)", (&name,)).await?;
        if got.flatten() != Some(1) {
            return Err(Error::Other("the server gives no named lock".into()));
        }
        Ok(Self(name))
    }

    /// Whether the session that took it is gone. One that is not is told to end.
    async fn is_free(&self, conn: &mut Conn) -> Result<bool, Error> {
        let query = "SELECT IS_USED_LOCK(?)";
        let holder: Option<Option<u64>> = conn.exec_first(query, (&self.0,)).await?;
        let Some(session) = holder.flatten() else {
            return Ok(true);
        };
        match conn.query_drop(format!("KILL {session}")).await {
            // It may have ended meanwhile.
            Ok(()) | Err(Error::Server(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A batch whose commit is in doubt, and who waits for its outcome.
pub(super) struct Doubt {
    lock: SessionLock,
    batch: Batch,
    replies: Vec<oneshot::Sender<Result<Vec<Stored>, BufferError>>>,
}

impl Doubt {
    pub fn new(
        lock: SessionLock,
        mut batch: Batch,
        replies: Vec<oneshot::Sender<Result<Vec<Stored>, BufferError>>>,
    ) -> Self {
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
        let mut conn = None;
        for tries in 1.. {
            match timeout(server.limit, self.look(&server, &mut conn)).await {
                Ok(Ok(Some(answers))) => {
                    tracing::info!(tries, "a commit in doubt was read back");
                    for (reply, answer) in self.replies.into_iter().zip(answers) {
                        // Who asked may have gone.
                        let _ = reply.send(answer);
                    }
                    break;
                }
                Ok(Ok(None)) => {}
                Ok(Err(_)) | Err(_) => conn = None,
            }
            sleep(LOOK_AGAIN.wait(tries, rand::random())).await;
        }
        if let Some(conn) = conn {
            disconnect(conn, server.limit).await;
        }
    }

    /// The answers, once the session is gone.
    async fn look(
        &self,
        server: &Server,
        conn: &mut Option<Conn>,
    ) -> Result<Option<Answers>, Error> {
        let conn = match conn {
            Some(conn) => conn,
            None => conn.insert(server.connect().await?),
        };
        if self.lock.is_free(conn).await? {
            self.batch.read_back(conn).await.map(Some)
        } else {
            Ok(None)
        }
    }
}
