//! What is said unasked: last of all, one stanza at a time, and only while there is a line.

use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, Instant, timeout_at};
use tokio_xmpp::Stanza;
use tokio_xmpp::stanzastream::{StanzaStage, StanzaToken};

/// It has arrived by then, also at a server that acknowledges nothing: the slowest take 3 kB a
/// second.
const ARRIVED_WITHIN: Duration = Duration::from_secs(4);

/// The line's side of it.
pub(super) struct Unasked {
    online: watch::Sender<bool>,
    waiting: mpsc::Receiver<Stanza>,
    /// The one that may not have arrived, and when it has. What is written waits before a slow
    /// server, and everybody's answers behind it.
    on_its_way: Option<(StanzaToken, Instant)>,
}

/// Where what is said unasked comes from.
#[derive(Clone)]
pub(super) struct Mouthpiece {
    /// Whether there is a line.
    pub(super) online: watch::Receiver<bool>,
    /// Takes a stanza once the one before is said.
    pub(super) line: mpsc::Sender<Stanza>,
}

impl Unasked {
    /// Both ends.
    pub(super) fn new() -> (Self, Mouthpiece) {
        let (line, waiting) = mpsc::channel(1);
        let (online, is_online) = watch::channel(false);
        let unasked = Self {
            online,
            waiting,
            on_its_way: None,
        };
        let mouthpiece = Mouthpiece {
            online: is_online,
            line,
        };
        (unasked, mouthpiece)
    }

    /// Tells whether there is a line.
    pub(super) fn set_online(&self, is_online: bool) {
        let changes = |online: &mut bool| std::mem::replace(online, is_online) != is_online;
        self.online.send_if_modified(changes);
    }

    /// The next thing to say, once the one before has arrived; never, unless nothing else is to
    /// be said. May be dropped at any time and called again.
    pub(super) async fn next(&mut self, is_idle: bool) -> Stanza {
        if let Some((token, by)) = &mut self.on_its_way {
            let _ = timeout_at(*by, token.wait_for(StanzaStage::Acked)).await;
            self.on_its_way = None;
        }
        if is_idle && let Some(stanza) = self.waiting.recv().await {
            return stanza;
        }
        std::future::pending().await
    }

    /// It was said, as far as we can tell.
    pub(super) fn said(&mut self, token: Option<&StanzaToken>) {
        let by = Instant::now() + ARRIVED_WITHIN;
        self.on_its_way = token.map(|token| (token.clone(), by));
    }
}
