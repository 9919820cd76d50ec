//! From a URL to a store: opened, at the right schema.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use super::{Operations, Restored, Step, Store, StoreUrl, mysql, sqlite};

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The database user's password.
    pub password: Option<SecretString>,
    /// Trust these certificates (PEM) instead of the system's; then TLS is used on loopback, too.
    pub ca_file: Option<PathBuf>,
    /// At most so many connections (MySQL) or readers (SQLite).
    pub pool: usize,
    /// How long one step towards the server may take: connecting, a statement of the writer.
    pub timeout: Duration,
    /// Whether the schema is brought up to date; else an old one is an error.
    pub migrate: bool,
    /// Where it is noted how far the store is, outside of it. `None`: nowhere; then an older copy of
    /// the store is not noticed.
    pub generation_file: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            password: None,
            ca_file: None,
            pool: 16,
            timeout: Duration::from_secs(2),
            migrate: true,
            generation_file: None,
        }
    }
}

/// Why a store cannot be opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be reached now; trying again helps.
    #[error("the store cannot be reached: {0}")]
    Unreachable(String),
    /// Another daemon has it.
    #[error("{} is in use by another gristmill; one daemon a file", .0.display())]
    InUse(PathBuf),
    /// A newer program has migrated it.
    #[error(
        "the store's schema has version {found}, and this program knows versions up to {known}; \
         run the newer gristmill that migrated it"
    )]
    SchemaTooNew {
        /// What the store has.
        found: i32,
        /// The latest that this program knows.
        known: i32,
    },
    /// It needs a migration, which was not asked for.
    #[error("the store's schema lacks {pending} step(s); run `gristmill migrate`")]
    SchemaTooOld {
        /// How many steps it lacks.
        pending: usize,
    },
    /// The server does not let us in.
    #[error("the store refuses us: {0}")]
    Refused(String),
    /// It is older than what was answered from it.
    #[error(
        "the store is a copy that was last written to at {copy_at}, and answers were given from it \
         until {known_at}"
    )]
    Restored {
        /// When the copy was last written to, about.
        copy_at: Timestamp,
        /// Until when the store was written to, as far as is known.
        known_at: Timestamp,
    },
    /// It is another one than the one that was answered from.
    #[error("the store is not the one that answers were given from until {known_at}")]
    Replaced {
        /// Until when the other one was written to, as far as is known.
        known_at: Timestamp,
    },
    /// It holds jobs of owners that no supervisor has, or other supervisors than before.
    #[error("a supervisor would be answered `rejected` about jobs that it handed in, those of {0}")]
    Orphaned(String),
    /// What is configured, or what is there, cannot serve as a store.
    #[error("{0}")]
    Invalid(String),
}

impl OpenError {
    /// Whether trying again helps.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

/// Opens a store for reading and writing.
pub async fn open(url: &StoreUrl, options: &Options) -> Result<Arc<dyn Store>, OpenError> {
    Ok(match url {
        StoreUrl::Sqlite(path) => Arc::new(sqlite::SqliteBuffer::open(path, options).await?),
        StoreUrl::Mysql(url) => Arc::new(mysql::MysqlBuffer::open(url, options).await?),
    })
}

/// Opens a store for an operator's questions, beside a running daemon. What would change it is
/// answered [`super::BufferError::Unreachable`].
pub async fn open_for_reading(
    url: &StoreUrl,
    options: &Options,
) -> Result<Arc<dyn Operations>, OpenError> {
    Ok(match url {
        StoreUrl::Sqlite(path) => {
            Arc::new(sqlite::SqliteBuffer::open_for_reading(path, options).await?)
        }
        StoreUrl::Mysql(url) => Arc::new(mysql::MysqlBuffer::open_for_reading(url, options).await?),
    })
}

/// Opens a store that is there for an operator's changes, beside a running daemon or without one.
pub async fn open_for_operating(
    url: &StoreUrl,
    options: &Options,
) -> Result<Arc<dyn Operations>, OpenError> {
    Ok(match url {
        StoreUrl::Sqlite(path) => {
            Arc::new(sqlite::SqliteBuffer::open_for_operating(path, options).await?)
        }
        StoreUrl::Mysql(url) => Arc::new(mysql::MysqlBuffer::open(url, &as_it_is(options)).await?),
    })
}

/// Options that leave the schema as it is.
fn as_it_is(options: &Options) -> Options {
    Options {
        migrate: false,
        ..options.clone()
    }
}

/// The migration steps that the store still needs. Changes nothing.
pub async fn plan(url: &StoreUrl, options: &Options) -> Result<Vec<Step>, OpenError> {
    match url {
        StoreUrl::Sqlite(path) => sqlite::plan(path).await,
        StoreUrl::Mysql(url) => mysql::plan(url, options).await,
    }
}

/// All steps that this program knows for such a store.
#[must_use]
pub fn steps(url: &StoreUrl) -> Vec<Step> {
    super::migrate::steps(&match url {
        StoreUrl::Sqlite(_) => super::migrate::sqlite(),
        StoreUrl::Mysql(_) => super::migrate::mysql(),
    })
}

/// Which program the store is kept by, and its version.
pub async fn store_version(url: &StoreUrl, options: &Options) -> Result<String, OpenError> {
    match url {
        StoreUrl::Sqlite(_) => Ok(format!("SQLite {}", rusqlite::version())),
        StoreUrl::Mysql(url) => mysql::version(url, options).await,
    }
}

/// What time it is at the store; `None`: it is a file of this machine.
pub async fn store_time(url: &StoreUrl, options: &Options) -> Result<Option<Timestamp>, OpenError> {
    match url {
        StoreUrl::Sqlite(_) => Ok(None),
        StoreUrl::Mysql(url) => mysql::time(url, options).await.map(Some),
    }
}

/// Brings the store's schema up to date; the steps that were taken. Creates an SQLite file that
/// is not there.
pub async fn migrate(url: &StoreUrl, options: &Options) -> Result<Vec<Step>, OpenError> {
    match url {
        StoreUrl::Sqlite(path) => sqlite::migrate(path).await,
        StoreUrl::Mysql(url) => mysql::migrate(url, options).await,
    }
}

/// Takes the store for the right one although it is an older copy. What was answered since the copy
/// was made is unknown for as long as a rejection would be remembered.
pub async fn accept_restored(url: &StoreUrl, options: &Options) -> Result<Restored, OpenError> {
    match url {
        StoreUrl::Sqlite(path) => sqlite::accept_restored(path, options).await,
        StoreUrl::Mysql(url) => mysql::accept_restored(url, options).await,
    }
}

/// The copy of the store that was accepted last; an error where it is a copy that was not accepted.
pub async fn restored(url: &StoreUrl, options: &Options) -> Result<Option<Restored>, OpenError> {
    match url {
        StoreUrl::Sqlite(path) => sqlite::restored(path, options).await,
        StoreUrl::Mysql(url) => mysql::restored(url, options).await,
    }
}
