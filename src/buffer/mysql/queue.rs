//! Questions that wait for a task, which answers them in groups.

use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;

use crate::buffer::BufferError;

/// How many questions may wait; beyond, who asks waits.
const QUEUE: usize = 256;

/// At most so many are answered together.
const GROUP: usize = 256;

/// Where the answer to a question goes. Who asked may have gone.
pub(super) type Reply<T> = oneshot::Sender<Result<T, BufferError>>;

/// The way to the task. The task ends when this is dropped and what waits is done.
pub(super) struct Queue<Q>(mpsc::Sender<Q>);

/// The task's end of it.
pub(super) struct Waiting<Q>(mpsc::Receiver<Q>);

impl<Q> Queue<Q> {
    pub fn new() -> (Self, Waiting<Q>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        (Self(queue), Waiting(waiting))
    }

    pub async fn ask<T>(&self, question: impl FnOnce(Reply<T>) -> Q) -> Result<T, BufferError> {
        let (reply, answer) = oneshot::channel();
        let ended = || BufferError::Unreachable("the writer has ended".to_owned());
        self.0.send(question(reply)).await.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

impl<Q> Waiting<Q> {
    /// Waits for a question, and takes with it what others are just about to ask: those who were
    /// answered by the last commit come back at the same time. `false`: there will be no more.
    pub async fn gather(&mut self, group: &mut Vec<Q>) -> bool {
        let mut taken = self.0.recv_many(group, GROUP).await;
        while taken > 0 && group.len() < GROUP {
            yield_now().await;
            let before = group.len();
            while group.len() < GROUP
                && let Ok(next) = self.0.try_recv()
            {
                group.push(next);
            }
            taken = group.len() - before;
        }
        !group.is_empty()
    }
}
