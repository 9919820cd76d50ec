//! Connections: few at a time, and none for long.

use std::fs::{self, Permissions};
use std::io::{Error, ErrorKind, Result as IoResult};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

use super::Listen;

/// Connections at a time; more wait.
const MAX_CONNECTIONS: usize = 16;

/// How long a connection may last, its request and the answer together.
const MAX_LIFE: Duration = Duration::from_secs(15);

/// How long to wait after a connection could not be taken: the process has too many open files.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// Who may speak at a unix socket: its owner and group.
const SOCKET_MODE: u32 = 0o660;

/// The place is taken, or may not be used.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BindError(#[from] pub Error);

impl BindError {
    /// Whether another process has it.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.0.kind() == ErrorKind::AddrInUse
    }
}

/// The door's place, taken.
pub struct Listener {
    place: Place,
    room: Arc<Semaphore>,
}

enum Place {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Takes the place; `None`: the door is off.
    pub async fn bind(listen: &Listen) -> Result<Option<Self>, BindError> {
        let place = match listen {
            Listen::Off => return Ok(None),
            Listen::Tcp(address) => {
                let listener = TcpListener::bind(address).await?;
                tracing::info!(address = %listener.local_addr()?, "health and metrics are served");
                Place::Tcp(listener)
            }
            Listen::Unix(path) => {
                drop_stale(path)?;
                let listener = UnixListener::bind(path)?;
                fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
                tracing::info!(path = %path.display(), "health and metrics are served");
                Place::Unix(listener, path.clone())
            }
        };
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        Ok(Some(Self { place, room }))
    }

    /// Whether any program of this machine can reach it, a web browser among them.
    pub(super) fn is_tcp(&self) -> bool {
        matches!(self.place, Place::Tcp(_))
    }
}

/// Removes a socket that nobody listens at any more.
fn drop_stale(path: &Path) -> IoResult<()> {
    let there = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        there => there?,
    };
    if !there.file_type().is_socket() {
        let what = "there is a file that is no socket";
        return Err(Error::new(ErrorKind::AlreadyExists, what));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
        Ok(_) => Err(ErrorKind::AddrInUse.into()),
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Place::Unix(_, path) = &self.place {
            // One that is left behind is replaced by the next start.
            let _ = fs::remove_file(path);
        }
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = ();

    async fn accept(&mut self) -> (Connection, ()) {
        let room = self.room.clone().acquire_owned().await.ok();
        loop {
            let accepted: IoResult<Box<dyn Socket>> = match &self.place {
                Place::Tcp(listener) => listener.accept().await.map(|(tcp, _)| Box::new(tcp) as _),
                Place::Unix(listener, _) => {
                    listener.accept().await.map(|(unix, _)| Box::new(unix) as _)
                }
            };
            match accepted {
                Ok(socket) => return (Connection::new(socket, room), ()),
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be taken");
                    sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }

    fn local_addr(&self) -> IoResult<()> {
        Ok(())
    }
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A connection that ends by itself.
pub struct Connection {
    socket: Box<dyn Socket>,
    end: Pin<Box<Sleep>>,
    /// Given back when it is over.
    _room: Option<OwnedSemaphorePermit>,
}

impl Connection {
    fn new(socket: Box<dyn Socket>, room: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            socket,
            end: Box::pin(sleep(MAX_LIFE)),
            _room: room,
        }
    }

    fn check(&mut self, context: &mut Context<'_>) -> IoResult<()> {
        match self.end.as_mut().poll(context) {
            Poll::Ready(()) => Err(ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<IoResult<()>> {
        self.check(context)?;
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<IoResult<usize>> {
        self.check(context)?;
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<IoResult<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<IoResult<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
