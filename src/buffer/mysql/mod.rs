//! The task buffer in a MySQL or MariaDB database: one writer that groups commits, a pool of
//! connections for reading.

mod about;
mod apply;
mod batch;
mod breakers;
mod claim;
mod claims;
mod columns;
mod connect;
mod desk;
mod doubt;
mod generation;
mod group;
mod keys;
mod kill;
mod lines;
mod lookup;
mod notices;
mod operations;
mod operator;
mod owners;
mod queue;
mod rejections;
mod rows;
mod schema;
mod session;
mod standing;
mod statement;
mod told;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::{
    BufferError, Census, Dossier, KeptJob, Kill, KnownJob, ListFilter, Lookup, MysqlUrl, OpenError,
    Options, StoreRequest, Stored, TaskBuffer,
};
use crate::buffer::row;
use crate::job::{Attempt, JobId, JobKey, Owner, Record, RecordId, State};
use connect::{Server, open_error, settings};
use desk::Desk;
use generation::Growing;
use lines::Lines;
use session::{Session, Work};
use writer::Writer;

pub(super) use about::{time, version};
pub(super) use generation::{accept_restored, restored};
pub(super) use schema::{migrate, plan};

/// The smallest `max_allowed_packet` that makes sense, in bytes.
const MIN_PACKET: usize = 1 << 20;

/// The task buffer in a MySQL or MariaDB database.
pub struct MysqlBuffer {
    /// For reading.
    lines: Lines,
    /// `None`: opened for reading only.
    writing: Option<Writing>,
}

/// What changes the store, each part in a session of its own.
struct Writing {
    /// For supervisors.
    writer: Writer,
    /// For conductors.
    desk: Desk,
    /// Keeps what supervisors are told unasked, and what a holder promises; no other request waits for it.
    teller: Mutex<Session>,
    /// For operators.
    operator: Mutex<Session>,
    /// How far the database was.
    generation: Arc<Growing>,
}

/// What `innodb_flush_log_at_trx_commit` must be, so that a commit is on the disk when it returns.
const FLUSH_EACH_COMMIT: u8 = 1;

impl MysqlBuffer {
    /// Connects for reading and writing.
    pub async fn open(url: &MysqlUrl, options: &Options) -> Result<Self, OpenError> {
        let (server, packet) = reach(url, options, options.migrate).await?;
        let mut conn = server.connect().await.map_err(|why| open_error(&why))?;
        let generation = generation::begin(&mut conn, options.generation_file.as_deref()).await?;
        connect::disconnect(conn, server.limit).await;
        Ok(Self {
            lines: Lines::new(server.clone()),
            writing: Some(Writing {
                writer: Writer::start(server.clone(), packet),
                desk: Desk::start(&server, packet),
                teller: Mutex::new(Session::new(server.clone(), packet)),
                operator: Mutex::new(Session::new(server, packet)),
                generation: Growing::new(generation),
            }),
        })
    }

    /// Connects for reading.
    pub async fn open_for_reading(url: &MysqlUrl, options: &Options) -> Result<Self, OpenError> {
        let (server, _) = reach(url, options, false).await?;
        Ok(Self {
            lines: Lines::new(server),
            writing: None,
        })
    }

    fn writing(&self) -> Result<&Writing, BufferError> {
        let closed = || BufferError::Unreachable("it was opened for reading only".to_owned());
        self.writing.as_ref().ok_or_else(closed)
    }

    fn writer(&self) -> Result<&Writer, BufferError> {
        Ok(&self.writing()?.writer)
    }

    /// Does what is seldom and small.
    async fn tell<W: Work>(&self, work: W) -> Result<W::Answer, BufferError> {
        self.writing()?.teller.lock().await.repeatable(&work).await
    }

    /// Does what an operator wants.
    async fn operate_by<W: Work>(&self, work: W) -> Result<W::Answer, BufferError> {
        self.writing()?
            .operator
            .lock()
            .await
            .repeatable(&work)
            .await
    }
}

/// The server and its largest packet, once the schema is as it must be.
async fn reach(
    url: &MysqlUrl,
    options: &Options,
    migrate: bool,
) -> Result<(Server, usize), OpenError> {
    let server = Server::new(url, options).await?;
    let mut conn = server.connect().await.map_err(|why| open_error(&why))?;
    schema::bring_up_to_date(&server, &mut conn, &url.database, migrate).await?;
    let settings = settings(&mut conn).await;
    let (packet, flush) = settings.map_err(|why| open_error(&why))?;
    connect::disconnect(conn, server.limit).await;
    if packet < MIN_PACKET {
        return Err(OpenError::Invalid(format!(
            "the server's max_allowed_packet is {packet} bytes; set it to 16M or more"
        )));
    }
    if flush != FLUSH_EACH_COMMIT {
        tracing::warn!(
            innodb_flush_log_at_trx_commit = flush,
            "the server may lose jobs that were answered `stored` when it crashes; \
             set innodb_flush_log_at_trx_commit = 1 in its configuration"
        );
    }
    Ok((server, packet))
}

#[async_trait]
impl TaskBuffer for MysqlBuffer {
    async fn store(&self, request: StoreRequest) -> Result<Vec<Stored>, BufferError> {
        self.writer()?.store(request).await
    }

    /// To fetch the payloads from the server takes longer than to read the jobs anew.
    async fn recall(
        &self,
        _: &Owner,
        keys: &[JobKey],
    ) -> Result<Vec<Option<KeptJob>>, BufferError> {
        Ok(vec![None; keys.len()])
    }

    async fn find_jobs(
        &self,
        owner: &Owner,
        jobs: &[(JobId, Option<Attempt>)],
    ) -> Result<Vec<Lookup<KnownJob>>, BufferError> {
        self.lines
            .ask(|mut conn| async move { lookup::find_jobs(&mut conn, owner, jobs).await })
            .await
    }

    async fn find_records(
        &self,
        owner: &Owner,
        records: &[(JobId, RecordId)],
    ) -> Result<Vec<Lookup<Record>>, BufferError> {
        self.lines
            .ask(|mut conn| async move { lookup::find_records(&mut conn, owner, records).await })
            .await
    }

    async fn remember_rejected(
        &self,
        owner: &Owner,
        jobs: &[(JobId, Option<Attempt>)],
        at: Timestamp,
        forget_before: Timestamp,
    ) -> Result<Vec<bool>, BufferError> {
        let rejection = rejections::Rejection {
            owner: owner.clone(),
            jobs: jobs.to_vec(),
            at,
            forget_before,
            generation: self.writing()?.generation.known(),
        };
        self.writer()?.remember(rejection).await
    }

    async fn kill(
        &self,
        owner: &Owner,
        records: &[(JobId, RecordId)],
        at: Timestamp,
    ) -> Result<Vec<Lookup<Kill>>, BufferError> {
        let wish = kill::Wish {
            owner: owner.clone(),
            records: records.to_vec(),
            at,
        };
        self.writer()?.kill(wish).await
    }

    async fn mark_told(
        &self,
        owner: &Owner,
        records: &[(RecordId, State)],
    ) -> Result<Vec<bool>, BufferError> {
        let telling = told::Telling {
            owner: owner.clone(),
            records: records.to_vec(),
        };
        self.writer()?.tell(telling).await
    }

    async fn list(&self, filter: &ListFilter) -> Result<Vec<Record>, BufferError> {
        self.lines
            .ask(|mut conn| async move { operator::list(&mut conn, filter).await })
            .await
    }

    async fn show(&self, id: RecordId) -> Result<Lookup<Dossier>, BufferError> {
        let shown = self
            .lines
            .ask(|mut conn| async move { operator::show(&mut conn, id).await });
        shown.await?
    }

    async fn unfinished_owners(&self) -> Result<Vec<(Owner, u64)>, BufferError> {
        let owners = self
            .lines
            .ask(|mut conn| async move { operator::unfinished_owners(&mut conn).await });
        row::owners(owners.await?)
    }

    async fn census(&self) -> Result<Census, BufferError> {
        self.lines
            .ask(|mut conn| async move { operator::census(&mut conn).await })
            .await
    }

    async fn ping(&self) -> Result<(), BufferError> {
        let Some(writing) = &self.writing else {
            return self
                .lines
                .ask(|mut conn| async move { operator::ping(&mut conn).await })
                .await;
        };
        self.lines
            .ask(|conn| async move { writing.generation.look(conn).await })
            .await?
    }

    async fn try_write(&self, _: bool) -> Result<(), BufferError> {
        self.lines
            .ask(|mut conn| async move { operator::try_write(&mut conn).await })
            .await
    }
}
