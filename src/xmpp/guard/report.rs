//! What the guard tells the session, beside the stream.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Limit;
use crate::vitals::Count;

/// A handle that the guards of a session and the session share.
#[derive(Clone, Debug, Default)]
pub struct GuardReport(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    received: AtomicU64,
    cuts: AtomicU64,
    /// Of all connections.
    trips: Arc<Trips>,
    stream_error: Mutex<Option<StreamError>>,
    left: Mutex<Vec<u8>>,
    doubt: AtomicBool,
}

/// Stanzas that were cut short, on all connections, by the limit that they broke.
#[derive(Debug, Default)]
pub struct Trips([Count; Limit::ALL.len()]);

impl Trips {
    /// Each limit's name and count.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = Limit::ALL.into_iter().zip(&self.0);
        counts.map(|(limit, count)| (limit.name(), count.get()))
    }

    fn add_one(&self, limit: Limit) {
        let mut counts = Limit::ALL.into_iter().zip(&self.0);
        if let Some((_, count)) = counts.find(|(known, _)| *known == limit) {
            count.add_one();
        }
    }
}

/// The server's last words before it closes a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamError {
    /// The defined condition, for instance `conflict`; empty where the server named none.
    pub condition: String,
    /// What it says to people; may be empty.
    pub text: String,
}

impl GuardReport {
    /// Of one connection; counts in `trips`, too.
    #[must_use]
    pub fn counting_in(trips: Arc<Trips>) -> Self {
        Self(Arc::new(Shared {
            trips,
            ..Shared::default()
        }))
    }

    /// With doubt, the guard's own proof of a stanza is not enough.
    #[must_use]
    pub fn doubting(self, doubt: bool) -> Self {
        self.0.doubt.store(doubt, Ordering::Relaxed);
        self
    }

    pub(super) fn doubts(&self) -> bool {
        self.0.doubt.load(Ordering::Relaxed)
    }

    /// How many bytes came in: a sign of life, also where they make no stanza.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.0.received.load(Ordering::Relaxed)
    }

    /// How many stanzas were cut short.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.0.cuts.load(Ordering::Relaxed)
    }

    /// The last stream error that was not taken yet.
    #[must_use]
    pub fn take_stream_error(&self) -> Option<StreamError> {
        self.slot().take()
    }

    /// What the parser was given last, as soon as its connection is gone.
    #[must_use]
    pub fn take_left(&self) -> Vec<u8> {
        std::mem::take(&mut *self.left())
    }

    pub(super) fn leave(&self, last: Vec<u8>) {
        *self.left() = last;
    }

    fn left(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, received: usize) {
        let received = u64::try_from(received).unwrap_or(u64::MAX);
        self.0.received.fetch_add(received, Ordering::Relaxed);
    }

    pub(super) fn cut(&self, limit: Limit) {
        self.cut_because(limit, "");
    }

    /// The same; `why` is for the log.
    pub(super) fn cut_because(&self, limit: Limit, why: &str) {
        self.0.trips.add_one(limit);
        let cuts = self.0.cuts.fetch_add(1, Ordering::Relaxed) + 1;
        // Anybody can send such stanzas; the log must not fill with them.
        if cuts.is_power_of_two() {
            tracing::warn!(limit = limit.name(), why, cuts, "a stanza was cut short");
        }
    }

    pub(super) fn stream_error(&self, error: StreamError) {
        *self.slot() = Some(error);
    }

    fn slot(&self) -> MutexGuard<'_, Option<StreamError>> {
        let slot = self.0.stream_error.lock();
        slot.unwrap_or_else(PoisonError::into_inner)
    }
}
