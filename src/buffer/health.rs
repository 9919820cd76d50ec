//! Whether there is a store and whether it answers. While it does not, nobody waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

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
    Up(Arc<dyn Store>),
    Down(Arc<dyn Store>),
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
            State::Up(store) => Ok(store.clone()),
            State::Down(_) => away("it did not answer, and is not back yet"),
            State::Opening => away("it is not open yet"),
            State::Failed(why) => away(&why.to_string()),
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
            while !self.probe(&store, limit.min(PROBE_LIMIT)).await {
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
                    self.state.send_replace(State::Up(store.clone()));
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

    /// Whether the store answers.
    async fn probe(&self, store: &Arc<dyn Store>, limit: Duration) -> bool {
        match timeout(limit, store.ping()).await {
            Ok(Ok(())) => {
                self.up();
                true
            }
            Ok(Err(error)) => {
                self.down(&error);
                false
            }
            Err(_) => {
                self.down(&BufferError::Unreachable(
                    "it does not answer a ping".to_owned(),
                ));
                false
            }
        }
    }

    fn up(&self) {
        let back = self.state.send_if_modified(|state| match state {
            State::Down(store) => {
                *state = State::Up(store.clone());
                true
            }
            _ => false,
        });
        if back {
            tracing::info!("the task buffer is back");
        }
    }

    fn down(&self, why: &BufferError) {
        let gone = self.state.send_if_modified(|state| match state {
            State::Up(store) => {
                *state = State::Down(store.clone());
                true
            }
            _ => false,
        });
        if gone {
            tracing::warn!(%why, "the task buffer is away");
        }
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

    /// There is an answer. If it is that the store is away, others need not wait to hear that.
    pub fn lift<T>(mut self, answer: &Result<T, BufferError>) {
        match answer {
            Err(why @ BufferError::Unreachable(_)) => self.health.down(why),
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
