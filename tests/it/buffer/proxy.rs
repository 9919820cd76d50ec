//! A TCP proxy in front of MariaDB that loses what it is told to lose, and leads new connections
//! where it is told to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// What happens to the next COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mischief {
    /// It reaches the server; then the client's connection is cut, before the answer.
    CutAfterCommit,
    /// It reaches the server; the connection stays and the answer never comes.
    SwallowAnswer,
    /// It never reaches the server, which does not see that the client's connection is cut.
    CutBeforeCommit,
}

/// The proxy; it ends with the runtime of its test.
pub struct Proxy {
    address: SocketAddr,
    next: Arc<Mutex<Option<Mischief>>>,
    server: Arc<AtomicU16>,
}

/// How a COMMIT looks on the wire.
const COMMIT: &[u8] = b"\x03COMMIT";

impl Proxy {
    pub async fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let next = Arc::new(Mutex::new(None));
        let mischief = next.clone();
        let server = Arc::new(AtomicU16::new(server_port));
        let ports = server.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let port = ports.load(Ordering::SeqCst);
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
                    continue;
                };
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                tokio::spawn(pass(client, server, mischief.clone()));
            }
        });
        Self {
            address,
            next,
            server,
        }
    }

    /// Leads new connections to another server; the others stay where they are.
    pub fn lead_to(&self, server_port: u16) {
        self.server.store(server_port, Ordering::SeqCst);
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn spoil_next_commit(&self, mischief: Mischief) {
        *self.next.lock().unwrap() = Some(mischief);
    }

    /// Whether a COMMIT has come since.
    pub fn has_spoilt(&self) -> bool {
        self.next.lock().unwrap().is_none()
    }
}

async fn pass(client: TcpStream, server: TcpStream, next: Arc<Mutex<Option<Mischief>>>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (mute, cut) = (CancellationToken::new(), CancellationToken::new());
    let answers = answers(from_server, to_client, mute.clone(), cut.clone());
    tokio::join!(orders(from_client, to_server, next, mute, cut), answers);
}

async fn orders(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    next: Arc<Mutex<Option<Mischief>>>,
    mute: CancellationToken,
    cut: CancellationToken,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = client.read(&mut buffer).await {
        let bytes = &buffer[..length];
        let is_commit = bytes.windows(COMMIT.len()).any(|window| window == COMMIT);
        let mischief = if is_commit {
            next.lock().unwrap().take()
        } else {
            None
        };
        if mischief.is_some() {
            mute.cancel();
        }
        if mischief != Some(Mischief::CutBeforeCommit) && server.write_all(bytes).await.is_err() {
            break;
        }
        match mischief {
            None | Some(Mischief::SwallowAnswer) => {}
            Some(Mischief::CutAfterCommit | Mischief::CutBeforeCommit) => {
                cut.cancel();
                // The server's side stays open until the server ends it.
                std::mem::forget(server);
                return;
            }
        }
    }
    cut.cancel();
}

async fn answers(
    mut server: OwnedReadHalf,
    client: OwnedWriteHalf,
    mute: CancellationToken,
    cut: CancellationToken,
) {
    let mut client = Some(client);
    let mut buffer = vec![0; 64 << 10];
    loop {
        tokio::select! {
            () = cut.cancelled(), if client.is_some() => client = None,
            read = server.read(&mut buffer) => match read {
                Ok(length @ 1..) if !mute.is_cancelled() => {
                    let Some(client) = &mut client else { return };
                    if client.write_all(&buffer[..length]).await.is_err() {
                        return;
                    }
                }
                Ok(1..) => {}
                _ => return,
            },
        }
    }
}
