//! Capturing, as far as the daemon has to do with it.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::bridge::Bridge;
use crate::capture::{Caps, Control, Recorder};
use crate::config;

/// Captures while an operator wants it.
pub struct Capture {
    pub(super) recorder: Arc<Recorder>,
    /// Where it begins at once.
    folder: Option<PathBuf>,
}

impl Capture {
    /// As it is configured. With `folder` it begins at once.
    #[must_use]
    pub fn new(config: &config::Capture, folder: Option<PathBuf>) -> Self {
        let caps = Caps {
            exchanges: config.max_exchanges,
            bytes: u64::try_from(config.max_size).unwrap_or(u64::MAX),
        };
        let recorder = Recorder::new(Control::at(&config.control), caps);
        Self {
            recorder: Arc::new(recorder),
            folder,
        }
    }
}

/// The bridge, heard by who captures.
pub(super) fn heard_by(capture: Option<&Capture>, bridge: Bridge) -> Bridge {
    match capture {
        Some(capture) => bridge.with_witness(capture.recorder.clone()),
        None => bridge,
    }
}

/// Until `stop`.
pub(super) async fn run(capture: Option<Capture>, stop: CancellationToken) {
    if let Some(Capture { recorder, folder }) = capture {
        recorder.run(folder, stop).await;
    }
}
