//! Connections for reading: each question in one snapshot, on a thread that may block.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::open::connect_for_reading;
use super::place::Place;
use crate::buffer::BufferError;

/// Connections for reading, made as they are needed.
pub(super) struct Readers {
    shared: Arc<Shared>,
    /// At most so many questions read at a time.
    seats: Arc<Semaphore>,
}

struct Shared {
    path: PathBuf,
    place: Arc<Place>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub fn new(path: &Path, place: Arc<Place>, seats: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                path: path.to_owned(),
                place,
                idle: Mutex::default(),
            }),
            seats: Arc::new(Semaphore::new(seats.max(1))),
        }
    }

    /// Asks one question in one snapshot.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, BufferError> + Send + 'static,
    ) -> Result<T, BufferError> {
        let closed = |_| BufferError::Unreachable("the store is closed".to_owned());
        let seat = self.seats.clone().acquire_owned().await.map_err(closed)?;
        let shared = self.shared.clone();
        let read = spawn_blocking(move || {
            let answer = shared.read(question);
            drop(seat);
            answer
        });
        let lost = |why| Err(BufferError::Unreachable(format!("a reader failed: {why}")));
        read.await.unwrap_or_else(lost)
    }
}

impl Shared {
    fn read<T>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, BufferError>,
    ) -> Result<T, BufferError> {
        let mut connection = self.take()?;
        let snapshot = connection.transaction().map_err(|why| super::error(&why))?;
        let answer = question(&snapshot)?;
        snapshot.finish().map_err(|why| super::error(&why))?;
        self.place.check()?;
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
        Ok(answer)
    }

    fn take(&self) -> Result<Connection, BufferError> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let unreachable = |why: crate::buffer::OpenError| BufferError::Unreachable(why.to_string());
        if let Some(idle) = idle {
            return Ok(idle);
        }
        // Before and after: what was opened in between is the file that the writer has.
        self.place.check()?;
        let opened = connect_for_reading(&self.path).map_err(unreachable)?;
        self.place.check()?;
        Ok(opened)
    }
}
