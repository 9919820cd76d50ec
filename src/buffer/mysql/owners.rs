//! Whose jobs there are, and which owner each supervisor had.

use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Result, Row};

use super::MysqlBuffer;
use super::session::Work;
use super::statement::{Insert, read};
use crate::buffer::owners::{self, NEXT_OWNER};
use crate::buffer::{BufferError, Owed, Owners, Peer};
use crate::job::Owner;

/// The supervisors of a daemon.
struct Remember {
    daemon: String,
    peers: Vec<Peer>,
}

#[async_trait]
impl Owners for MysqlBuffer {
    async fn owners(&self) -> std::result::Result<Vec<Owner>, BufferError> {
        let names = self
            .lines
            .ask(|mut conn| async move { names(&mut conn).await });
        names.await?.into_iter().map(owners::owner).collect()
    }

    async fn owed(&self, owner: &Owner) -> std::result::Result<Owed, BufferError> {
        let counts = self
            .lines
            .ask(|mut conn| async move { owed(&mut conn, owner).await });
        Ok(counts.await?.map(Owed::new).unwrap_or_default())
    }

    async fn peers(&self, daemon: &str) -> std::result::Result<Vec<Peer>, BufferError> {
        let rows = self
            .lines
            .ask(|mut conn| async move { peers(&mut conn, daemon).await });
        let rows = rows.await?.into_iter();
        rows.map(|(jid, owner)| Ok((jid, owners::owner(owner)?)))
            .collect()
    }

    async fn remember_peers(
        &self,
        daemon: &str,
        peers: &[Peer],
    ) -> std::result::Result<(), BufferError> {
        let (daemon, peers) = (daemon.to_owned(), peers.to_vec());
        self.tell(Remember { daemon, peers }).await
    }
}

async fn owed(conn: &mut Conn, owner: &Owner) -> Result<Option<(i64, i64)>> {
    let row: Option<Row> = conn
        .exec_first(owners::owed_query(), (owner.as_str(),))
        .await?;
    row.map(read).transpose()
}

async fn peers(conn: &mut Conn, daemon: &str) -> Result<Vec<(String, String)>> {
    let query = "SELECT jid, owner FROM supervisors WHERE daemon = ? ORDER BY jid";
    let rows: Vec<Row> = conn.exec(query, (daemon,)).await?;
    rows.into_iter().map(read).collect()
}

async fn names(conn: &mut Conn) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    loop {
        let last = names.last().map_or("", String::as_str);
        match conn.exec_first(NEXT_OWNER, (last,)).await? {
            Some(row) => {
                let (name,) = read(row)?;
                names.push(name);
            }
            None => return Ok(names),
        }
    }
}

impl Work for Remember {
    type Answer = ();
    async fn write(&self, conn: &mut Conn, budget: usize) -> Result<()> {
        let daemon = self.daemon.as_str();
        conn.exec_drop("DELETE FROM supervisors WHERE daemon = ?", (daemon,))
            .await?;
        let row = |(jid, owner): &Peer| {
            let jid = jid.as_str();
            vec![daemon.into(), jid.into(), owner.as_str().into()]
        };
        let insert = Insert {
            head: "INSERT INTO supervisors (daemon, jid, owner)",
            tail: "",
            rows: self.peers.iter().map(row).collect(),
        };
        insert.run(conn, budget).await.map(drop)
    }
}
