//! When all connections are given up at once: one that is closed, or that leads to a server that
//! takes no writes any more, speaks against all that are as old.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mysql_async::{Conn, Error, Pool};
use tokio::time::{Instant, timeout};

use super::connect::{Server, error, is_closed, refuses_writes};
use crate::buffer::BufferError;

/// All connections are given up this often at most: the new ones may lead to the same server.
const GIVE_UP_EVERY: Duration = Duration::from_secs(1);

/// Counts how often all connections were given up.
#[derive(Clone, Default)]
pub(super) struct Age(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    age: u64,
    since: Option<Instant>,
}

impl Age {
    /// What connections that are made now belong to.
    pub fn now(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).age
    }

    /// Gives up what belongs to this age, unless that has happened.
    pub fn give_up(&self, age: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_young = known.since.is_some_and(|at| at.elapsed() < GIVE_UP_EVERY);
        if known.age == age && !is_young {
            known.age += 1;
            known.since = Some(Instant::now());
        }
    }
}

/// Connections for reading.
pub(super) struct Lines {
    server: Server,
    pool: Mutex<(u64, Pool)>,
}

impl Lines {
    pub fn new(server: Server) -> Self {
        let pool = Mutex::new((server.age.now(), server.pool()));
        Self { server, pool }
    }

    /// Asks what changes nothing, and once more on another connection where the first one turns
    /// out to be closed or to lead to a server that takes no writes.
    pub async fn ask<T, Asking>(&self, question: impl Fn(Conn) -> Asking) -> Result<T, BufferError>
    where
        Asking: Future<Output = Result<T, Error>>,
    {
        let (age, conn) = self.take().await?;
        let answer = match question(conn).await {
            Err(why) if is_closed(&why) || refuses_writes(&why) => {
                self.server.age.give_up(age);
                let (_, conn) = self.take().await?;
                question(conn).await
            }
            answer => answer,
        };
        answer.map_err(|why| error(&why))
    }

    /// A connection, and what age it is of.
    async fn take(&self) -> Result<(u64, Conn), BufferError> {
        let (age, pool) = self.pool();
        let conn = self.server.take(&pool).await?;
        Ok((age, conn))
    }

    /// The pool; a new one where the connections of the last were given up.
    fn pool(&self) -> (u64, Pool) {
        let mut known = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let age = self.server.age.now();
        if known.0 != age {
            let (_, old) = std::mem::replace(&mut *known, (age, self.server.pool()));
            // If it does not go, its connections end with those that use them.
            tokio::spawn(timeout(self.server.limit, old.disconnect()));
        }
        known.clone()
    }
}
