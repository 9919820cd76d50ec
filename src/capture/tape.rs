//! From who hears to who writes: bounded in number and in bytes, so that a slow disk costs files
//! and never answers.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinHandle, spawn_blocking};

use super::control::Progress;
use super::folder::{Caps, Ended, Folder};
use crate::bridge::Exchange;

/// Exchanges that wait for the disk.
const MAX_WAITING: usize = 256;

/// What they may hold of memory, in KiB.
const MAX_WAITING_KIB: usize = 32 * 1024;

/// Exchanges on their way to one folder.
pub(super) struct Tape {
    folder: PathBuf,
    waiting: mpsc::Sender<(Exchange, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    tally: Arc<Tally>,
    writer: Option<JoinHandle<()>>,
}

/// What has become of them.
#[derive(Default)]
struct Tally {
    captured: AtomicU64,
    bytes: AtomicU64,
    dropped: AtomicU64,
    ended: Mutex<Option<String>>,
}

impl Tape {
    /// Opens a folder and begins to write below it. Where it cannot be opened, nothing runs.
    pub(super) async fn start(root: PathBuf, caps: Caps) -> Self {
        let folder = root.clone();
        let (waiting, exchanges) = mpsc::channel(MAX_WAITING);
        let tally = Arc::<Tally>::default();
        let opened = spawn_blocking(move || Folder::open(root, caps)).await;
        let writer = match opened {
            Ok(Ok(folder)) => {
                let told = tally.clone();
                Some(spawn_blocking(move || write_all(folder, exchanges, &told)))
            }
            Ok(Err(ended)) => {
                tally.end(&ended);
                None
            }
            Err(_) => None,
        };
        Self {
            folder,
            waiting,
            room: Arc::new(Semaphore::new(MAX_WAITING_KIB)),
            tally,
            writer,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        !self.waiting.is_closed()
    }

    /// Takes an exchange, or drops it.
    pub(super) fn add(&self, exchange: Exchange) {
        let kib = (exchange.document.len() + exchange.reply.len()) / 1024 + 1;
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        let room = self.room.clone().try_acquire_many_owned(kib).ok();
        let taken = room.is_some_and(|room| self.waiting.try_send((exchange, room)).is_ok());
        if !taken && self.is_running() {
            self.tally.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How it goes.
    pub(super) fn progress(&self) -> Progress {
        let number = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let ended = self.tally.ended.lock();
        Progress {
            heard: None,
            folder: Some(self.folder.clone()).filter(|_| self.is_running()),
            captured: number(&self.tally.captured),
            bytes: number(&self.tally.bytes),
            dropped: number(&self.tally.dropped),
            ended: ended.unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Writes what waits, and ends.
    pub(super) async fn finish(self) {
        drop(self.waiting);
        if let Some(writer) = self.writer {
            // It says itself where it fails.
            let _ = writer.await;
        }
    }
}

impl Tally {
    fn end(&self, ended: &Ended) {
        tracing::warn!(%ended, "nothing more is captured");
        let mut place = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(ended.to_string());
    }
}

fn write_all(
    mut folder: Folder,
    mut exchanges: mpsc::Receiver<(Exchange, OwnedSemaphorePermit)>,
    tally: &Tally,
) {
    while let Some((exchange, _room)) = exchanges.blocking_recv() {
        match folder.add(&exchange) {
            Ok(bytes) => {
                tally.bytes.fetch_add(bytes, Ordering::Relaxed);
                tally.captured.fetch_add(1, Ordering::Relaxed);
            }
            Err(ended) => return tally.end(&ended),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Owner;

    fn exchange(bytes: usize) -> Exchange {
        Exchange {
            owner: Owner::new("prodsys").unwrap(),
            call: None,
            document: "x".repeat(bytes),
            reply: String::new(),
        }
    }

    const CAPS: Caps = Caps {
        exchanges: 10,
        bytes: u64::MAX,
    };

    #[tokio::test]
    async fn what_is_too_much_is_dropped_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let tape = Tape::start(folder.path().to_owned(), CAPS).await;
        tape.add(exchange(MAX_WAITING_KIB * 1024 + 1));
        tape.add(exchange(10));
        assert_eq!(tape.progress().dropped, 1);
        let tally = tape.tally.clone();
        tape.finish().await;
        assert_eq!(tally.captured.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_is_an_end_with_a_reason() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let tape = Tape::start(file.path().join("inside"), CAPS).await;
        let progress = tape.progress();
        assert!(
            progress.ended.is_some() && !tape.is_running(),
            "{progress:?}"
        );
        assert_eq!(progress.folder, None);
    }
}
