//! Log lines on their way out: a queue with a bound, and a thread of its own that empties it, so
//! that a reader that does not read holds up the log and nothing else.

use std::io::{Error, Result as IoResult, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use crate::vitals::Count;

/// The most that waits, in bytes of lines: what a reader that pauses does not lose.
const MAX_BYTES: usize = 1024 * 1024;

/// How long the end of a process waits for what is still queued.
const LAST_LINES: Duration = Duration::from_secs(1);

/// A queue of log lines. A line that does not fit is dropped and counted.
#[derive(Clone)]
pub struct LogQueue(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    /// Something has changed.
    changed: Condvar,
    dropped: Arc<Count>,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<Vec<u8>>,
    /// Of `lines`, together.
    bytes: usize,
    /// Dropped after the last of `lines`.
    dropped: u64,
    /// Whether lines that were taken are not written yet.
    writing: bool,
}

impl LogQueue {
    /// Starts the thread that writes to `out`, one line with each call of `write_all`.
    pub fn start(out: impl Write + Send + 'static) -> IoResult<Self> {
        let queue = Self(Arc::new(Shared {
            waiting: Mutex::default(),
            changed: Condvar::new(),
            dropped: Arc::default(),
        }));
        let writer = queue.clone();
        let thread = thread::Builder::new().name("log".to_owned());
        thread.spawn(move || writer.write_all_to(out))?;
        Ok(queue)
    }

    /// How many lines were dropped.
    #[must_use]
    pub fn dropped(&self) -> Arc<Count> {
        self.0.dropped.clone()
    }

    /// Waits until all is written, but not for long: a reader that does not read is not waited for.
    pub fn flush(&self) {
        let is_left = |waiting: &mut Waiting| waiting.writing || !waiting.lines.is_empty();
        let waited = self
            .0
            .changed
            .wait_timeout_while(self.lock(), LAST_LINES, is_left);
        drop(waited);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        let waiting = self.0.waiting.lock();
        waiting.unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.bytes.saturating_add(line.len()) > MAX_BYTES {
            waiting.dropped = waiting.dropped.saturating_add(1);
            self.0.dropped.add_one();
            return;
        }
        waiting.bytes += line.len();
        waiting.lines.push(line.to_owned());
        self.0.changed.notify_all();
    }

    /// Never returns.
    fn write_all_to(&self, mut out: impl Write) {
        loop {
            let (lines, dropped) = self.take();
            if dropped > 0 {
                // It is the first line of the now empty queue: where the dropped ones would stand.
                tracing::error!("{dropped} log lines were dropped");
            }
            for line in lines {
                if out.write_all(&line).is_err() {
                    self.0.dropped.add_one();
                }
            }
        }
    }

    /// All lines that wait, and how many were dropped after them; waits for some.
    fn take(&self) -> (Vec<Vec<u8>>, u64) {
        let mut waiting = self.lock();
        waiting.writing = false;
        self.0.changed.notify_all();
        let is_empty = |waiting: &mut Waiting| waiting.lines.is_empty();
        let waited = self.0.changed.wait_while(waiting, is_empty);
        waiting = waited.unwrap_or_else(PoisonError::into_inner);
        let taken = std::mem::take(&mut *waiting);
        waiting.writing = true;
        (taken.lines, taken.dropped)
    }
}

impl Write for LogQueue {
    fn write(&mut self, line: &[u8]) -> Result<usize, Error> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> IoResult<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogQueue {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, pipe};
    use std::time::Instant;

    #[test]
    fn a_reader_that_does_not_read_holds_up_nothing_and_what_is_lost_is_counted() {
        let (mut reader, writer) = pipe().unwrap();
        let queue = LogQueue::start(writer).unwrap();
        let mut log = queue.clone();
        let line = [b'x'; 1024];
        let dropped = queue.dropped();
        while dropped.get() == 0 {
            log.write_all(&line).unwrap();
        }
        let begun = Instant::now();
        queue.flush();
        assert!(begun.elapsed() >= LAST_LINES, "it waits for the last lines");

        let reading = thread::spawn(move || {
            let mut bytes = vec![0; MAX_BYTES];
            reader.read_exact(&mut bytes).unwrap();
            reader
        });
        let reader = reading.join().unwrap();
        log.write_all(b"it goes on").unwrap();
        drop(thread::spawn(move || {
            let mut reader = reader;
            let _ = reader.read_to_end(&mut Vec::new());
        }));
        queue.flush();
        let waiting = queue.lock();
        assert!(waiting.lines.is_empty() && !waiting.writing);
    }
}
