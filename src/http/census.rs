//! How many jobs there are, asked of the store so seldom that it does not feel it.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::buffer::{Census, TaskBuffer};

/// A census is good for so long.
const GOOD_FOR: Duration = Duration::from_secs(5);

/// And for so many times what it took: of a store that is full, at most 2 % of the time is spent
/// on it.
const TIMES_ITS_COST: u32 = 50;

/// The store's own time limit is shorter, unless the threads that keep it are held up.
const LIMIT: Duration = Duration::from_secs(30);

/// Takes a census where the last one is too old.
pub(super) struct CensusTaker {
    store: Arc<dyn TaskBuffer>,
    /// Where the store is asked: its connections belong there.
    home: Handle,
    last: Mutex<Option<Taken>>,
}

struct Taken {
    /// `None`: the store did not answer.
    census: Option<Census>,
    until: Instant,
}

impl CensusTaker {
    pub fn new(store: Arc<dyn TaskBuffer>) -> Self {
        Self {
            store,
            home: Handle::current(),
            last: Mutex::default(),
        }
    }

    /// `None`: the store did not answer in time. Many may ask at once; the store is asked once.
    pub async fn census(&self) -> Option<Census> {
        let mut last = self.last.lock().await;
        let asked = Instant::now();
        if let Some(taken) = last.as_ref().filter(|taken| asked < taken.until) {
            return taken.census.clone();
        }
        let store = self.store.clone();
        let census = self.home.spawn(async move { store.census().await.ok() });
        // What is late, or broke down, has no answer.
        let census = timeout(LIMIT, census)
            .await
            .ok()
            .and_then(Result::ok)
            .flatten();
        let cost = asked.elapsed() * TIMES_ITS_COST;
        *last = Some(Taken {
            census: census.clone(),
            until: Instant::now() + GOOD_FOR.max(cost),
        });
        census
    }
}
