//! One connection to a runner's socket, from the greeting until it breaks.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::super::socket::frames::{self, FrameError, Receiver, Sender};
use super::super::socket::wire::{Answer, Failure, Greeting, Question, Request, Response, Welcome};
use super::super::socket::{GREETING_LIMIT, PING_EVERY, PROTOCOL, SILENCE_LIMIT, Users};
use super::Unanswered;
use crate::job::RunsFolder;

/// So many questions wait to be sent; who has more waits.
const QUEUE: usize = 256;
/// So many answers are waited for; more questions are not sent.
const MAX_WAITING: usize = 32_768;
/// The number of a ping, for whose answer nobody waits.
const PING: u64 = 0;

/// Where a runner is, and who it must be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its socket.
    pub socket: PathBuf,
    /// As whom it may run.
    pub users: Users,
}

/// Why there is no connection to a runner.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens, or we may not go there.
    #[error("nobody can be reached there: {0}")]
    Unreachable(io::Error),
    /// It runs as somebody else.
    #[error("who listens there runs as user {0}, which is not the runner's")]
    Impostor(u32),
    /// It does not serve us.
    #[error("it does not serve our user ({0})")]
    Stranger(u32),
    /// It serves another daemon.
    #[error("it serves another daemon")]
    Busy,
    /// It is of another version.
    #[error("it speaks protocol {0}, and this program {PROTOCOL}")]
    Protocol(u32),
    /// It says nothing, or nothing that makes sense.
    #[error("it does not greet: {0}")]
    Mute(FrameError),
}

/// A connection, for those who ask.
pub(super) struct Connection {
    /// Under which name the runner's user holds claims.
    pub holder: String,
    /// The folder of the runs; `None`: it is not told.
    pub folder: Option<RunsFolder>,
    outgoing: mpsc::Sender<Outgoing>,
}

/// What a runner says of itself.
struct Host {
    holder: String,
    folder: Option<RunsFolder>,
}

/// A question, and who waits for its answer.
struct Outgoing {
    question: Question,
    answer: oneshot::Sender<Answer>,
}

/// Who waits for an answer.
#[derive(Default)]
struct Waiting(Mutex<HashMap<u64, oneshot::Sender<Answer>>>);

/// Says who listens at a socket, by its holder's name, and asks nothing. A daemon that is served
/// there does not notice.
pub async fn probe(settings: &Settings) -> Result<String, ConnectError> {
    greet(settings, true).await.map(|(host, ..)| host.holder)
}

impl Connection {
    /// Connects. What is returned beside carries the questions, and says why it ended.
    pub async fn open(
        settings: &Settings,
    ) -> Result<(Self, impl Future<Output = FrameError> + use<>), ConnectError> {
        let (host, mut receiver, sender) = greet(settings, false).await?;
        receiver.expect_questions();
        let (outgoing, questions) = mpsc::channel(QUEUE);
        Ok((
            Self {
                holder: host.holder,
                folder: host.folder,
                outgoing,
            },
            carry(receiver, sender, questions),
        ))
    }

    /// Asks once.
    pub async fn ask(&self, question: Question) -> Result<Answer, Unanswered> {
        let (answer, answered) = oneshot::channel();
        let outgoing = Outgoing { question, answer };
        let unsent = |_| Unanswered::Away("the connection to it ended".to_owned());
        self.outgoing.send(outgoing).await.map_err(unsent)?;
        answered.await.map_err(|_| Unanswered::Lost)
    }
}

async fn greet(settings: &Settings, probe: bool) -> Result<(Host, Receiver, Sender), ConnectError> {
    let late = |_| ConnectError::Unreachable(io::ErrorKind::TimedOut.into());
    let stream = timeout(GREETING_LIMIT, UnixStream::connect(&settings.socket)).await;
    let stream = stream.map_err(late)?.map_err(ConnectError::Unreachable)?;
    let peer = stream.peer_cred().map_err(ConnectError::Unreachable)?;
    if !settings.users.contain(peer.uid()) {
        return Err(ConnectError::Impostor(peer.uid()));
    }
    let (mut receiver, mut sender) = frames::halves(stream);
    let greeting = Greeting {
        protocol: PROTOCOL,
        probe,
    };
    let greeting = frames::encode(&greeting).map_err(ConnectError::Mute)?;
    // Who turned us away before we spoke has said why.
    let _ = sender.send(greeting).await;
    match receiver.next(GREETING_LIMIT).await {
        Ok(Welcome::Served { holder, folder }) => {
            let folder = RunsFolder::parse(&folder);
            Ok((Host { holder, folder }, receiver, sender))
        }
        Ok(Welcome::Busy) => Err(ConnectError::Busy),
        Ok(Welcome::Stranger { user }) => Err(ConnectError::Stranger(user)),
        Ok(Welcome::Protocol { spoken }) => Err(ConnectError::Protocol(spoken)),
        Err(error) => Err(ConnectError::Mute(error)),
    }
}

/// Carries questions and answers until the connection breaks; who waits then learns of it.
async fn carry(
    receiver: Receiver,
    sender: Sender,
    questions: mpsc::Receiver<Outgoing>,
) -> FrameError {
    let waiting = Waiting::default();
    let broken = tokio::select! {
        broken = hear(receiver, &waiting) => broken,
        broken = speak(sender, questions, &waiting) => broken,
    };
    broken.err().unwrap_or(FrameError::Ended)
}

async fn hear(mut receiver: Receiver, waiting: &Waiting) -> Result<(), FrameError> {
    loop {
        let Response { id, answer } = receiver.next(SILENCE_LIMIT).await?;
        if let Some(asker) = waiting.all().remove(&id) {
            // Who asked may have stopped to wait.
            let _ = asker.send(answer);
        }
    }
}

async fn speak(
    mut sender: Sender,
    mut questions: mpsc::Receiver<Outgoing>,
    waiting: &Waiting,
) -> Result<(), FrameError> {
    let mut pings = interval(PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut id = PING;
    loop {
        let has_room = waiting.all().len() < MAX_WAITING;
        let outgoing = tokio::select! {
            biased;
            _ = pings.tick() => None,
            outgoing = questions.recv(), if has_room => match outgoing {
                Some(outgoing) => Some(outgoing),
                None => return Ok(()),
            },
        };
        let Some(Outgoing { question, answer }) = outgoing else {
            let (id, question) = (PING, Question::Ping);
            sender
                .send(frames::encode(&Request { id, question })?)
                .await?;
            continue;
        };
        id += 1;
        match frames::encode(&Request { id, question }) {
            Ok(frame) => {
                waiting.all().insert(id, answer);
                sender.send(frame).await?;
            }
            Err(error) => {
                let _ = answer.send(Answer::Failed(Failure::Permanent(error.to_string())));
            }
        }
    }
}

impl Waiting {
    fn all(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Answer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
