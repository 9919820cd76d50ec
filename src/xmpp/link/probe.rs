//! What proves that the line holds nothing back. The server answers a ping after all that it had sent
//! us before, so with its answer all of that has arrived: what arrives later was sent after the
//! ping. No clock of ours tells as much, for they may stand still while stanzas wait.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::{Duration, Instant};
use tokio_xmpp::Stanza;
use xmpp_parsers::iq::Iq;
use xmpp_parsers::jid::BareJid;
use xmpp_parsers::ping::Ping;

use super::Link;
use crate::job::policy::Clock;

/// Of the IDs of pings.
const PROBE_ID: &str = "gristmill-probe";

/// How soon after an answer the next ping is sent.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// A ping that was not answered for so long is given up.
const GIVE_UP: Duration = Duration::from_mins(1);

/// The pings of a line, and what their answers prove.
pub(super) struct Probe {
    clock: Arc<dyn Clock>,
    empty_at: Timestamp,
    /// That was not answered.
    asked: Option<(String, Timestamp)>,
    ask_again: Instant,
}

impl Probe {
    /// Of a line that was never up, so that nothing can wait on it yet.
    fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            empty_at: clock.now(),
            clock,
            asked: None,
            ask_again: Instant::now(),
        }
    }

    /// The ID of a ping that is sent now.
    fn ask(&mut self) -> String {
        let id = format!("{PROBE_ID}-{:016x}", rand::random::<u64>());
        self.asked = Some((id.clone(), self.clock.now()));
        self.ask_again = Instant::now() + GIVE_UP;
        id
    }

    /// Whether this answers the last ping; nothing that was sent before it is on its way any more.
    fn hear(&mut self, id: &str) -> bool {
        let Some((_, asked_at)) = self.asked.take_if(|(asked, _)| asked == id) else {
            return false;
        };
        self.empty_at = asked_at;
        self.ask_again = Instant::now() + ASK_EVERY;
        true
    }
}

impl Link {
    /// The same; it proves all the time that it holds nothing back.
    pub(in super::super) fn probing(mut self, clock: Arc<dyn Clock>) -> Self {
        self.probe = Some(Probe::new(clock));
        self
    }

    /// What comes in now was not sent to us before this. `None`: it does not prove that.
    pub(in super::super) fn empty_at(&self) -> Option<Timestamp> {
        self.probe.as_ref().map(|probe| probe.empty_at)
    }

    /// When the next ping is due.
    pub(super) fn probe_at(&self) -> Option<Instant> {
        let probe = self.probe.as_ref().filter(|_| self.is_up());
        probe.map(|probe| probe.ask_again)
    }

    /// Sends a ping to the server.
    pub(super) fn send_probe(&mut self) {
        let id = self.probe.as_mut().map(Probe::ask);
        let id = id.unwrap_or_else(|| PROBE_ID.to_owned());
        let server = BareJid::from_parts(None, self.settings.jid.domain());
        self.send(Iq::from_get(id, Ping).with_to(server.into()));
    }

    /// Whether this answers a ping of ours. That it is refused is an answer, too.
    pub(super) fn is_probe_answer(&mut self, stanza: &Stanza) -> bool {
        let Stanza::Iq(Iq::Result { id, .. } | Iq::Error { id, .. }) = stanza else {
            return false;
        };
        self.probe.as_mut().is_some_and(|probe| probe.hear(id))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    struct Watch(AtomicI64);

    impl Clock for Watch {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(self.0.load(Ordering::Relaxed)).unwrap()
        }
    }

    #[tokio::test]
    async fn an_answer_proves_what_was_so_when_it_was_asked_for() {
        let watch = Arc::new(Watch(AtomicI64::new(0)));
        let mut probe = Probe::new(watch.clone());
        let at = |second| watch.0.store(second, Ordering::Relaxed);
        at(10);
        let first = probe.ask();
        at(20);
        assert!(!probe.hear("gristmill-probe") && !probe.hear("x"));
        assert_eq!(probe.empty_at.as_second(), 0);
        assert!(probe.hear(&first));
        assert_eq!(probe.empty_at.as_second(), 10);
        assert!(!probe.hear(&first), "it is answered once");
        // Of two, the later one has the last word.
        let earlier = probe.ask();
        at(30);
        let later = probe.ask();
        at(40);
        assert!(!probe.hear(&earlier) && probe.hear(&later));
        assert_eq!(probe.empty_at.as_second(), 30);
    }
}
