//! How far the database is, and copies of it that were accepted.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Result};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::connect::{disconnect, open_error};
use super::reach;
use crate::buffer::generation::{Acceptance, Generation, Mark};
use crate::buffer::row::store_id;
use crate::buffer::{BufferError, MysqlUrl, OpenError, Options, Restored};
use crate::job::StoreId;

/// The server's time, in microseconds since 1970.
const NOW: &str = "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)";

/// How long a look waits for the growth that it began.
const GROWTH: Duration = Duration::from_millis(200);

/// Admits the database that was reached.
pub(super) async fn begin(
    conn: &mut Conn,
    file: Option<&Path>,
) -> std::result::Result<Generation, OpenError> {
    let (store, found) = (store(conn).await?, find(conn).await);
    let found = found.map_err(|why| open_error(&why))?;
    Generation::admit(file, &store, found)?;
    Ok(Generation::begin(file, store, found))
}

/// The generation of a database that is written to.
pub(super) struct Growing {
    generation: Generation,
    /// Held while one look makes it grow; others leave that to it.
    turn: Mutex<()>,
}

impl Growing {
    pub fn new(generation: Generation) -> Arc<Self> {
        Arc::new(Self {
            generation,
            turn: Mutex::default(),
        })
    }

    /// How far the database was.
    pub fn known(&self) -> i64 {
        self.generation.known()
    }

    /// Compares the database with what is known, then has it grow: what is answered from now on is
    /// in no copy that was made before. Where that takes long it goes on by itself: a server whose
    /// commits wait still answers questions.
    /// The inner error: it is not as far as it was.
    pub async fn look(
        self: &Arc<Self>,
        mut conn: Conn,
    ) -> Result<std::result::Result<(), BufferError>> {
        let found = find(&mut conn).await?;
        if let Err(behind) = self.generation.check(found.number) {
            return Ok(Err(behind));
        }
        let growing = self.clone();
        let grow = tokio::spawn(async move { growing.grow(conn).await });
        let _ = timeout(GROWTH, grow).await;
        Ok(Ok(()))
    }

    async fn grow(&self, mut conn: Conn) {
        let Ok(_turn) = self.turn.try_lock() else {
            return;
        };
        match grow(&mut conn).await {
            Ok(grown) => self.generation.grown(grown),
            Err(error) => tracing::debug!(%error, "the store's generation does not grow"),
        }
    }
}

/// Whether the database may lack what was answered: it is a copy that was accepted at this time or
/// later, or is not as far as it was, which no operator accepted.
pub(super) async fn may_lack(conn: &mut Conn, known: i64, since: Timestamp) -> Result<bool> {
    let find = "SELECT EXISTS (SELECT 1 FROM restored WHERE accepted_at >= ?)
                    OR EXISTS (SELECT 1 FROM generation WHERE number < ?)";
    let found = conn.exec_first(find, (since.as_microsecond(), known));
    Ok(found.await?.unwrap_or(true))
}

pub(in crate::buffer) async fn accept_restored(
    url: &MysqlUrl,
    options: &Options,
) -> std::result::Result<Restored, OpenError> {
    let file = options.generation_file.as_deref();
    let (server, _) = reach(url, options, options.migrate).await?;
    let mut conn = server.connect().await.map_err(|why| open_error(&why))?;
    let store = store(&mut conn).await?;
    let found = find(&mut conn).await.map_err(|why| open_error(&why))?;
    let next = next_id(&mut conn).await.map_err(|why| open_error(&why))?;
    let acceptance = Acceptance::new(file, &store, found, next)?;
    let accepted = accept(&mut conn, &acceptance).await;
    let (grown, accepted) = accepted.map_err(|why| open_error(&why))?;
    Generation::begin(file, store, grown);
    disconnect(conn, server.limit).await;
    accepted.ok_or_else(|| OpenError::Invalid("the acceptance is not there".to_owned()))
}

pub(in crate::buffer) async fn restored(
    url: &MysqlUrl,
    options: &Options,
) -> std::result::Result<Option<Restored>, OpenError> {
    let (server, _) = reach(url, options, false).await?;
    let mut conn = server.connect().await.map_err(|why| open_error(&why))?;
    let store = store(&mut conn).await?;
    let found = find(&mut conn).await.map_err(|why| open_error(&why))?;
    Generation::admit(options.generation_file.as_deref(), &store, found)?;
    let last = last(&mut conn).await.map_err(|why| open_error(&why));
    disconnect(conn, server.limit).await;
    last
}

/// The generation last: what fails before it leaves a copy that is still refused.
async fn accept(conn: &mut Conn, acceptance: &Acceptance) -> Result<(Mark, Option<Restored>)> {
    let insert = format!(
        "INSERT INTO restored (accepted_at, copy_at, known_at, first_lost, next_id)
         VALUES ({NOW}, ?, ?, ?, ?)"
    );
    let row = (
        acceptance.copy_at,
        acceptance.known_at,
        acceptance.first_lost,
        acceptance.next_id,
    );
    conn.exec_drop(insert, row).await?;
    let jump = format!("ALTER TABLE jobs AUTO_INCREMENT = {}", acceptance.next_id);
    conn.query_drop(jump).await?;
    // It knows no rejection of a request that was sent before.
    let forget = format!("UPDATE forgotten SET sent_before = {NOW} WHERE one = 1");
    conn.query_drop(forget).await?;
    let grow = format!("UPDATE generation SET number = ?, at = {NOW} WHERE one = 1");
    conn.exec_drop(grow, (acceptance.number,)).await?;
    Ok((find(conn).await?, last(conn).await?))
}

/// Its own number, which is durable; that of another daemon may not be yet.
async fn grow(conn: &mut Conn) -> Result<Mark> {
    let grow = format!(
        "UPDATE generation SET number = LAST_INSERT_ID(number + 1), at = {NOW} WHERE one = 1"
    );
    conn.query_drop(grow).await?;
    let number = conn.last_insert_id().unwrap_or_default().cast_signed();
    let at = find(conn).await?.at;
    Ok(Mark { number, at })
}

async fn find(conn: &mut Conn) -> Result<Mark> {
    let found: Option<(i64, i64)> = conn
        .query_first("SELECT number, at FROM generation")
        .await?;
    let none = || mysql_async::Error::Other("the table generation is empty".into());
    let (number, at) = found.ok_or_else(none)?;
    Ok(Mark { number, at })
}

/// A record ID that is above all that are there.
async fn next_id(conn: &mut Conn) -> Result<i64> {
    let next = conn
        .query_first("SELECT COALESCE(MAX(id), 0) + 1 FROM jobs")
        .await?;
    Ok(next.unwrap_or(1))
}

async fn last(conn: &mut Conn) -> Result<Option<Restored>> {
    let last = "SELECT accepted_at, copy_at, known_at, first_lost, next_id FROM restored
                ORDER BY accepted_at DESC LIMIT 1";
    Ok(conn.query_first(last).await?.map(Restored::of_row))
}

async fn store(conn: &mut Conn) -> std::result::Result<StoreId, OpenError> {
    let name = conn.query_first("SELECT id FROM store_id").await;
    let id = store_id(name.map_err(|why| open_error(&why))?);
    id.map_err(|why| OpenError::Invalid(why.to_string()))
}
