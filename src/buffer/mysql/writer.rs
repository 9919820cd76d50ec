//! The one task that writes. It takes all that waits and stores it in one transaction; nobody is
//! answered before the commit.

use mysql_async::{Conn, Error};

use super::batch::{Answers, Batch};
use super::connect::Server;
use super::doubt::Doubt;
use super::kill::Wish;
use super::queue::{Queue, Reply, Waiting};
use super::rejections::Rejection;
use super::session::{Failure, Session, Work};
use super::told::Telling;
use crate::buffer::{BufferError, Kill, Lookup, StoreRequest, Stored};

/// One transaction is closed once it has so many jobs or bytes of payload.
const GROUP_JOBS: usize = 2000;
const GROUP_BYTES: usize = 8 << 20;

/// The way to the task that writes. The task ends when this is dropped and what waits is done.
pub(super) struct Writer {
    queue: Queue<Request>,
}

enum Request {
    Store(StoreRequest, Reply<Vec<Stored>>),
    Remember(Rejection, Reply<Vec<bool>>),
    Kill(Wish, Reply<Vec<Lookup<Kill>>>),
    Tell(Telling, Reply<Vec<bool>>),
}

impl Writer {
    pub fn start(server: Server, packet: usize) -> Self {
        let (queue, requests) = Queue::new();
        let task = Task {
            session: Session::new(server.clone(), packet),
            server,
        };
        tokio::spawn(task.run(requests));
        Self { queue }
    }

    pub async fn store(&self, request: StoreRequest) -> Result<Vec<Stored>, BufferError> {
        self.queue.ask(|reply| Request::Store(request, reply)).await
    }

    pub async fn remember(&self, rejection: Rejection) -> Result<Vec<bool>, BufferError> {
        self.queue
            .ask(|reply| Request::Remember(rejection, reply))
            .await
    }

    pub async fn kill(&self, wish: Wish) -> Result<Vec<Lookup<Kill>>, BufferError> {
        self.queue.ask(|reply| Request::Kill(wish, reply)).await
    }

    pub async fn tell(&self, telling: Telling) -> Result<Vec<bool>, BufferError> {
        self.queue.ask(|reply| Request::Tell(telling, reply)).await
    }
}

struct Task {
    server: Server,
    session: Session,
}

impl Work for Batch {
    type Answer = Answers;
    async fn write(&self, conn: &mut Conn, budget: usize) -> Result<Answers, Error> {
        Self::write(self, conn, budget).await
    }
}

impl Work for Rejection {
    type Answer = Option<Vec<bool>>;
    async fn write(&self, conn: &mut Conn, budget: usize) -> Result<Self::Answer, Error> {
        Self::write(self, conn, budget).await
    }
}

impl Work for Wish {
    type Answer = Vec<Lookup<Kill>>;
    async fn write(&self, conn: &mut Conn, budget: usize) -> Result<Self::Answer, Error> {
        Self::write(self, conn, budget).await
    }
}

impl Work for Telling {
    type Answer = Vec<bool>;
    async fn write(&self, conn: &mut Conn, budget: usize) -> Result<Vec<bool>, Error> {
        Self::write(self, conn, budget).await
    }
}

impl Task {
    async fn run(mut self, mut requests: Waiting<Request>) {
        let mut group = Vec::new();
        while requests.gather(&mut group).await {
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
                        let absent = self.session.repeatable(&rejection).await;
                        let absent = absent.and_then(|absent| absent.ok_or(BufferError::Restored));
                        // Who asked may have gone.
                        let _ = reply.send(absent);
                    }
                    Request::Kill(wish, reply) => {
                        self.store(std::mem::take(&mut lot)).await;
                        // Who asked may have gone.
                        let _ = reply.send(self.session.repeatable(&wish).await);
                    }
                    Request::Tell(telling, reply) => {
                        self.store(std::mem::take(&mut lot)).await;
                        // Who asked may have gone.
                        let _ = reply.send(self.session.repeatable(&telling).await);
                    }
                }
            }
            self.store(lot).await;
        }
        self.session.close().await;
    }

    async fn store(&mut self, lot: Lot) {
        if lot.requests.is_empty() {
            return;
        }
        let batch = Batch::new(lot.requests);
        match self.session.transact(&batch).await {
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
