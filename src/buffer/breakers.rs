//! Runners whose circuit breaker is open, as others are told of them.

use jiff::Timestamp;

use super::Holder;

/// A runner that starts no jobs, for its host is not fit for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenBreaker {
    /// Under which name its jobs are claimed.
    pub holder: Holder,
    /// Its daemon's full JID.
    pub daemon: String,
    /// The fault of the host.
    pub reason: String,
    /// Since when it is open.
    pub since: Timestamp,
    /// When that was last so: its daemon may be gone since.
    pub seen: Timestamp,
}
