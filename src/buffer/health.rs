//! Whether there is a store, whether it answers, and whether it takes writes. While it does not
//! answer, no question waits for it. While it takes no writes, each question is still asked: reads
//! have true answers, and a write is the best proof that there is of the contrary.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::{BufferError, OpenError, Store};
use crate::job::policy::Backoff;
use crate::vitals::Pulse;

/// How often a store that is not there is looked for.
const OPEN_AGAIN: Backoff = Backoff {
    first: Duration::from_millis(250),
    longest: Duration::from_secs(2),
};

/// How often a store is asked whether it is there, where nobody else asks.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often a store that went away is asked whether it is back.
const PROBE_EVERY: Duration = Duration::from_millis(250);

/// How long it may take to say so, unless a question may take less.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// A store that refused a write counts as one that takes none until none was refused for so long:
/// small writes may fit on a disk that is full for others.
const CALM: Duration = Duration::from_secs(5);

/// What is known of the store.
pub(super) struct Health {
    state: watch::Sender<State>,
    /// Wakes the keeper: something speaks against the store.
    suspected: Notify,
}

#[derive(Clone)]
enum State {
    Opening,
    /// For good.
    Failed(OpenError),
    Open(Arc<dyn Store>, Standing),
}

/// How an open store does.
#[derive(Clone)]
enum Standing {
    Well,
    /// It answers, and takes no writes.
    ReadOnly {
        why: BufferError,
        /// When it last refused one.
        refused_at: Instant,
    },
    /// It does not answer; why.
    Away(String),
}

impl Standing {
    fn read_only(why: BufferError) -> Self {
        Self::ReadOnly {
            why,
            refused_at: Instant::now(),
        }
    }

    fn is_well(&self) -> bool {
        matches!(self, Self::Well)
    }
}

impl Health {
    pub fn new() -> Self {
        Self {
            state: watch::Sender::new(State::Opening),
            suspected: Notify::new(),
        }
    }

    /// The store, if it may be asked now.
    pub fn store(&self) -> Result<Arc<dyn Store>, BufferError> {
        let away = |why: &str| Err(BufferError::Unreachable(why.to_owned()));
        match &*self.state.borrow() {
            State::Open(_, Standing::Away(why)) => away(&format!("{why}; it is not back yet")),
            State::Open(store, _) => Ok(store.clone()),
            State::Opening => away("it is not open yet"),
            State::Failed(why) => away(&why.to_string()),
        }
    }

    /// Whether it may be asked and, as far as is known, takes writes; else why not.
    pub fn can_store(&self) -> Result<(), BufferError> {
        self.store()?;
        match &*self.state.borrow() {
            State::Open(_, Standing::ReadOnly { why, .. }) => Err(why.clone()),
            _ => Ok(()),
        }
    }

    pub async fn opened(&self) -> Result<(), OpenError> {
        let mut state = self.state.subscribe();
        let known = state
            .wait_for(|state| !matches!(state, State::Opening))
            .await;
        match known.as_deref() {
            Ok(State::Failed(why)) => Err(why.clone()),
            _ => Ok(()),
        }
    }

    /// Opens the store, then looks after it, for ever.
    pub async fn keep<F, Opening>(&self, open: F, limit: Duration, pulse: &Pulse)
    where
        F: Fn() -> Opening,
        Opening: Future<Output = Result<Arc<dyn Store>, OpenError>>,
    {
        let Some(store) = pulse.while_waiting(self.open(open)).await else {
            return;
        };
        loop {
            // Whether it is suspected or has not been asked for a while.
            let _ = timeout(LOOK_EVERY, self.suspected.notified()).await;
            pulse.turn();
            while !self.probe(&store, limit).await {
                pulse.turn();
                sleep(PROBE_EVERY).await;
            }
        }
    }

    async fn open<F, Opening>(&self, open: F) -> Option<Arc<dyn Store>>
    where
        F: Fn() -> Opening,
        Opening: Future<Output = Result<Arc<dyn Store>, OpenError>>,
    {
        for failures in 1.. {
            match open().await {
                Ok(store) => {
                    tracing::info!("the task buffer is open");
                    self.state
                        .send_replace(State::Open(store.clone(), Standing::Well));
                    return Some(store);
                }
                Err(error) if error.is_transient() => {
                    if failures == 1 {
                        tracing::warn!(%error, "the task buffer is not there; trying on");
                    }
                    sleep(OPEN_AGAIN.wait(failures, rand::random())).await;
                }
                Err(error) => {
                    tracing::error!(%error, "the task buffer cannot be opened");
                    self.state.send_replace(State::Failed(error));
                    return None;
                }
            }
        }
        None
    }

    /// Whether the store is well now.
    async fn probe(&self, store: &Arc<dyn Store>, limit: Duration) -> bool {
        let answered = timeout(limit.min(PROBE_LIMIT), store.ping()).await;
        let mute = |_| {
            Err(BufferError::Unreachable(
                "it does not answer a ping".to_owned(),
            ))
        };
        if let Err(why) = answered.unwrap_or_else(mute) {
            return self.enter(|_| Some(Standing::Away(reason(&why))));
        }
        let by_write = !self.is_well();
        let written = timeout(limit, store.try_write(by_write)).await;
        let late = || format!("no write ended within {} ms", limit.as_millis());
        match written.unwrap_or_else(|_| Err(BufferError::ReadOnly(late()))) {
            Ok(()) => self.enter(|standing| match standing {
                Standing::ReadOnly { refused_at, .. } if refused_at.elapsed() < CALM => None,
                _ => Some(Standing::Well),
            }),
            Err(BufferError::Unreachable(why)) => self.refuse(BufferError::ReadOnly(why)),
            Err(why) => self.refuse(why),
        }
    }

    fn is_well(&self) -> bool {
        matches!(&*self.state.borrow(), State::Open(_, Standing::Well))
    }

    /// A write was refused, and reading is not concerned.
    fn refuse(&self, why: BufferError) -> bool {
        self.enter(|_| Some(Standing::read_only(why)))
    }

    /// A question was not answered. Where writes are refused anyway, only a ping tells whether
    /// reading is concerned, too.
    fn miss(&self, why: &BufferError) {
        self.enter(|standing| standing.is_well().then(|| Standing::Away(reason(why))));
    }

    /// Changes the standing of an open store and says so, once; whether it is well then.
    fn enter(&self, next: impl FnOnce(&Standing) -> Option<Standing>) -> bool {
        let mut is_well = false;
        self.state.send_if_modified(|state| {
            let State::Open(_, standing) = state else {
                return false;
            };
            let next = next(standing);
            let has_changed = next.is_some();
            if let Some(next) = next {
                say(standing, &next);
                *standing = next;
            }
            is_well = standing.is_well();
            has_changed
        });
        is_well
    }
}

fn say(before: &Standing, now: &Standing) {
    use Standing::{Away, ReadOnly, Well};
    match (before, now) {
        (Well | ReadOnly { .. }, Away(why)) => tracing::warn!(why, "the task buffer is away"),
        (Well | Away(_), ReadOnly { why, .. }) => {
            tracing::warn!(%why, "the task buffer takes no writes");
        }
        (Away(_), Well) => tracing::info!("the task buffer is back"),
        (ReadOnly { .. }, Well) => tracing::info!("the task buffer takes writes again"),
        (Well, Well) | (Away(_), Away(_)) | (ReadOnly { .. }, ReadOnly { .. }) => {}
    }
}

/// What is said after "the store cannot be reached:".
fn reason(why: &BufferError) -> String {
    match why {
        BufferError::Unreachable(why) => why.clone(),
        why => why.to_string(),
    }
}

/// Goes with a question. If the question is given up before it was answered (too late, or who
/// asked has gone), the keeper has a look at the store.
pub(super) struct Suspicion<'a> {
    health: &'a Health,
    lifted: bool,
}

impl<'a> Suspicion<'a> {
    pub fn new(health: &'a Health) -> Self {
        Self {
            health,
            lifted: false,
        }
    }

    /// There is an answer. If it is that the store is away, others need not wait to hear that. If
    /// it is that it takes no writes, the keeper looks until it does.
    pub fn lift<T>(mut self, answer: &Result<T, BufferError>) {
        match answer {
            Err(why @ BufferError::Unreachable(_)) => self.health.miss(why),
            Err(why @ (BufferError::ReadOnly(_) | BufferError::Full(_))) => {
                self.health.refuse(why.clone());
            }
            _ => self.lifted = true,
        }
    }
}

impl Drop for Suspicion<'_> {
    fn drop(&mut self) {
        if !self.lifted {
            self.health.suspected.notify_one();
        }
    }
}
