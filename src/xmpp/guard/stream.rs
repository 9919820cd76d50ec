//! The guard on a connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::{Guard, GuardLimits, GuardReport};

/// Bytes that are read at a time.
const READ_BYTES: usize = 16 * 1024;

/// The parser's user gives a stream up that is silent for longer. A large stanza may take minutes
/// and is held until it is whole: so often, while it comes in, white space passes before it.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(10);

/// A connection whose incoming bytes go through a [`Guard`]. What is written goes out as it is.
#[derive(Debug)]
pub struct Guarded<S> {
    inner: S,
    guard: Guard,
    incoming: Box<[u8]>,
    passed: Passed,
    /// When something passed last.
    passed_at: Instant,
}

/// What the guard let through. The report gets what is in it at the end of the connection.
#[derive(Debug)]
struct Passed {
    bytes: Vec<u8>,
    /// How much of `bytes` has been read.
    consumed: usize,
    report: GuardReport,
}

impl Passed {
    fn unread(&self) -> &[u8] {
        self.bytes.get(self.consumed..).unwrap_or_default()
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        self.report.leave(std::mem::take(&mut self.bytes));
    }
}

/// There is unread input where a connection must change hands: after `<proceed/>` somebody may
/// have slipped it in before the encryption began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server sent data before encryption began; the connection may be tampered with")]
pub struct Unread;

impl<S> Guarded<S> {
    /// Guards a connection on which no stream has begun.
    pub fn new(inner: S, limits: GuardLimits, report: GuardReport) -> Self {
        Self {
            inner,
            guard: Guard::new(limits, report.clone()),
            incoming: vec![0; READ_BYTES].into_boxed_slice(),
            passed: Passed {
                bytes: Vec::new(),
                consumed: 0,
                report,
            },
            passed_at: Instant::now(),
        }
    }

    /// The connection below.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Something came in: where nothing passed for long, says that the connection lives.
    fn show_life(&mut self) {
        let silent = self.passed.bytes.is_empty() && self.guard.holds_a_stanza();
        if silent && self.passed_at.elapsed() < SIGN_OF_LIFE_EVERY {
            return;
        }
        if silent {
            self.passed.bytes.push(b' ');
        }
        self.passed_at = Instant::now();
    }

    /// Gives the connection back, with nothing read ahead. White space does not count.
    pub fn into_inner(self) -> Result<S, Unread> {
        if self.passed.unread().trim_ascii().is_empty() && self.guard.holds_nothing() {
            Ok(self.inner)
        } else {
            Err(Unread)
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncBufRead for Guarded<S> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.passed.unread().is_empty() {
            let mut buffer = ReadBuf::new(&mut this.incoming);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                break;
            }
            this.passed.bytes.clear();
            this.passed.consumed = 0;
            this.guard.feed(buffer.filled(), &mut this.passed.bytes);
            this.show_life();
        }
        Poll::Ready(Ok(this.passed.unread()))
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        self.passed.consumed += amount;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let passed = ready!(self.as_mut().poll_fill_buf(cx))?;
        let amount = passed.len().min(buffer.remaining());
        buffer.put_slice(passed.get(..amount).unwrap_or_default());
        self.consume(amount);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
