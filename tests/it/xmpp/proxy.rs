//! A cable between the door and a real server, that can be counted and cut.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::rig::XmppServer;

/// The cable.
pub struct Proxy {
    address: SocketAddr,
    ca_file: PathBuf,
    connections: Arc<AtomicUsize>,
    /// Counts the cuts.
    cuts: watch::Sender<u32>,
}

impl Proxy {
    /// One to this server.
    pub async fn to(server: &dyn XmppServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            ca_file: server.ca_file().to_owned(),
            connections: Arc::default(),
            cuts: watch::Sender::new(0),
        };
        let (target, connections) = (server.address(), proxy.connections.clone());
        let cuts = proxy.cuts.subscribe();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(join(near, target, cuts.clone()));
            }
        });
        proxy
    }

    /// How often somebody connected through it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Cuts all connections; new ones can be made.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl XmppServer for Proxy {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn ca_file(&self) -> &Path {
        &self.ca_file
    }
}

async fn join(mut near: TcpStream, target: SocketAddr, mut cuts: watch::Receiver<u32>) {
    cuts.mark_unchanged();
    let Ok(mut far) = TcpStream::connect(target).await else {
        return;
    };
    let _ = near.set_nodelay(true).and(far.set_nodelay(true));
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = cuts.changed() => {
            // A reset, not an orderly end.
            let _ = near.set_zero_linger();
            let _ = far.set_zero_linger();
        }
    }
}
