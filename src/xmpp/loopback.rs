//! A small XMPP server for `gristmill demo` and for tests: one process, a handful of accounts,
//! loopback addresses only. No TLS, no stream management, no offline store, no other servers.

mod admission;
mod hub;
mod session;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use xmpp_parsers::jid::BareJid;

use hub::Hub;

use super::guard::{GuardLimits, GuardReport, Guarded};

/// Connections at a time; more wait to be accepted.
const CONNECTIONS: usize = 64;
/// From the first byte to a bound resource.
const ADMISSION_LIMIT: Duration = Duration::from_secs(20);

/// Who may log in.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its domain is one of the server's.
    pub jid: BareJid,
    /// Known to both.
    pub password: SecretString,
}

/// A server that has an address and serves nobody yet.
#[derive(Debug)]
pub struct Loopback {
    listener: TcpListener,
    address: SocketAddr,
    accounts: Accounts,
}

type Accounts = Arc<HashMap<BareJid, SecretString>>;
type Wire = Guarded<TcpStream>;

impl Loopback {
    /// Takes an address, port 0 for any free one. An address that others can reach is refused.
    pub async fn bind(
        accounts: impl IntoIterator<Item = Account>,
        address: SocketAddr,
    ) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{address} is no loopback address; this server is for one machine only"),
            ));
        }
        let listener = TcpListener::bind(address).await?;
        let accounts = accounts.into_iter();
        let accounts = accounts.map(|account| (account.jid, account.password));
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            accounts: Arc::new(accounts.collect()),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`; then every connection is closed.
    pub async fn run(self, shutdown: CancellationToken) {
        let hub = Hub::default();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if connections.len() < CONNECTIONS => {
                    match accepted {
                        Ok((tcp, _)) => {
                            let connection = serve(tcp, self.accounts.clone(), hub.clone());
                            connections.spawn(connection);
                        }
                        Err(error) => tracing::warn!(%error, "no connection was accepted"),
                    }
                }
                Some(_) = connections.join_next() => {}
                () = shutdown.cancelled() => return,
            }
        }
    }
}

/// Everything about one connection. The guard is under this parser too.
async fn serve(tcp: TcpStream, accounts: Accounts, hub: Hub) {
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "a connection broke at once");
        return;
    }
    let wire = Guarded::new(tcp, GuardLimits::default(), GuardReport::default());
    match timeout(ADMISSION_LIMIT, admission::admit(wire, &accounts)).await {
        Ok(Ok((stream, jid))) => {
            tracing::debug!(%jid, "logged in");
            session::run(stream, jid, hub).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "not admitted"),
        Err(_) => tracing::debug!("a log-in took too long"),
    }
}
