//! Where every task of a conductor begins.

use tokio::task::{AbortHandle, JoinSet};

/// Begins a task that ends, at the latest, with the set.
pub(super) fn spawn<T, Task>(tasks: &mut JoinSet<T>, task: Task) -> AbortHandle
where
    T: Send + 'static,
    Task: Future<Output = T> + Send + 'static,
{
    // A simulated conductor can be frozen: all of its tasks stop at once.
    #[cfg(test)]
    let task = super::tests::freeze::inherit(task);
    tasks.spawn(task)
}
