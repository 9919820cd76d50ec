//! Where a store under test lives, and a way behind its back.

use std::sync::Arc;

use gristmill::buffer::{self, Options, Store, StoreUrl};
use tempfile::TempDir;

use crate::rig::mariadb::{MariaDb, PASSWORD};

/// An empty place for one store.
pub enum Place {
    Sqlite(TempDir),
    Mysql {
        server: Arc<MariaDb>,
        database: String,
    },
}

impl Place {
    pub fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    pub fn mysql(server: &Arc<MariaDb>, database: &str) -> Self {
        server.create_database(database);
        Self::Mysql {
            server: server.clone(),
            database: database.to_owned(),
        }
    }

    /// Another empty place of the same kind.
    pub fn another(&self) -> Self {
        match self {
            Self::Sqlite(_) => Self::sqlite(),
            Self::Mysql { server, database } => Self::mysql(server, &format!("{database}_too")),
        }
    }

    pub fn url(&self) -> StoreUrl {
        let url = match self {
            Self::Sqlite(folder) => format!("sqlite:{}/buffer.db", folder.path().display()),
            Self::Mysql { server, database } => server.url(database),
        };
        StoreUrl::parse(&url).unwrap()
    }

    pub fn options(&self) -> Options {
        let password = match self {
            Self::Sqlite(_) => None,
            Self::Mysql { .. } => Some(PASSWORD.to_owned().into()),
        };
        Options {
            password,
            ..Options::default()
        }
    }

    pub async fn open(&self) -> Arc<dyn Store> {
        buffer::open(&self.url(), &self.options()).await.unwrap()
    }

    /// Another connection to the file, beside the store's own.
    pub fn sqlite_connection(&self) -> rusqlite::Connection {
        match self.url() {
            StoreUrl::Sqlite(path) => rusqlite::Connection::open(path).unwrap(),
            StoreUrl::Mysql(url) => panic!("{url} is no file"),
        }
    }

    /// Runs statements behind the store's back.
    pub fn sql(&self, statements: &str) {
        match self {
            Self::Sqlite(_) => self.sqlite_connection().execute_batch(statements).unwrap(),
            Self::Mysql { server, database } => {
                server.sql(&format!("USE `{database}`; {statements}"));
            }
        }
    }

    /// Asks for one number behind the store's back.
    pub fn number(&self, query: &str) -> i64 {
        match self {
            Self::Sqlite(_) => self
                .sqlite_connection()
                .query_row(query, [], |row| row.get(0))
                .unwrap(),
            Self::Mysql { server, database } => server
                .sql(&format!("USE `{database}`; {query}"))
                .trim()
                .parse()
                .unwrap(),
        }
    }
}
