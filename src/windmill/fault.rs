//! Why a whole request has no answer.

use std::time::Duration;

/// Why a whole request has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// For programs.
    pub code: FaultCode,
    /// For people: what, where, why, what next.
    pub text: String,
    /// With `busy`: when to come again.
    pub retry_after: Option<Duration>,
}

/// The codes of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultCode {
    /// Not well-formed, a DTD, an entity of its own, too deep.
    Malformed,
    /// The structure is wrong.
    Invalid,
    /// A call that is unknown.
    UnsupportedCall,
    /// Over a limit of size or number.
    TooLarge,
    /// The answer would be longer than a stanza may be.
    ReplyTooLarge,
    /// Delivered too late to be safe.
    Stale,
    /// The queue is full, or the daemon is stopping.
    Busy,
    /// The store could not be asked.
    DatabaseUnavailable,
    /// A bug of ours.
    Internal,
}

impl Fault {
    /// A fault that names no time to come again.
    #[must_use]
    pub fn new(code: FaultCode, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            retry_after: None,
        }
    }
}

impl FaultCode {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Malformed,
        Self::Invalid,
        Self::UnsupportedCall,
        Self::TooLarge,
        Self::ReplyTooLarge,
        Self::Stale,
        Self::Busy,
        Self::DatabaseUnavailable,
        Self::Internal,
    ];

    /// The word on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Invalid => "invalid",
            Self::UnsupportedCall => "unsupported-call",
            Self::TooLarge => "too-large",
            Self::ReplyTooLarge => "reply-too-large",
            Self::Stale => "stale",
            Self::Busy => "busy",
            Self::DatabaseUnavailable => "database-unavailable",
            Self::Internal => "internal",
        }
    }

    /// Whether the same request may succeed later (or, with reply-too-large, in parts).
    #[must_use]
    pub fn retry(self) -> bool {
        matches!(
            self,
            Self::ReplyTooLarge | Self::Busy | Self::DatabaseUnavailable | Self::Internal
        )
    }
}
