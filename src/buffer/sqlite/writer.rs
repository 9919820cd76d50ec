//! The one thread that writes. It takes all that waits and commits it as one transaction; nobody
//! is answered before the commit. A request that fails is rolled back by itself.

use std::thread;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::log;
use super::open::Opened;
use super::{error, generation};
use crate::buffer::{BufferError, OpenError};

/// How many requests may wait for the writer; beyond, who asks waits.
const QUEUE: usize = 256;

/// One transaction takes at most so many requests…
const GROUP_REQUESTS: usize = 256;

/// …and is closed once it has so many bytes of payload.
const GROUP_BYTES: usize = 8 << 20;

/// The way to the thread that writes. The thread ends, and gives the file free, when this is
/// dropped and what waits is done.
pub(super) struct Writer {
    queue: mpsc::Sender<Request>,
}

struct Request {
    bytes: usize,
    write: Box<dyn FnOnce(&Connection) -> Answer + Send>,
}

/// Hands the answer over once the commit has succeeded or failed.
type Answer = Box<dyn FnOnce(Result<(), BufferError>) + Send>;

impl Writer {
    pub fn start(file: Opened) -> Result<Self, OpenError> {
        let (queue, requests) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new().name("buffer-writer".to_owned());
        let run = move || {
            run(&file, requests);
            drop(file);
        };
        let failed = |why| OpenError::Unreachable(format!("cannot start a thread: {why}"));
        thread.spawn(run).map_err(failed)?;
        Ok(Self { queue })
    }

    /// Has `write` run in the next transaction; its answer comes after the commit. `bytes`: how
    /// much it writes, about. Once it waits it is done, whether or not who asked still waits.
    pub async fn ask<T: Send + 'static>(
        &self,
        bytes: usize,
        write: impl FnOnce(&Connection) -> Result<T, BufferError> + Send + 'static,
    ) -> Result<T, BufferError> {
        let (sender, answer) = oneshot::channel();
        let write = move |connection: &Connection| -> Answer {
            let written = in_savepoint(connection, write);
            Box::new(move |committed| {
                // Who asked may have gone.
                let _ = sender.send(committed.and(written));
            })
        };
        let write = Box::new(write);
        let ended = || BufferError::Unreachable("the writer has ended".to_owned());
        self.queue
            .send(Request { bytes, write })
            .await
            .map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

fn run(file: &Opened, mut requests: mpsc::Receiver<Request>) {
    while let Some(first) = requests.blocking_recv() {
        let mut bytes = first.bytes;
        let mut group = vec![first];
        while group.len() < GROUP_REQUESTS
            && bytes < GROUP_BYTES
            && let Ok(next) = requests.try_recv()
        {
            bytes += next.bytes;
            group.push(next);
        }
        commit(file, group);
        log::look_after(&file.connection, &file.place);
    }
}

fn commit(file: &Opened, group: Vec<Request>) {
    let connection = &file.connection;
    let begun = file.place.check().and_then(|()| {
        let begun = connection.execute_batch("BEGIN IMMEDIATE");
        begun.map_err(|why| error(&why))
    });
    let answers: Vec<_> = group
        .into_iter()
        .map(|request| (request.write)(connection))
        .collect();
    let committed = begun.and_then(|()| {
        if connection.is_autocommit() {
            return Err(rolled_back());
        }
        let grown = generation::grow(connection).map_err(|why| error(&why))?;
        file.generation.check(grown.number - 1)?;
        connection
            .execute_batch("COMMIT")
            .map_err(|why| error(&why))?;
        // Whether the file that took it is still the store's.
        file.place.check()?;
        file.generation.grown(grown);
        Ok(())
    });
    if committed.is_err() && !connection.is_autocommit() {
        // A failed commit leaves its transaction open; without this the next BEGIN would fail.
        let _ = connection.execute_batch("ROLLBACK");
    }
    for answer in answers {
        answer(committed.clone());
    }
}

/// Runs `write`; what it did is undone if it fails. Outside of a transaction it is not run: it
/// would commit by itself.
fn in_savepoint<T>(
    connection: &Connection,
    write: impl FnOnce(&Connection) -> Result<T, BufferError>,
) -> Result<T, BufferError> {
    if connection.is_autocommit() {
        return Err(rolled_back());
    }
    let execute = |sql| connection.execute_batch(sql).map_err(|why| error(&why));
    execute("SAVEPOINT request")?;
    let written = write(connection);
    if written.is_err() && !connection.is_autocommit() {
        execute("ROLLBACK TO request")?;
    }
    if !connection.is_autocommit() {
        execute("RELEASE request")?;
    }
    written
}

/// A full disk makes SQLite roll back the whole transaction by itself.
fn rolled_back() -> BufferError {
    BufferError::Full("the transaction was rolled back by another request's failure".to_owned())
}
