//! The one task that writes. It takes all that waits and stores it in one transaction; nobody is
//! answered before the commit. It owns a session that holds a named lock, so that everybody can
//! see when that session is gone.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

use super::batch::{Answers, Batch};
use super::connect::{Server, disconnect, error, is_retriable};
use super::doubt::{Doubt, SessionLock};
use super::kill::Wish;
use super::rejections::Rejection;
use crate::buffer::{BufferError, Kill, Lookup, StoreRequest, Stored};
use crate::job::policy::Backoff;

/// How many requests may wait for the writer; beyond, who asks waits.
const QUEUE: usize = 256;

/// One transaction takes at most so many requests…
const GROUP_REQUESTS: usize = 256;

/// …and is closed once it has so many jobs or bytes of payload.
const GROUP_JOBS: usize = 2000;
const GROUP_BYTES: usize = 8 << 20;

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

/// A session that was silent for so long is asked whether it is still there.
const CHECK_AFTER: Duration = Duration::from_secs(1);

/// The way to the task that writes. The task ends when this is dropped and what waits is done.
pub(super) struct Writer {
    queue: mpsc::Sender<Request>,
}

type Reply<T> = oneshot::Sender<Result<T, BufferError>>;

enum Request {
    Store(StoreRequest, Reply<Vec<Stored>>),
    Remember(Rejection, Reply<Vec<bool>>),
    Kill(Wish, Reply<Vec<Lookup<Kill>>>),
}

impl Writer {
    pub fn start(server: Server, packet: usize) -> Self {
        let (queue, requests) = mpsc::channel(QUEUE);
        let task = Task {
            limit: server.limit * PATIENCE,
            server,
            session: None,
            // Room for names of columns and lengths.
            budget: packet / 4 * 3,
        };
        tokio::spawn(task.run(requests));
        Self { queue }
    }

    pub async fn store(&self, request: StoreRequest) -> Result<Vec<Stored>, BufferError> {
        self.ask(|reply| Request::Store(request, reply)).await
    }

    pub async fn remember(&self, rejection: Rejection) -> Result<Vec<bool>, BufferError> {
        self.ask(|reply| Request::Remember(rejection, reply)).await
    }

    pub async fn kill(&self, wish: Wish) -> Result<Vec<Lookup<Kill>>, BufferError> {
        self.ask(|reply| Request::Kill(wish, reply)).await
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, BufferError> {
        let (reply, answer) = oneshot::channel();
        let ended = || BufferError::Unreachable("the writer has ended".to_owned());
        self.queue.send(request(reply)).await.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

struct Task {
    server: Server,
    session: Option<Session>,
    /// How long a transaction may take.
    limit: Duration,
    /// How many bytes of values a statement may have.
    budget: usize,
}

struct Session {
    conn: Conn,
    lock: SessionLock,
    last_used: Instant,
}

/// How a transaction ended that did not commit.
enum Failure {
    /// It was rolled back, or never begun.
    RolledBack(Error),
    /// Nobody knows: its session is lost. This is the lock that the session holds while it lives.
    InDoubt(SessionLock, String),
}

impl Failure {
    fn error(&self) -> BufferError {
        match self {
            Self::RolledBack(why) => error(why),
            Self::InDoubt(_, why) => BufferError::Unreachable(why.clone()),
        }
    }
}

/// What is done in a transaction; it may be done more than once.
trait Work {
    type Answer;
    async fn write(&self, conn: &mut Conn, budget: usize) -> Result<Self::Answer, Error>;
}

impl Work for Batch {
    type Answer = Answers;
    async fn write(&self, conn: &mut Conn, budget: usize) -> Result<Answers, Error> {
        Self::write(self, conn, budget).await
    }
}

impl Work for Rejection {
    type Answer = Vec<bool>;
    async fn write(&self, conn: &mut Conn, budget: usize) -> Result<Vec<bool>, Error> {
        Self::write(self, conn, budget).await
    }
}

impl Work for Wish {
    type Answer = Vec<Lookup<Kill>>;
    async fn write(&self, conn: &mut Conn, budget: usize) -> Result<Self::Answer, Error> {
        Self::write(self, conn, budget).await
    }
}

impl Task {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut group = Vec::new();
        while gather(&mut requests, &mut group).await {
            let mut lot = Lot::default();
            for request in group.drain(..) {
                match request {
                    Request::Store(request, reply) => {
                        if lot.is_full() {
                            self.store(std::mem::take(&mut lot)).await;
                        }
                        lot.push(request, reply);
                    }
                    Request::Remember(rejection, reply) => {
                        self.store(std::mem::take(&mut lot)).await;
                        self.change(&rejection, reply).await;
                    }
                    Request::Kill(wish, reply) => {
                        self.store(std::mem::take(&mut lot)).await;
                        self.change(&wish, reply).await;
                    }
                }
            }
            self.store(lot).await;
        }
        if let Some(session) = self.session {
            disconnect(session.conn, self.server.limit).await;
        }
    }

    /// What is harmless to repeat is not read back when it is in doubt.
    async fn change<W: Work>(&mut self, work: &W, reply: Reply<W::Answer>) {
        let done = self.transact(work).await;
        if let Err(Failure::InDoubt(lock, _)) = &done {
            let session = Doubt::new(lock.clone(), Batch::new(Vec::new()), Vec::new());
            tokio::spawn(session.resolve(self.server.clone()));
        }
        // Who asked may have gone.
        let _ = reply.send(done.map_err(|failure| failure.error()));
    }

    async fn store(&mut self, lot: Lot) {
        if lot.requests.is_empty() {
            return;
        }
        let batch = Batch::new(lot.requests);
        match self.transact(&batch).await {
            Ok(answers) => {
                for (reply, answer) in lot.replies.into_iter().zip(answers) {
                    // Who asked may have gone.
                    let _ = reply.send(answer);
                }
            }
            Err(Failure::InDoubt(lock, why)) => {
                tracing::warn!(why, requests = lot.replies.len(), "a commit is in doubt");
                let doubt = Doubt::new(lock, batch, lot.replies);
                tokio::spawn(doubt.resolve(self.server.clone()));
            }
            Err(failure) => {
                for reply in lot.replies {
                    let _ = reply.send(Err(failure.error()));
                }
            }
        }
    }

    /// Does the work in one transaction and commits it.
    async fn transact<W: Work>(&mut self, work: &W) -> Result<W::Answer, Failure> {
        let mut tries = 1;
        loop {
            let mut session = self.session().await.map_err(Failure::RolledBack)?;
            let done = commit(&mut session.conn, work, self.budget);
            let error = match timeout(self.limit, done).await {
                Ok(Ok(answer)) => {
                    session.last_used = Instant::now();
                    self.session = Some(session);
                    return Ok(answer);
                }
                Ok(Err(Commit::Failed(error))) => error,
                Ok(Err(Commit::InDoubt(why))) => {
                    return Err(Failure::InDoubt(session.lock, why.to_string()));
                }
                Err(_) => {
                    let why = format!("no end within {} ms", self.limit.as_millis());
                    return Err(Failure::InDoubt(session.lock, why));
                }
            };
            let rollback = timeout(self.server.limit, session.conn.query_drop("ROLLBACK"));
            if !matches!(rollback.await, Ok(Ok(()))) {
                return Err(Failure::InDoubt(session.lock, error.to_string()));
            }
            self.session = Some(session);
            if !is_retriable(&error) || tries == TRIES {
                return Err(Failure::RolledBack(error));
            }
            tracing::debug!(%error, tries, "a transaction is tried again");
            sleep(TRY_AGAIN.wait(tries, rand::random())).await;
            tries += 1;
        }
    }

    /// The session, or a new one.
    async fn session(&mut self) -> Result<Session, Error> {
        if let Some(mut session) = self.session.take() {
            if session.last_used.elapsed() < CHECK_AFTER {
                return Ok(session);
            }
            if matches!(
                timeout(self.server.limit, session.conn.ping()).await,
                Ok(Ok(()))
            ) {
                return Ok(session);
            }
        }
        let mut conn = self.server.connect().await?;
        let begun = async {
            conn.query_drop("SET SESSION autocommit = 0").await?;
            SessionLock::take(&mut conn).await
        };
        let late = |_| {
            Err(Error::Io(mysql_async::IoError::Io(
                std::io::ErrorKind::TimedOut.into(),
            )))
        };
        let lock = timeout(self.server.limit, begun)
            .await
            .unwrap_or_else(late)?;
        Ok(Session {
            conn,
            lock,
            last_used: Instant::now(),
        })
    }
}

/// Waits for a request, and takes with it what others are just about to ask: those who were
/// answered by the last commit come back at the same time. `false`: there will be no more.
async fn gather(requests: &mut mpsc::Receiver<Request>, group: &mut Vec<Request>) -> bool {
    let mut taken = requests.recv_many(group, GROUP_REQUESTS).await;
    while taken > 0 && group.len() < GROUP_REQUESTS {
        yield_now().await;
        let before = group.len();
        while group.len() < GROUP_REQUESTS
            && let Ok(next) = requests.try_recv()
        {
            group.push(next);
        }
        taken = group.len() - before;
    }
    !group.is_empty()
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

/// Requests that are stored together, and who waits for each.
#[derive(Default)]
struct Lot {
    requests: Vec<StoreRequest>,
    replies: Vec<Reply<Vec<Stored>>>,
    jobs: usize,
    bytes: usize,
}

impl Lot {
    fn is_full(&self) -> bool {
        self.jobs >= GROUP_JOBS || self.bytes >= GROUP_BYTES
    }

    fn push(&mut self, request: StoreRequest, reply: Reply<Vec<Stored>>) {
        self.jobs += request.jobs.len();
        self.bytes += request
            .jobs
            .iter()
            .map(|job| job.payload.len())
            .sum::<usize>();
        self.requests.push(request);
        self.replies.push(reply);
    }
}
