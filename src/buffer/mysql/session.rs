//! A session of its own that does work in transactions. It holds a named lock, so that everybody
//! can see when it is gone; where it is lost, a new one takes its place.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use tokio::time::{Instant, sleep, timeout};

use super::connect::{Server, disconnect, error, is_closed, is_retriable, late, refuses_writes};
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
    /// See [`super::lines::Age`].
    age: u64,
    /// Whether it was made for this transaction.
    is_new: bool,
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
                self.end(lock);
            }
            error
        })
    }

    /// Makes a session end, beside what goes on here. On a server that is not reached any more it
    /// blocks no other session.
    fn end(&self, lock: SessionLock) {
        let server = self.server.clone();
        tokio::spawn(async move {
            let conn = lock.ended(&server).await.conn();
            disconnect(conn, server.limit).await;
        });
    }

    /// Does the work in one transaction and commits it. Where its session turns out to be closed
    /// before the commit was sent, or to lead to a server that takes no writes, nothing was
    /// changed: then it is done once more in a new one.
    pub async fn transact<W: Work>(&mut self, work: &W) -> Result<W::Answer, Failure> {
        let mut tries = 1;
        loop {
            let mut live = self.live().await.map_err(Failure::RolledBack)?;
            let done = commit(&mut live.conn, work, self.budget);
            let error = match timeout(self.limit, done).await {
                Ok(Ok(answer)) => {
                    live.last_used = Instant::now();
                    live.is_new = false;
                    self.live = Some(live);
                    return Ok(answer);
                }
                Ok(Err(Commit::Failed(error))) if is_closed(&error) && !live.is_new => {
                    tracing::debug!(%error, "a session was closed; its work is done in another");
                    self.server.age.give_up(live.age);
                    self.end(live.lock);
                    continue;
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
            if refuses_writes(&error) {
                self.server.age.give_up(live.age);
                if live.is_new {
                    return Err(Failure::RolledBack(error));
                }
                continue;
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
        let age = self.server.age.now();
        if let Some(mut live) = self.live.take().filter(|live| live.age == age) {
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
            age,
            is_new: true,
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
        // The server has rolled it back.
        Err(error) if is_retriable(&error) || refuses_writes(&error) => Err(Commit::Failed(error)),
        Err(error) => Err(Commit::InDoubt(error)),
    }
}

/// A named lock that a session holds as long as it lives. The server frees it after it has
/// committed or rolled back the session's transaction. No other server knows of it.
pub(super) struct SessionLock {
    name: String,
    /// The server where it was taken.
    server: ServerIdentity,
}

/// Tells servers of one address apart, and is the same after a restart.
type ServerIdentity = String;

/// Servers that replicate have a number each, those of a cluster a host or a folder each.
const SERVER_IDENTITY: &str = "CONCAT_WS(' ', @@server_id, @@hostname, @@port, @@datadir)";

/// What is known of a session that must end.
pub(super) enum Ended {
    /// It is gone: nothing of it can happen any more. The connection that found it so.
    Gone(Conn),
    /// The address leads to another server, which cannot say. A connection to that one.
    OnAnotherServer(Conn),
}

impl Ended {
    pub fn conn(self) -> Conn {
        let (Self::Gone(conn) | Self::OnAnotherServer(conn)) = self;
        conn
    }
}

/// What one look at it found.
enum Look {
    Over(Ended),
    Alive(Conn),
}

impl SessionLock {
    /// Takes a new lock in this session.
    async fn take(conn: &mut Conn) -> Result<Self, Error> {
        let name = format!("gristmill:{:032x}", rand::random::<u128>());
        let query = format!("SELECT GET_LOCK(?, 0), {SERVER_IDENTITY}");
        let got: Option<(Option<i32>, ServerIdentity)> = conn.exec_first(query, (&name,)).await?;
        match got {
            Some((Some(1), server)) => Ok(Self { name, server }),
            _ => Err(Error::Other("the server gives no named lock".into())),
        }
    }

    /// Makes the session that took it end, however long that takes, unless its server is not the
    /// one that is reached.
    pub async fn ended(&self, server: &Server) -> Ended {
        let mut tries = 1;
        let mut conn = None;
        loop {
            conn = match timeout(server.limit, self.look(server, conn.take())).await {
                Ok(Ok(Look::Over(ended))) => return ended,
                Ok(Ok(Look::Alive(conn))) => Some(conn),
                Ok(Err(_)) | Err(_) => None,
            };
            sleep(LOOK_AGAIN.wait(tries, rand::random())).await;
            tries = tries.saturating_add(1);
        }
    }

    /// Whether the session is gone. One that is not is told to end.
    async fn look(&self, server: &Server, conn: Option<Conn>) -> Result<Look, Error> {
        let mut conn = match conn {
            Some(conn) => conn,
            None => server.connect().await?,
        };
        let query = format!("SELECT {SERVER_IDENTITY}, IS_USED_LOCK(?)");
        let found: Option<(ServerIdentity, Option<u64>)> =
            conn.exec_first(query, (&self.name,)).await?;
        let session = match found {
            Some((server, Some(session))) if server == self.server => session,
            Some((server, None)) if server == self.server => {
                return Ok(Look::Over(Ended::Gone(conn)));
            }
            Some(_) => return Ok(Look::Over(Ended::OnAnotherServer(conn))),
            None => return Err(Error::Other("the server does not say who it is".into())),
        };
        match conn.query_drop(format!("KILL {session}")).await {
            // It may have ended meanwhile.
            Ok(()) | Err(Error::Server(_)) => Ok(Look::Alive(conn)),
            Err(error) => Err(error),
        }
    }
}
