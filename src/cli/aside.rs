//! Work that may wait for a file system that hangs.

use std::panic::resume_unwind;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Does it on a thread of its own, so that nobody else waits for what it waits for; `None`: it is
/// not done within the limit.
pub(super) async fn within<T: Send + 'static>(
    limit: Duration,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let here = Handle::current();
    let working = spawn_blocking(move || here.block_on(work));
    match timeout(limit, working).await {
        Ok(Ok(done)) => Some(done),
        Ok(Err(error)) if error.is_panic() => resume_unwind(error.into_panic()),
        Ok(Err(_)) | Err(_) => None,
    }
}
