//! SIGSTOP for a conductor: while it is frozen none of its tasks is polled, and the world goes on.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

tokio::task_local! {
    /// Whose task this is.
    static OWN: Arc<Freezer>;
}

/// Stops and continues a conductor's tasks.
#[derive(Default)]
pub struct Freezer(Mutex<Option<Vec<Waker>>>);

impl Freezer {
    pub fn freeze(&self) {
        self.0.lock().unwrap().get_or_insert_default();
    }

    pub fn thaw(&self) {
        for waker in self.0.lock().unwrap().take().unwrap_or_default() {
            waker.wake();
        }
    }

    fn is_frozen(&self, waker: &Waker) -> bool {
        let mut frozen = self.0.lock().unwrap();
        if let Some(waiting) = &mut *frozen {
            waiting.push(waker.clone());
        }
        frozen.is_some()
    }
}

/// A task that stops with the freezer, like all tasks that it begins.
pub async fn under<T>(freezer: Arc<Freezer>, task: impl Future<Output = T>) -> T {
    let inner = freezer.clone();
    OWN.scope(freezer, async move {
        let mut task = pin!(task);
        poll_fn(|context| {
            if inner.is_frozen(context.waker()) {
                return Poll::Pending;
            }
            task.as_mut().poll(context)
        })
        .await
    })
    .await
}

/// A task of whoever begins it now.
pub fn inherit<T>(task: impl Future<Output = T>) -> impl Future<Output = T> {
    let freezer = OWN.try_with(Clone::clone).ok();
    async move {
        match freezer {
            Some(freezer) => under(freezer, task).await,
            None => task.await,
        }
    }
}
