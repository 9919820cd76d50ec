//! Who is there, and how to reach them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_xmpp::Stanza;
use xmpp_parsers::jid::{BareJid, FullJid, Jid, ResourcePart};

/// Stanzas that wait for one client; its senders wait when there are more.
const QUEUE: usize = 64;

/// The sessions of all accounts.
#[derive(Clone, Debug, Default)]
pub(super) struct Hub(Arc<Mutex<HashMap<BareJid, Sessions>>>);

type Sessions = HashMap<ResourcePart, Entry>;
/// The way to one session.
pub(super) type Inbox = mpsc::Sender<Stanza>;

#[derive(Debug)]
struct Entry {
    inbox: Inbox,
    /// Whether messages to the bare JID come here: it has sent presence.
    available: bool,
    /// Ends the session when another client takes its resource.
    replaced: CancellationToken,
}

/// A session's place in the hub; it leaves when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    hub: Hub,
    jid: FullJid,
    /// What others send.
    pub inbox: mpsc::Receiver<Stanza>,
    /// Another client has taken the resource.
    pub replaced: CancellationToken,
}

impl Hub {
    /// Takes a place; who had the same resource loses it.
    pub(super) fn enter(&self, jid: FullJid) -> Seat {
        let (sender, inbox) = mpsc::channel(QUEUE);
        let replaced = CancellationToken::new();
        let entry = Entry {
            inbox: sender,
            available: false,
            replaced: replaced.clone(),
        };
        let mut accounts = self.lock();
        let sessions = accounts.entry(jid.to_bare()).or_default();
        if let Some(former) = sessions.insert(jid.resource().to_owned(), entry) {
            former.replaced.cancel();
        }
        drop(accounts);
        Seat {
            hub: self.clone(),
            jid,
            inbox,
            replaced,
        }
    }

    /// The session with this full JID; those that are available for a bare one.
    pub(super) fn find(&self, to: &Jid) -> Vec<Inbox> {
        let accounts = self.lock();
        let Some(sessions) = accounts.get(&to.to_bare()) else {
            return Vec::new();
        };
        let found = sessions
            .iter()
            .filter(|(resource, entry)| match to.resource() {
                Some(wanted) => resource.as_str() == wanted.as_str(),
                None => entry.available,
            });
        found.map(|(_, entry)| entry.inbox.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BareJid, Sessions>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Notes that the client is to be found under its bare JID, or no longer.
    pub(super) fn set_available(&self, available: bool) {
        let mut accounts = self.hub.lock();
        let sessions = accounts.get_mut(&self.jid.to_bare());
        let entry = sessions.and_then(|sessions| sessions.get_mut(self.jid.resource()));
        if let Some(entry) = entry.filter(|_| !self.replaced.is_cancelled()) {
            entry.available = available;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.replaced.is_cancelled() {
            return;
        }
        let mut accounts = self.hub.lock();
        if let Some(sessions) = accounts.get_mut(&self.jid.to_bare()) {
            sessions.remove(self.jid.resource());
        }
    }
}
