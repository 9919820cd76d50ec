//! The task buffer in one SQLite file: one writer thread that groups commits, readers beside it.

mod breakers;
mod changes;
mod claims;
mod generation;
mod keys;
mod kill;
mod lock;
mod log;
mod lookup;
mod notices;
mod open;
mod operations;
mod operator;
mod owners;
mod place;
mod readers;
mod writable;
mod write;
mod writer;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    BufferError, Census, Dossier, KeptJob, Kill, KnownJob, ListFilter, Lookup, OpenError, Options,
    StoreRequest, Stored, TaskBuffer,
};
use crate::job::{Attempt, JobId, JobKey, Owner, Record, RecordId, State};
use open::Opened;
use place::Place;
use readers::Readers;
use writer::Writer;

pub(super) use generation::{accept_restored, restored};
pub(super) use open::{migrate, plan};

/// The task buffer in one SQLite file.
pub struct SqliteBuffer {
    readers: Readers,
    /// `None`: opened for reading only.
    writer: Option<Writer>,
    place: Arc<Place>,
}

impl SqliteBuffer {
    /// Opens the file, or creates it; one process at a time can have it open so.
    pub async fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        Self::with_writer(path, open::for_writing(path, options).await?, options)
    }

    /// Opens a file that is there, beside whoever writes it.
    pub async fn open_for_reading(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let place = open::check_readable(path).await?;
        Ok(Self {
            readers: Readers::new(path, place.clone(), options.pool),
            writer: None,
            place,
        })
    }

    /// Opens a file that is there, for changes beside whoever has it open.
    pub async fn open_for_operating(path: &Path, options: &Options) -> Result<Self, OpenError> {
        Self::with_writer(path, open::for_operating(path).await?, options)
    }

    fn with_writer(path: &Path, file: Opened, options: &Options) -> Result<Self, OpenError> {
        Ok(Self {
            readers: Readers::new(path, file.place.clone(), options.pool),
            place: file.place.clone(),
            writer: Some(Writer::start(file)?),
        })
    }

    fn writer(&self) -> Result<&Writer, BufferError> {
        let closed = || BufferError::Unreachable("it was opened for reading only".to_owned());
        self.writer.as_ref().ok_or_else(closed)
    }
}

#[async_trait]
impl TaskBuffer for SqliteBuffer {
    async fn store(&self, request: StoreRequest) -> Result<Vec<Stored>, BufferError> {
        let bytes = request.jobs.iter().map(|job| job.payload.len()).sum();
        self.writer()?
            .ask(bytes, move |connection| write::store(connection, &request))
            .await
    }

    async fn recall(
        &self,
        owner: &Owner,
        keys: &[JobKey],
    ) -> Result<Vec<Option<KeptJob>>, BufferError> {
        let (owner, keys) = (owner.clone(), keys.to_vec());
        self.readers
            .ask(move |connection| lookup::recall(connection, &owner, &keys))
            .await
    }

    async fn find_jobs(
        &self,
        owner: &Owner,
        jobs: &[(JobId, Option<Attempt>)],
    ) -> Result<Vec<Lookup<KnownJob>>, BufferError> {
        let (owner, jobs) = (owner.clone(), jobs.to_vec());
        self.readers
            .ask(move |connection| lookup::find_jobs(connection, &owner, &jobs))
            .await
    }

    async fn find_records(
        &self,
        owner: &Owner,
        records: &[(JobId, RecordId)],
    ) -> Result<Vec<Lookup<Record>>, BufferError> {
        let (owner, records) = (owner.clone(), records.to_vec());
        self.readers
            .ask(move |connection| lookup::find_records(connection, &owner, &records))
            .await
    }

    async fn remember_rejected(
        &self,
        owner: &Owner,
        jobs: &[(JobId, Option<Attempt>)],
        at: Timestamp,
        forget_before: Timestamp,
    ) -> Result<Vec<bool>, BufferError> {
        let (owner, jobs) = (owner.clone(), jobs.to_vec());
        let write = move |connection: &_| {
            write::remember_rejected(connection, &owner, &jobs, at, forget_before)
        };
        self.writer()?.ask(0, write).await
    }

    async fn kill(
        &self,
        owner: &Owner,
        records: &[(JobId, RecordId)],
        at: Timestamp,
    ) -> Result<Vec<Lookup<Kill>>, BufferError> {
        let (owner, records) = (owner.clone(), records.to_vec());
        let write = move |connection: &_| kill::kill(connection, &owner, &records, at);
        self.writer()?.ask(0, write).await
    }

    async fn mark_told(
        &self,
        owner: &Owner,
        records: &[(RecordId, State)],
    ) -> Result<Vec<bool>, BufferError> {
        let (owner, records) = (owner.clone(), records.to_vec());
        let write = move |connection: &_| kill::mark_told(connection, &owner, &records);
        self.writer()?.ask(0, write).await
    }

    async fn list(&self, filter: &ListFilter) -> Result<Vec<Record>, BufferError> {
        let filter = filter.clone();
        self.readers
            .ask(move |connection| operator::list(connection, &filter))
            .await
    }

    async fn show(&self, id: RecordId) -> Result<Lookup<Dossier>, BufferError> {
        self.readers
            .ask(move |connection| operator::show(connection, id))
            .await
    }

    async fn unfinished_owners(&self) -> Result<Vec<(Owner, u64)>, BufferError> {
        self.readers.ask(operator::unfinished_owners).await
    }

    async fn census(&self) -> Result<Census, BufferError> {
        self.readers.ask(operator::census).await
    }

    async fn ping(&self) -> Result<(), BufferError> {
        self.readers.ask(operator::ping).await
    }

    /// A look at the disk in any case: a small write may fit in where no job does.
    async fn try_write(&self, by_write: bool) -> Result<(), BufferError> {
        self.readers.ask(writable::look).await?;
        match &self.writer {
            // Each commit writes, also that of an empty group, and has the log looked after.
            Some(writer) if by_write || log::is_large(&self.place) => {
                writer.ask(0, |_| Ok(())).await
            }
            _ => Ok(()),
        }
    }

    fn log_bytes(&self) -> Option<u64> {
        Some(self.place.log_bytes())
    }
}

/// What an SQLite error means to who asked. What is unclear counts as unreachable: it must never
/// look like an answer.
fn error(error: &rusqlite::Error) -> BufferError {
    use rusqlite::ErrorCode as Code;
    let text = error.to_string();
    match error.sqlite_error_code() {
        Some(Code::DiskFull) => BufferError::Full(text),
        _ if writable::is_refusal(error) => BufferError::ReadOnly(text),
        Some(Code::DatabaseCorrupt | Code::NotADatabase) => BufferError::Corrupt(text),
        _ => BufferError::Unreachable(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::NewJob;
    use crate::job::{ContentHash, State};

    fn request(names: &[&str], payload: &str) -> StoreRequest {
        let job = |name: &&str| NewJob {
            key: JobKey {
                job_id: JobId::new(*name).unwrap(),
                attempt: Attempt::FIRST,
            },
            content: ContentHash([0; 32]),
            priority: 0,
            state: State::Ready,
            payload: payload.to_owned(),
        };
        StoreRequest {
            owner: Owner::new("o").unwrap(),
            jobs: names.iter().map(job).collect(),
            refusals: Vec::new(),
            sent_at: Timestamp::MAX,
            prompt_until: None,
            now: Timestamp::UNIX_EPOCH,
        }
    }

    /// A store that has room for about 400 kB.
    async fn small_disk(folder: &Path) -> SqliteBuffer {
        let path = folder.join("buffer.db");
        let file = open::for_writing(&path, &Options::default()).await.unwrap();
        file.connection
            .pragma_update(None, "max_page_count", 100)
            .unwrap();
        let options = Options::default();
        SqliteBuffer::with_writer(&path, file, &options).unwrap()
    }

    /// What does not fit fails whole and leaves nothing; what fits goes on.
    #[tokio::test]
    async fn a_full_disk_is_said_and_survived() {
        let folder = tempfile::tempdir().unwrap();
        let buffer = small_disk(folder.path()).await;
        buffer.store(request(&["first"], "small")).await.unwrap();
        let large = "x".repeat(300_000);
        let (good, bad) = tokio::join!(
            buffer.store(request(&["good"], "small")),
            buffer.store(request(&["bad 1", "bad 2"], &large)),
        );
        assert!(matches!(bad, Err(BufferError::Full(_))), "{bad:?}");
        let asked = ["first", "bad 1", "bad 2", "good"];
        let asked = asked.map(|name| (JobId::new(name).unwrap(), None));
        let found = buffer
            .find_jobs(&Owner::new("o").unwrap(), &asked)
            .await
            .unwrap();
        assert!(matches!(found[0], Lookup::Found(_)));
        assert_eq!(found[1..3], [Lookup::Absent, Lookup::Absent]);
        assert_eq!(matches!(found[3], Lookup::Found(_)), good.is_ok());
        buffer.store(request(&["after"], "small")).await.unwrap();
    }
}
