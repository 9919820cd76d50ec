//! Captures while an operator wants it.

use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::control::{Control, Order, Progress};
use super::folder::Caps;
use super::tape::Tape;
use crate::bridge::{Exchange, Witness};

/// How soon an order is heard.
const LOOK_EVERY: Duration = Duration::from_millis(500);

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
            order = self.look();
            self.switch(folder).await;
        }
        let mut told = None;
        loop {
            let new = self.look();
            if new != order {
                self.switch(new.as_ref().and_then(|order| order.folder.clone()))
                    .await;
                order = new;
            }
            self.tell(order.as_ref(), &mut told);
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(LOOK_EVERY) => {}
            }
        }
        self.switch(None).await;
        self.tell(order.as_ref(), &mut told);
    }

    /// The order; one that cannot be read is none.
    fn look(&self) -> Option<Order> {
        let order = self.control.order();
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
    fn tell(&self, order: Option<&Order>, told: &mut Option<Progress>) {
        let tape = self.tape.read().unwrap_or_else(PoisonError::into_inner);
        let progress = tape.as_ref().map(Tape::progress);
        drop(tape);
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
        if before.as_ref() != Some(&progress)
            && let Err(error) = self.control.tell(&progress)
        {
            tracing::warn!(%error, "capture.control cannot be written");
        }
    }
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
