//! Whose jobs there are, what is owed to them, and which owner each supervisor had.

use std::fmt;

use async_trait::async_trait;

use super::BufferError;
use crate::job::{Owner, State};

/// A supervisor's JID and its owner.
pub type Peer = (String, Owner);

/// Whose jobs there are, and which owner each supervisor had.
#[async_trait]
pub trait Owners: Send + Sync {
    /// Every owner that has a record.
    async fn owners(&self) -> Result<Vec<Owner>, BufferError>;

    /// What is owed to an owner. One walk over its records: not for every question.
    async fn owed(&self, owner: &Owner) -> Result<Owed, BufferError>;

    /// The supervisors that a daemon (its full JID) had, as remembered last.
    async fn peers(&self, daemon: &str) -> Result<Vec<Peer>, BufferError>;

    /// Remembers the supervisors of a daemon in the place of those before.
    async fn remember_peers(&self, daemon: &str, peers: &[Peer]) -> Result<(), BufferError>;
}

/// Jobs about which a supervisor still has something to hear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// Those that have not ended, or whose row cannot be read.
    pub unfinished: u64,
    /// Those that have ended, which their supervisor was not told.
    pub unreported: u64,
}

impl Owed {
    /// Whether nothing is owed.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }

    pub(super) fn new((unfinished, unreported): (i64, i64)) -> Self {
        Self {
            unfinished: unfinished.unsigned_abs(),
            unreported: unreported.unsigned_abs(),
        }
    }
}

impl fmt::Display for Owed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            unfinished,
            unreported,
        } = self;
        write!(f, "{unfinished} unfinished, {unreported} not reported")
    }
}

/// Asks for the first owner after one.
pub(super) const NEXT_OWNER: &str = "SELECT owner FROM jobs WHERE owner > ? ORDER BY owner LIMIT 1";

/// Asks what is owed to an owner.
pub(super) fn owed_query() -> String {
    let ended = super::row::state_names(State::is_final);
    format!(
        "SELECT COUNT(CASE WHEN state NOT IN ({ended}) THEN 1 END),
                COUNT(CASE WHEN state IN ({ended}) AND told = 0 THEN 1 END)
         FROM jobs WHERE owner = ?"
    )
}

/// An owner as it is stored.
pub(super) fn owner(name: String) -> Result<Owner, BufferError> {
    Owner::new(name).map_err(|why| BufferError::Corrupt(why.to_string()))
}
