//! The database's schema. Who migrates it holds a named lock, for there may be many daemons.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};

use super::connect::{Server, disconnect, open_error};
use crate::buffer::migrate::{self, APPLIED_QUERY};
use crate::buffer::{MysqlUrl, OpenError, Options, Step};

/// How long another daemon may take to migrate, in seconds.
const LOCK_SECONDS: u32 = 60;

/// The server shuts down, a lock was not to be had, a deadlock, the connection was killed.
const PASSING: [u16; 4] = [1053, 1205, 1213, 1927];

/// The steps that the database's schema needs.
pub(in crate::buffer) async fn plan(
    url: &MysqlUrl,
    options: &Options,
) -> Result<Vec<Step>, OpenError> {
    let server = Server::new(url, options).await?;
    let mut conn = server.connect().await.map_err(|why| open_error(&why))?;
    let steps = pending(&mut conn).await;
    disconnect(conn, server.limit).await;
    steps
}

/// Takes these steps.
pub(in crate::buffer) async fn migrate(
    url: &MysqlUrl,
    options: &Options,
) -> Result<Vec<Step>, OpenError> {
    let server = Server::new(url, options).await?;
    let mut conn = server.connect().await.map_err(|why| open_error(&why))?;
    let steps = run(&server, &mut conn, &url.database).await;
    disconnect(conn, server.limit).await;
    steps
}

/// Brings the schema up to date if `migrate`; else it is an error if it is not.
pub(super) async fn bring_up_to_date(
    server: &Server,
    conn: &mut Conn,
    database: &str,
    migrate: bool,
) -> Result<(), OpenError> {
    match pending(conn).await?.len() {
        0 => Ok(()),
        _ if migrate => run(server, conn, database).await.map(drop),
        pending => Err(OpenError::SchemaTooOld { pending }),
    }
}

async fn pending(conn: &mut Conn) -> Result<Vec<Step>, OpenError> {
    let applied = applied(conn).await.map_err(|why| open_error(&why))?;
    migrate::pending(&migrate::mysql(), applied)
}

async fn applied(conn: &mut Conn) -> Result<Option<i32>, Error> {
    let has_history = "SELECT 1 FROM information_schema.tables
         WHERE table_schema = DATABASE() AND table_name = 'refinery_schema_history'";
    let history: Option<i32> = conn.query_first(has_history).await?;
    match history {
        None => Ok(None),
        Some(_) => Ok(conn.query_first(APPLIED_QUERY).await?.flatten()),
    }
}

async fn run(server: &Server, conn: &mut Conn, database: &str) -> Result<Vec<Step>, OpenError> {
    let name = format!("gristmill migrates {database}");
    // Names of locks have at most 64 characters.
    let lock = ("SELECT GET_LOCK(LEFT(?, 64), ?)", (&name, LOCK_SECONDS));
    let locked: Option<Option<i32>> = conn
        .exec_first(lock.0, lock.1)
        .await
        .map_err(|why| open_error(&why))?;
    if locked.flatten() != Some(1) {
        return Err(OpenError::Unreachable(
            "another gristmill migrates the store".to_owned(),
        ));
    }
    // Somebody may have been quicker.
    let steps = pending(conn).await?;
    let mut pool = server.pool();
    let report = migrate::mysql().run_async(&mut pool).await;
    // If it does not go, its connections end with us.
    let _ = tokio::time::timeout(server.limit, pool.disconnect()).await;
    report.map_err(|why| migration_error(&why))?;
    let released = conn
        .exec_drop("DO RELEASE_LOCK(LEFT(?, 64))", (&name,))
        .await;
    released.map_err(|why| open_error(&why))?;
    Ok(steps)
}

/// A server that goes away in the middle is no reason to give up: steps can be taken again.
fn migration_error(why: &refinery::Error) -> OpenError {
    let text = format!("the migration failed: {why}");
    match of_server(why) {
        Some(Error::Server(server)) if !PASSING.contains(&server.code) => OpenError::Invalid(text),
        Some(_) => OpenError::Unreachable(text),
        None => OpenError::Invalid(text),
    }
}

/// The server's or the line's error, which may be wrapped more than once.
fn of_server(why: &refinery::Error) -> Option<&Error> {
    let refinery::error::Kind::Connection(_, cause) = why.kind() else {
        return None;
    };
    let wrapped = || cause.downcast_ref().and_then(of_server);
    cause.downcast_ref().or_else(wrapped)
}
