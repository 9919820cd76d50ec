//! Signals of the operator or the service manager.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::{Code, Report};

/// A token that is cancelled by SIGTERM or SIGINT.
pub fn until_signalled() -> Result<CancellationToken, Report> {
    let shutdown = CancellationToken::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind).map_err(|error| {
            Report::new(Code::SystemRefuses, "signals cannot be listened to").because(error)
        })?;
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            signals.recv().await;
            tracing::info!("asked to stop");
            shutdown.cancel();
        });
    }
    Ok(shutdown)
}

/// Waits for a SIGHUP that comes from now on.
pub(super) async fn hung_up() {
    match signal(SignalKind::hangup()) {
        Ok(mut hangups) => drop(hangups.recv().await),
        Err(_) => std::future::pending().await,
    }
}
