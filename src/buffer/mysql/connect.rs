//! Reaching the server: address, TLS, settings of a session, and what its errors mean.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{
    Conn, DriverError, Error, IoError, Opts, OptsBuilder, Pool, PoolConstraints, PoolOpts, SslOpts,
};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::lines::Age;
use crate::buffer::{BufferError, MysqlServer, MysqlUrl, OpenError, Options};

/// How many prepared statements a connection keeps.
const STATEMENTS: usize = 256;

/// How long a connection may be silent before the kernel asks whether its peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// How long the pool keeps connections that are not needed.
const IDLE: Duration = Duration::from_mins(1);

/// What every session begins with.
const SESSION: [&str; 2] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
];

/// Deadlock found; lock wait timeout exceeded.
const TRY_AGAIN: [u16; 2] = [1213, 1205];

/// Disk full; table full.
const FULL: [u16; 3] = [3, 1021, 1114];

/// The server takes no writes: table opened read-only, a read lock, `read_only`, read-only
/// transaction, read-only mode, `innodb_read_only`, group replication lets no commit pass.
const READ_ONLY: [u16; 7] = [1036, 1223, 1290, 1792, 1836, 1874, 3100];

/// The server ends the connection, or serves nothing on it: it shuts down, the session was killed
/// (MariaDB, MySQL), it was silent for too long, the server is not available, a node of a cluster
/// has lost the others.
const CLOSED: [u16; 6] = [1053, 1927, 3169, 4031, 3168, 1047];

/// Access denied (to the database, to the server), no such database, no such host or user; TLS is required.
const REFUSED: [u16; 8] = [1044, 1045, 1049, 1130, 1251, 1698, 3159, 4057];

/// How the server is reached.
#[derive(Clone)]
pub(super) struct Server {
    opts: Opts,
    pub limit: Duration,
    /// What its connections belong to that are made now.
    pub age: Age,
}

impl Server {
    pub async fn new(url: &MysqlUrl, options: &Options) -> Result<Self, OpenError> {
        let most = options.pool.max(1);
        let constraints = PoolConstraints::new(1, most).unwrap_or_default();
        // A reset would drop the prepared statements; sessions here keep no other state.
        let pool = PoolOpts::default()
            .with_constraints(constraints)
            .with_inactive_connection_ttl(IDLE)
            .with_reset_connection(false);
        let mut builder = OptsBuilder::default()
            .user(Some(&url.user))
            .pass(options.password.as_ref().map(ExposeSecret::expose_secret))
            .db_name(Some(&url.database))
            .prefer_socket(false)
            .tcp_keepalive(Some(KEEPALIVE))
            .stmt_cache_size(STATEMENTS)
            .init(SESSION.to_vec())
            .pool_opts(pool);
        builder = match &url.server {
            MysqlServer::Unix(path) => builder.socket(Some(path.to_string_lossy())),
            MysqlServer::Tcp { host, port } => builder.ip_or_hostname(host).tcp_port(*port),
        };
        if options.ca_file.is_some() || !url.server.is_local() {
            builder = builder.ssl_opts(tls(options).await?);
        }
        Ok(Self {
            opts: builder.into(),
            limit: options.timeout,
            age: Age::default(),
        })
    }

    pub fn pool(&self) -> Pool {
        Pool::new(self.opts.clone())
    }

    /// A connection of its own.
    pub async fn connect(&self) -> Result<Conn, Error> {
        self.within(Conn::new(self.opts.clone())).await
    }

    /// A connection of the pool.
    pub async fn take(&self, pool: &Pool) -> Result<Conn, BufferError> {
        self.within(pool.get_conn())
            .await
            .map_err(|why| error(&why))
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        timeout(self.limit, work)
            .await
            .unwrap_or_else(|_| Err(late()))
    }
}

/// There was no answer in time.
pub(super) fn late() -> Error {
    Error::Io(IoError::Io(std::io::ErrorKind::TimedOut.into()))
}

/// Ends a session in order, where that is quick.
pub(super) async fn disconnect(conn: Conn, limit: Duration) {
    // If it does not go, the server ends the session by itself.
    let _ = timeout(limit, conn.disconnect()).await;
}

/// The system's certificates, or those of the configured file.
async fn tls(options: &Options) -> Result<SslOpts, OpenError> {
    let roots = if let Some(path) = &options.ca_file {
        let unreadable = |why| OpenError::Invalid(format!("cannot read {}: {why}", path.display()));
        vec![tokio::fs::read(path).await.map_err(unreadable)?.into()]
    } else {
        let load = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs);
        let found = load
            .await
            .map_err(|why| OpenError::Invalid(why.to_string()))?;
        found
            .certs
            .into_iter()
            .map(|root| root.to_vec().into())
            .collect()
    };
    Ok(SslOpts::default()
        .with_disable_built_in_roots(true)
        .with_root_certs(roots))
}

/// The largest statement that the server takes, in bytes, and when it flushes its log.
pub(super) async fn settings(conn: &mut Conn) -> Result<(usize, u8), Error> {
    let query = "SELECT @@max_allowed_packet, @@innodb_flush_log_at_trx_commit";
    Ok(conn.query_first(query).await?.unwrap_or_default())
}

/// Whether a transaction that failed so may succeed when it is repeated.
pub(super) fn is_retriable(error: &Error) -> bool {
    matches!(error, Error::Server(server) if TRY_AGAIN.contains(&server.code))
}

/// Whether the connection is closed: what was asked on it has no answer, and never will.
pub(super) fn is_closed(error: &Error) -> bool {
    match error {
        // A server that does not answer in time may still do so.
        Error::Io(IoError::Io(why)) => why.kind() != std::io::ErrorKind::TimedOut,
        Error::Driver(why) => matches!(
            why,
            // The server's last word is out of order where it was not asked.
            DriverError::ConnectionClosed | DriverError::PacketOutOfOrder
        ),
        Error::Server(server) => CLOSED.contains(&server.code),
        _ => false,
    }
}

/// Whether the server says that it takes no writes. What it says so of was not done.
pub(super) fn refuses_writes(error: &Error) -> bool {
    matches!(error, Error::Server(server) if READ_ONLY.contains(&server.code))
}

/// What an error means to who asked. What is unclear counts as unreachable: it must never look
/// like an answer.
pub(super) fn error(error: &Error) -> BufferError {
    match error {
        Error::Server(server) if FULL.contains(&server.code) => {
            BufferError::Full(error.to_string())
        }
        error if refuses_writes(error) => BufferError::ReadOnly(error.to_string()),
        _ => BufferError::Unreachable(error.to_string()),
    }
}

/// What an error means to who opens the store.
pub(super) fn open_error(error: &Error) -> OpenError {
    match error {
        Error::Server(server) if REFUSED.contains(&server.code) => {
            OpenError::Refused(error.to_string())
        }
        Error::Io(IoError::Tls(why)) => OpenError::Refused(format!("TLS: {why}")),
        Error::Io(IoError::Io(why)) if is_about_tls(why) => OpenError::Refused(format!(
            "TLS: {why}; trusted are the roots in buffer.ca_file, else the system's"
        )),
        Error::Driver(DriverError::NoClientSslFlagFromServer) => OpenError::Refused(
            "the server offers no TLS; only a server on loopback or a unix socket may do without"
                .to_owned(),
        ),
        _ => OpenError::Unreachable(error.to_string()),
    }
}

fn is_about_tls(error: &std::io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
}
