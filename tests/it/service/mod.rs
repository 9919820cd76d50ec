//! What makes it a service that operators trust: health, metrics, systemd, reload.

mod health;
mod metrics;
mod packaging;
mod reload;
mod runner;
mod stuck;
mod systemd;
mod top;
mod unread;

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::rig::process::PATIENCE;

/// Waits until something is there.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let limit = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < limit, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(50));
    }
}
