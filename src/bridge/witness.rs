//! Who hears each request and its reply.

use crate::job::Owner;
use crate::windmill::CallKind;

/// A request and what was said to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Whose jobs it is about.
    pub owner: Owner,
    /// Which call; `None` where it could not be told.
    pub call: Option<CallKind>,
    /// The request as it came.
    pub document: String,
    /// The reply as a whole; its carrier may have shortened it, or left it out.
    pub reply: String,
}

/// Hears each request and its reply, and never keeps who tells it waiting.
pub trait Witness: Send + Sync {
    /// Whether it wants to hear anything now.
    fn is_listening(&self) -> bool;

    /// Hears one.
    fn hear(&self, exchange: Exchange);
}
