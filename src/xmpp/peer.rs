//! The supervisor's side: sends documents to an executor and awaits its answers. For replays, the
//! demo and tests.

mod conversation;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use xmpp_parsers::jid::Jid;
use xmpp_parsers::presence::Presence;

use conversation::{Conversation, Question};

use super::link::{Link, LinkEvent};
use super::parcel::Parcel;
use super::settings::Settings;

/// Questions that may be open at a time; more wait their turn.
const OPEN_QUESTIONS: usize = 64;

/// How a document travels; its answer comes back in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// As the payload of an IQ.
    Iq,
    /// As a child element of a message.
    Message,
    /// As the body text of a message.
    Body,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// We are not let in, or nobody is there.
    #[error("{0}")]
    Offline(String),
    /// The executor said nothing in time. It may have done what it was asked all the same.
    #[error(
        "the executor did not answer within {0:?}; is it running, and is this JID one of its supervisors?"
    )]
    NoAnswer(Duration),
    /// The answer is an error of XMPP's, not of the supervisor's language.
    #[error(
        "the executor or its server answered {0}; is it online, and is this JID one of its supervisors?"
    )]
    Refused(String),
    /// XMPP cannot carry this document in this way.
    #[error("the document cannot be sent in this way: {0}")]
    Unsendable(String),
}

/// A supervisor that is online.
#[derive(Debug)]
pub struct Peer {
    executor: Jid,
    conversation: Arc<Conversation>,
    outgoing: mpsc::Sender<Parcel>,
    turns: Semaphore,
    questions: AtomicU64,
    /// Ends the task that owns the line.
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Peer {
    /// Goes online as `settings.jid`; fails when that takes longer than `limit`.
    pub async fn connect(
        settings: Settings,
        executor: Jid,
        limit: Duration,
    ) -> Result<Self, PeerError> {
        let settings = Arc::new(settings);
        let (outgoing, stanzas) = mpsc::channel(OPEN_QUESTIONS);
        let (mut link, _) = Link::new(settings.clone(), stanzas, Arc::default());
        match timeout(limit, online(&mut link)).await {
            Ok(online) => online?,
            Err(_) => return Err(why_offline(&settings, limit).await),
        }
        let conversation = Arc::new(Conversation::new(executor.clone()));
        let shutdown = CancellationToken::new();
        let goodbye = settings.limits.goodbye;
        let listening = listen(link, conversation.clone(), shutdown.clone(), goodbye);
        Ok(Self {
            executor,
            conversation,
            outgoing,
            turns: Semaphore::new(OPEN_QUESTIONS),
            questions: AtomicU64::new(0),
            shutdown,
            task: tokio::spawn(listening),
        })
    }

    /// Sends a document and awaits the answer: the text of the Response. A fault that comes as an
    /// IQ's error is put into a Response, as it comes by the other carriers.
    pub async fn ask(
        &self,
        carrier: Carrier,
        document: &str,
        limit: Duration,
    ) -> Result<String, PeerError> {
        let number = self.questions.fetch_add(1, Ordering::Relaxed);
        let question = Question::new(carrier, document, number);
        let stanza = question.stanza(&self.executor)?;
        let asked = async {
            let _turn = self.turns.acquire().await.map_err(gone)?;
            let answer = self.conversation.expect(question);
            self.outgoing.send(stanza.into()).await.map_err(gone)?;
            answer.await
        };
        let answer = timeout(limit, asked).await;
        answer.unwrap_or(Err(PeerError::NoAnswer(limit)))
    }

    /// Says goodbye to the server.
    pub async fn close(mut self) {
        self.shutdown.cancel();
        if let Err(error) = (&mut self.task).await {
            tracing::debug!(%error, "the line was not closed in peace");
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

async fn online(link: &mut Link) -> Result<(), PeerError> {
    loop {
        let event = link.next().await;
        if let LinkEvent::Fresh = event.map_err(|e| PeerError::Offline(e.to_string()))? {
            link.send(Presence::available());
            return Ok(());
        }
    }
}

/// Asks once more, for a line that is dialled again and again tells nobody why.
async fn why_offline(settings: &Settings, limit: Duration) -> PeerError {
    PeerError::Offline(match super::try_login(settings).await {
        Err(error) => error.to_string(),
        Ok(()) => format!("the server did not give us a session within {limit:?}"),
    })
}

async fn listen(
    mut link: Link,
    conversation: Arc<Conversation>,
    shutdown: CancellationToken,
    goodbye: Duration,
) {
    loop {
        let event = tokio::select! {
            event = link.next() => event,
            () = shutdown.cancelled() => {
                link.send(Presence::unavailable());
                return link.close(goodbye).await;
            }
        };
        match event {
            Ok(LinkEvent::Fresh) => link.send(Presence::available()),
            Ok(LinkEvent::Stanza(stanza)) => {
                if let Some(answer) = conversation.hear(*stanza) {
                    link.send(answer);
                }
            }
            Err(error) => return conversation.end(&error.to_string()),
        }
    }
}

fn gone<E>(_: E) -> PeerError {
    PeerError::Offline("the line to the server is closed".into())
}
