//! Whose jobs there are, and which owner each supervisor had. What writes runs in a savepoint of
//! the writer's transaction.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

use super::{SqliteBuffer, error};
use crate::buffer::owners::{self, NEXT_OWNER};
use crate::buffer::{BufferError, Owed, Owners, Peer};
use crate::job::Owner;

#[async_trait]
impl Owners for SqliteBuffer {
    async fn owners(&self) -> Result<Vec<Owner>, BufferError> {
        self.readers.ask(all).await
    }

    async fn owed(&self, owner: &Owner) -> Result<Owed, BufferError> {
        let owner = owner.clone();
        let count = move |connection: &Connection| {
            let mut count = connection.prepare_cached(&owners::owed_query())?;
            count.query_row([owner.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        };
        let counts = move |connection: &_| count(connection).map_err(|why| error(&why));
        self.readers.ask(counts).await.map(Owed::new)
    }

    async fn peers(&self, daemon: &str) -> Result<Vec<Peer>, BufferError> {
        let daemon = daemon.to_owned();
        let read = move |connection: &_| peers(connection, &daemon);
        self.readers.ask(read).await
    }

    async fn remember_peers(&self, daemon: &str, peers: &[Peer]) -> Result<(), BufferError> {
        let (daemon, peers) = (daemon.to_owned(), peers.to_vec());
        let write = move |connection: &_| {
            let remembered = remember(connection, &daemon, &peers);
            remembered.map_err(|why| error(&why))
        };
        self.writer()?.ask(0, write).await
    }
}

fn all(connection: &Connection) -> Result<Vec<Owner>, BufferError> {
    let next = |after: &str| {
        let mut find = connection.prepare_cached(NEXT_OWNER)?;
        find.query_row([after], |row| row.get::<_, String>(0))
            .optional()
    };
    let (mut found, mut last) = (Vec::new(), String::new());
    while let Some(name) = next(&last).map_err(|why| error(&why))? {
        last.clone_from(&name);
        found.push(owners::owner(name)?);
    }
    Ok(found)
}

fn peers(connection: &Connection, daemon: &str) -> Result<Vec<Peer>, BufferError> {
    let read = || {
        let mut find = connection
            .prepare_cached("SELECT jid, owner FROM supervisors WHERE daemon = ? ORDER BY jid")?;
        let rows = find.query_map([daemon], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<Vec<(String, String)>>>()
    };
    let rows = read().map_err(|why| error(&why))?;
    let rows = rows.into_iter();
    rows.map(|(jid, owner)| Ok((jid, owners::owner(owner)?)))
        .collect()
}

fn remember(connection: &Connection, daemon: &str, peers: &[Peer]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM supervisors WHERE daemon = ?")?
        .execute([daemon])?;
    let mut insert = connection
        .prepare_cached("INSERT INTO supervisors (daemon, jid, owner) VALUES (?, ?, ?)")?;
    for (jid, owner) in peers {
        insert.execute([daemon, jid, owner.as_str()])?;
    }
    Ok(())
}
