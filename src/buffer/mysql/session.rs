//! A session of its own that does work in transactions. It holds a named lock, so that everybody
//! can see when it is gone; where it is lost, a new one takes its place.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use tokio::time::{Instant, sleep, timeout};

use super::connect::{Server, disconnect, error, is_retriable, late};
use crate::buffer::BufferError;
use crate::job::policy::Backoff;

/// A transaction may take so many times the limit of a question: who waits for it has long been
/// told `unknown`, but to give it up would throw its work away.
const PATIENCE: u32 = 4;

/// How often a transaction is tried that a deadlock or a lock time-out ends.
const TRIES: u32 = 6;

/// The waits between these tries.
const TRY_AGAIN: Backoff = Backoff {
    first: Duration::from_millis(5),
    longest: Duration::from_millis(100),
};

/// The waits between looks at a session that must end.
const LOOK_AGAIN: Backoff = Backoff {
    first: Duration::from_millis(50),
    longest: Duration::from_secs(1),
};

/// A session that was silent for so long is asked whether it is still there.
const CHECK_AFTER: Duration = Duration::from_secs(1);

/// What is done in a transaction; it may be done more than once.
pub(super) trait Work {
    type Answer;
    /// No statement should have more than `budget` bytes of values.
    async fn write(&self, conn: &mut Conn, budget: usize) -> Result<Self::Answer, Error>;
}

/// A session, connected when it is needed.
pub(super) struct Session {
    server: Server,
    live: Option<Live>,
    /// How long a transaction may take.
    limit: Duration,
    /// How many bytes of values a statement may have.
    budget: usize,
}

struct Live {
    conn: Conn,
    lock: SessionLock,
    last_used: Instant,
}

/// How a transaction ended that did not commit.
pub(super) enum Failure {
    /// It was rolled back, or never begun.
    RolledBack(Error),
    /// Nobody knows: its session is lost. This is the lock that the session holds while it lives.
    InDoubt(SessionLock, String),
}

impl Failure {
    pub fn error(&self) -> BufferError {
        match self {
            Self::RolledBack(why) => error(why),
            Self::InDoubt(_, why) => BufferError::Unreachable(why.clone()),
        }
    }
}

impl Session {
    /// `packet`: the largest statement that the server takes, in bytes.
    pub fn new(server: Server, packet: usize) -> Self {
        Self {
            limit: server.limit * PATIENCE,
            server,
            live: None,
            // Room for names of columns and lengths.
            budget: packet / 4 * 3,
        }
    }

    /// Does in one transaction what is harmless to repeat: it is not read back when it is in
    /// doubt, but its session is made to end.
    pub async fn repeatable<W: Work>(&mut self, work: &W) -> Result<W::Answer, BufferError> {
        self.transact(work).await.map_err(|failure| {
            let error = failure.error();
            if let Failure::InDoubt(lock, _) = failure {
                let server = self.server.clone();
                tokio::spawn(async move {
                    let conn = lock.ended(&server).await;
                    disconnect(conn, server.limit).await;
                });
            }
            error
        })
    }

    /// Does the work in one transaction and commits it.
    pub async fn transact<W: Work>(&mut self, work: &W) -> Result<W::Answer, Failure> {
        let mut tries = 1;
        loop {
            let mut live = self.live().await.map_err(Failure::RolledBack)?;
            let done = commit(&mut live.conn, work, self.budget);
            let error = match timeout(self.limit, done).await {
                Ok(Ok(answer)) => {
                    live.last_used = Instant::now();
                    self.live = Some(live);
                    return Ok(answer);
                }
                Ok(Err(Commit::Failed(error))) => error,
                Ok(Err(Commit::InDoubt(why))) => {
                    return Err(Failure::InDoubt(live.lock, why.to_string()));
                }
                Err(_) => {
                    let why = format!("no end within {} ms", self.limit.as_millis());
                    return Err(Failure::InDoubt(live.lock, why));
                }
            };
            let rollback = timeout(self.server.limit, live.conn.query_drop("ROLLBACK"));
            if !matches!(rollback.await, Ok(Ok(()))) {
                return Err(Failure::InDoubt(live.lock, error.to_string()));
            }
            self.live = Some(live);
            if !is_retriable(&error) || tries == TRIES {
                return Err(Failure::RolledBack(error));
            }
            tracing::debug!(%error, tries, "a transaction is tried again");
            sleep(TRY_AGAIN.wait(tries, rand::random())).await;
            tries += 1;
        }
    }

    /// The session as it is, or a new one.
    async fn live(&mut self) -> Result<Live, Error> {
        if let Some(mut live) = self.live.take() {
            if live.last_used.elapsed() < CHECK_AFTER {
                return Ok(live);
            }
            let there = timeout(self.server.limit, live.conn.ping()).await;
            if matches!(there, Ok(Ok(()))) {
                return Ok(live);
            }
        }
        let mut conn = self.server.connect().await?;
        let begun = async {
            conn.query_drop("SET SESSION autocommit = 0").await?;
            SessionLock::take(&mut conn).await
        };
        let begun = timeout(self.server.limit, begun).await;
        let lock = begun.unwrap_or_else(|_| Err(late()))?;
        Ok(Live {
            conn,
            lock,
            last_used: Instant::now(),
        })
    }

    pub async fn close(self) {
        if let Some(live) = self.live {
            disconnect(live.conn, self.server.limit).await;
        }
    }
}

/// Why a transaction has not committed, as far as is known.
enum Commit {
    /// It has not.
    Failed(Error),
    /// It may have.
    InDoubt(Error),
}

async fn commit<W: Work>(conn: &mut Conn, work: &W, budget: usize) -> Result<W::Answer, Commit> {
    let answer = work.write(conn, budget).await.map_err(Commit::Failed)?;
    match conn.query_drop("COMMIT").await {
        Ok(()) => Ok(answer),
        Err(error) if is_retriable(&error) => Err(Commit::Failed(error)),
        Err(error) => Err(Commit::InDoubt(error)),
    }
}

/// A named lock that a session holds as long as it lives. The server frees it after it has
/// committed or rolled back the session's transaction.
pub(super) struct SessionLock(String);

impl SessionLock {
    /// Takes a new lock in this session.
    async fn take(conn: &mut Conn) -> Result<Self, Error> {
        let name = format!("gristmill:{:032x}", rand::random::<u128>());
        let got: Option<Option<i32>> = conn.exec_first("SELECT GET_LOCK(?, 0)", (&name,)).await?;
        if got.flatten() != Some(1) {
            return Err(Error::Other("the server gives no named lock".into()));
        }
        Ok(Self(name))
    }

    /// Makes the session that took it end, however long that takes: nothing of it can happen any
    /// more. Gives the connection that found it so.
    pub async fn ended(&self, server: &Server) -> Conn {
        let mut tries = 1;
        let mut conn = None;
        loop {
            conn = match timeout(server.limit, self.look(server, conn.take())).await {
                Ok(Ok((conn, true))) => return conn,
                Ok(Ok((conn, false))) => Some(conn),
                Ok(Err(_)) | Err(_) => None,
            };
            sleep(LOOK_AGAIN.wait(tries, rand::random())).await;
            tries = tries.saturating_add(1);
        }
    }

    /// Whether the session is gone. One that is not is told to end.
    async fn look(&self, server: &Server, conn: Option<Conn>) -> Result<(Conn, bool), Error> {
        let mut conn = match conn {
            Some(conn) => conn,
            None => server.connect().await?,
        };
        let query = "SELECT IS_USED_LOCK(?)";
        let holder: Option<Option<u64>> = conn.exec_first(query, (&self.0,)).await?;
        let Some(session) = holder.flatten() else {
            return Ok((conn, true));
        };
        match conn.query_drop(format!("KILL {session}")).await {
            // It may have ended meanwhile.
            Ok(()) | Err(Error::Server(_)) => Ok((conn, false)),
            Err(error) => Err(error),
        }
    }
}
