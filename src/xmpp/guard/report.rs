//! What the guard tells the session, beside the stream.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Limit;

/// A handle that the guards of a session and the session share.
#[derive(Clone, Debug, Default)]
pub struct GuardReport(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    received: AtomicU64,
    cuts: AtomicU64,
    stream_error: Mutex<Option<StreamError>>,
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

    pub(super) fn count(&self, received: usize) {
        let received = u64::try_from(received).unwrap_or(u64::MAX);
        self.0.received.fetch_add(received, Ordering::Relaxed);
    }

    pub(super) fn cut(&self, limit: Limit) {
        let cuts = self.0.cuts.fetch_add(1, Ordering::Relaxed) + 1;
        // Anybody can send such stanzas; the log must not fill with them.
        if cuts.is_power_of_two() {
            tracing::warn!(limit = limit.name(), cuts, "a stanza was cut short");
        }
    }

    pub(super) fn stream_error(&self, error: StreamError) {
        *self.slot() = Some(error);
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<StreamError>> {
        let slot = self.0.stream_error.lock();
        slot.unwrap_or_else(PoisonError::into_inner)
    }
}
