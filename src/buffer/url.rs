//! Which store: one URL chooses.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where MySQL and MariaDB listen unless the URL says otherwise.
const MYSQL_PORT: u16 = 3306;

/// The store's address. It never holds a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:/path/to/buffer.db`
    Sqlite(PathBuf),
    /// `mysql://user@host:3306/database`, or `mysql://user@localhost/database?socket=/path`
    Mysql(MysqlUrl),
}

/// The address of a MySQL or MariaDB database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MysqlUrl {
    /// Who logs in.
    pub user: String,
    /// Where the server listens.
    pub server: MysqlServer,
    /// The name of the database.
    pub database: String,
}

/// Where a MySQL or MariaDB server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MysqlServer {
    /// A host name or an IP address.
    Tcp {
        /// The host, without brackets.
        host: String,
        /// Its port.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

/// Why a text is no [`StoreUrl`]. Never quotes a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("buffer.url {0}")]
pub struct InvalidUrl(pub String);

impl StoreUrl {
    /// Reads `sqlite:/path` or `mysql://user@host:port/database`.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            return sqlite(path);
        }
        if text.starts_with("mysql:") || text.starts_with("mariadb:") {
            return mysql(text).map(Self::Mysql);
        }
        refuse(
            "must begin with sqlite: or mysql://, for instance sqlite:/var/lib/gristmill/buffer.db",
        )
    }
}

impl FromStr for StoreUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        Self::parse(text)
    }
}

fn refuse<T>(why: impl Into<String>) -> Result<T, InvalidUrl> {
    Err(InvalidUrl(why.into()))
}

fn sqlite(path: &str) -> Result<StoreUrl, InvalidUrl> {
    let path = path.strip_prefix("//").unwrap_or(path);
    match path {
        "" => refuse("names no file; for instance sqlite:/var/lib/gristmill/buffer.db"),
        ":memory:" => refuse("must name a file: a buffer in memory is not durable"),
        _ => Ok(StoreUrl::Sqlite(PathBuf::from(path))),
    }
}

fn mysql(text: &str) -> Result<MysqlUrl, InvalidUrl> {
    let url = url::Url::parse(text)
        .map_err(|why| InvalidUrl(format!("cannot be read: {why}; {MYSQL_FORM}")))?;
    if url.password().is_some() {
        return refuse("must not hold a password; put it into the file buffer.password_file");
    }
    if url.username().is_empty() {
        return refuse(format!("names no user; {MYSQL_FORM}"));
    }
    let database = decode(url.path().strip_prefix('/').unwrap_or_default())?;
    if database.is_empty() || database.contains('/') {
        return refuse(format!("must name one database; {MYSQL_FORM}"));
    }
    Ok(MysqlUrl {
        user: decode(url.username())?,
        server: server(&url)?,
        database,
    })
}

const MYSQL_FORM: &str = "the form is mysql://user@host:3306/database";

fn server(url: &url::Url) -> Result<MysqlServer, InvalidUrl> {
    let mut socket = None;
    for (name, value) in url.query_pairs() {
        if name != "socket" {
            return refuse(format!(
                "has an unknown option {name:?}; known is socket=/path"
            ));
        }
        socket = Some(PathBuf::from(value.as_ref()));
    }
    if let Some(path) = socket {
        return Ok(MysqlServer::Unix(path));
    }
    let host = url.host_str().unwrap_or_default();
    if host.is_empty() {
        return refuse(format!("names no host; {MYSQL_FORM}"));
    }
    let host = decode(host.trim_start_matches('[').trim_end_matches(']'))?;
    let port = url.port().unwrap_or(MYSQL_PORT);
    Ok(MysqlServer::Tcp { host, port })
}

fn decode(text: &str) -> Result<String, InvalidUrl> {
    let pair = format!("={}", text.replace('+', "%2B"));
    match url::form_urlencoded::parse(pair.as_bytes()).next() {
        Some((_, value)) if !value.contains(char::REPLACEMENT_CHARACTER) => Ok(value.into_owned()),
        _ => refuse("holds %-escapes that are no UTF-8"),
    }
}

impl MysqlServer {
    /// Whether what is sent there stays on this machine, so that it needs no TLS.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp { host, .. } => {
                host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Mysql(url) => url.fmt(f),
        }
    }
}

impl fmt::Display for MysqlUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, database, .. } = self;
        match &self.server {
            MysqlServer::Tcp { host, port } if host.contains(':') => {
                write!(f, "mysql://{user}@[{host}]:{port}/{database}")
            }
            MysqlServer::Tcp { host, port } => write!(f, "mysql://{user}@{host}:{port}/{database}"),
            MysqlServer::Unix(path) => {
                write!(
                    f,
                    "mysql://{user}@localhost/{database}?socket={}",
                    path.display()
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in [
            "sqlite:/var/lib/gristmill/buffer.db",
            "mysql://grist@db.example:3307/mill",
            "mysql://grist@[::1]:3306/mill",
            "mysql://grist@localhost/mill?socket=/run/mysqld/mysqld.sock",
        ] {
            assert_eq!(StoreUrl::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_port_has_a_default() {
        let url = StoreUrl::parse("mysql://u@h/d").unwrap();
        assert_eq!(url.to_string(), "mysql://u@h:3306/d");
    }

    #[test]
    fn local_is_loopback_or_a_socket() {
        for (text, local) in [
            ("mysql://u@127.0.0.1/d", true),
            ("mysql://u@[::1]/d", true),
            ("mysql://u@localhost/d", true),
            ("mysql://u@h/d?socket=/s", true),
            ("mysql://u@127.0.0.1.example/d", false),
            ("mysql://u@10.0.0.1/d", false),
        ] {
            let StoreUrl::Mysql(url) = StoreUrl::parse(text).unwrap() else {
                panic!("{text}");
            };
            assert_eq!(url.server.is_local(), local, "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, why) in [
            ("", "must begin with"),
            ("postgres://u@h/d", "must begin with"),
            ("/var/lib/buffer.db", "must begin with"),
            ("sqlite:", "names no file"),
            ("sqlite::memory:", "not durable"),
            ("mysql://u:secret@h/d", "password"),
            ("mysql://h/d", "names no user"),
            ("mysql://u@h", "one database"),
            ("mysql://u@h/", "one database"),
            ("mysql://u@h/d?tls=no", "unknown option"),
            ("mysql://u@h:99999/d", "cannot be read"),
        ] {
            let error = StoreUrl::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
            assert!(!error.contains("secret"));
        }
    }
}
