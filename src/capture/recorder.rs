//! Captures while an operator wants it.

use std::io::Error;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::control::{Control, Order, Progress};
use super::folder::Caps;
use super::tape::Tape;
use crate::bridge::{Exchange, Witness};

/// How soon an order is heard.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long the end waits for what is not written yet.
const LAST_FILES: Duration = Duration::from_secs(5);

/// How long the last word on how it went may take.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Hears what is asked and answered, and writes it down while that is wanted.
pub struct Recorder {
    control: Control,
    caps: Caps,
    tape: RwLock<Option<Tape>>,
}

impl Recorder {
    /// One that heeds orders at `control`.
    #[must_use]
    pub fn new(control: Control, caps: Caps) -> Self {
        Self {
            control,
            caps,
            tape: RwLock::default(),
        }
    }

    /// Heeds orders until `stop`, then writes what waits. With `folder` it captures there at
    /// once, and the order that is there by then is an old one.
    pub async fn run(&self, folder: Option<PathBuf>, stop: CancellationToken) {
        let mut order = None;
        if folder.is_some() {
            order = self.look().await;
            self.switch(folder).await;
        }
        let mut told = None;
        let heeding = async {
            loop {
                let new = self.look().await;
                if new != order {
                    self.switch(new.as_ref().and_then(|order| order.folder.clone()))
                        .await;
                    order = new;
                }
                self.tell(order.as_ref(), &mut told).await;
                sleep(LOOK_EVERY).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => (),
            () = heeding => (),
        }
        // A file system that hangs is not waited for.
        let _ = timeout(LAST_FILES, self.switch(None)).await;
        let _ = timeout(LAST_WORD, self.tell(order.as_ref(), &mut told)).await;
    }

    /// The order; one that cannot be read is none.
    async fn look(&self) -> Option<Order> {
        let control = self.control.clone();
        let order = on_files(move || control.order()).await;
        order.unwrap_or_else(|error| {
            tracing::debug!(%error, "capture.control cannot be read");
            None
        })
    }

    async fn switch(&self, folder: Option<PathBuf>) {
        if let Some(folder) = &folder {
            tracing::info!(folder = %folder.display(), "requests and replies are captured");
        }
        let tape = match folder {
            Some(folder) => Some(Tape::start(folder, self.caps).await),
            None => None,
        };
        let former = self.replace(tape);
        if let Some(former) = former {
            let Progress {
                captured, dropped, ..
            } = former.progress();
            tracing::info!(captured, dropped, "the capture has ended");
            former.finish().await;
        }
    }

    fn replace(&self, tape: Option<Tape>) -> Option<Tape> {
        let mut place = self.tape.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *place, tape)
    }

    /// Says how it goes, where that has changed and somebody has ever asked for it.
    async fn tell(&self, order: Option<&Order>, told: &mut Option<Progress>) {
        let progress = self.progress();
        if order.is_none() && progress.is_none() && told.is_none() {
            return;
        }
        let progress = Progress {
            heard: order.map(|order| order.since),
            ..progress.unwrap_or_default()
        };
        let before = told.replace(progress.clone());
        let dropped = before.as_ref().map_or(0, |before| before.dropped);
        if progress.dropped > dropped {
            let dropped = progress.dropped;
            tracing::warn!(dropped, "exchanges could not be captured in time");
        }
        if before.as_ref() == Some(&progress) {
            return;
        }
        let control = self.control.clone();
        if let Err(error) = on_files(move || control.tell(&progress)).await {
            tracing::warn!(%error, "capture.control cannot be written");
        }
    }

    fn progress(&self) -> Option<Progress> {
        let tape = self.tape.read().unwrap_or_else(PoisonError::into_inner);
        tape.as_ref().map(Tape::progress)
    }
}

/// Reads or writes files on a thread that may wait: the one that serves must not.
async fn on_files<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::other(error)))
}

impl Witness for Recorder {
    fn is_listening(&self) -> bool {
        let tape = self.tape.read().unwrap_or_else(PoisonError::into_inner);
        tape.as_ref().is_some_and(Tape::is_running)
    }

    fn hear(&self, exchange: Exchange) {
        let tape = self.tape.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(tape) = &*tape {
            tape.add(exchange);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    /// With one that is waited for, this test does not end.
    #[tokio::test]
    async fn a_pipe_in_the_place_of_an_order_is_no_order_and_holds_up_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("capture");
        let (pipe, mode) = (FileType::Fifo, Mode::RUSR | Mode::WUSR);
        mknodat(CWD, &place, pipe, mode, 0).unwrap();
        let caps = Caps {
            exchanges: 1,
            bytes: 1024,
        };
        let recorder = Recorder::new(Control::at(&place), caps);
        assert_eq!(recorder.look().await, None);
        let stop = CancellationToken::new();
        let ended = async {
            sleep(LOOK_EVERY).await;
            stop.cancel();
        };
        tokio::join!(recorder.run(None, stop.clone()), ended);
        assert!(!recorder.is_listening());
    }
}
