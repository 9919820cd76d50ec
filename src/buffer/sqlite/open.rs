//! Opening the file: the lock, its settings, its schema.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use tokio::task::spawn_blocking;

use super::place::Place;
use super::{generation, lock};
use crate::buffer::generation::Generation;
use crate::buffer::migrate::{self, APPLIED_QUERY};
use crate::buffer::{BufferError, OpenError, Options, Step};

/// How long a transaction waits for another process that writes the file (an operator's shell).
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The store's files are nobody else's business.
const FILE_MODE: u32 = 0o600;

/// The file, open for writing.
pub(super) struct Opened {
    pub connection: Connection,
    /// Where the files that are open must be found.
    pub place: Arc<Place>,
    pub generation: Generation,
    /// Held as long as the connection: one daemon a file. `None`: opened by somebody else.
    pub _lock: Option<File>,
}

pub(super) async fn for_writing(path: &Path, options: &Options) -> Result<Opened, OpenError> {
    let (migrate, file) = (options.migrate, options.generation_file.clone());
    blocking(path, move |path| {
        create_private(path)?;
        let mut place = at(path, Place::of(path))?;
        let (name, lock) = lock::take(path)?;
        at(path, place.add_lock(name, &lock))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = connect(path, flags)?;
        configure(&connection).map_err(|why| cannot_open(path, &why))?;
        let steps = pending(&connection)?;
        if migrate {
            run(&mut connection)?;
        } else if !steps.is_empty() {
            return Err(OpenError::SchemaTooOld {
                pending: steps.len(),
            });
        }
        Ok(Opened {
            place: complete(place, path)?,
            generation: generation::begin(&connection, file.as_deref())?,
            connection,
            _lock: Some(lock),
        })
    })
    .await
}

/// The file as it is, for changes beside the daemon that may have it open.
pub(super) async fn for_operating(path: &Path) -> Result<Opened, OpenError> {
    check_readable(path).await?;
    blocking(path, |path| {
        let place = at(path, Place::of(path))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = connect(path, flags)?;
        configure(&connection).map_err(|why| cannot_open(path, &why))?;
        pending(&connection)?;
        Ok(Opened {
            place: complete(place, path)?,
            generation: generation::begin(&connection, None)?,
            connection,
            _lock: None,
        })
    })
    .await
}

/// The place of a store that was just opened, unless it was changed meanwhile.
fn complete(mut place: Place, path: &Path) -> Result<Arc<Place>, OpenError> {
    at(path, place.add_log(path))?;
    let changed = |why: BufferError| OpenError::Unreachable(why.to_string());
    place.check().map_err(changed)?;
    Ok(Arc::new(place))
}

pub(super) fn at<T>(path: &Path, looked: io::Result<T>) -> Result<T, OpenError> {
    let text = |why| {
        format!(
            "cannot look at {} and the files beside it: {why}",
            path.display()
        )
    };
    looked.map_err(|why| OpenError::Unreachable(text(why)))
}

/// Checks a file that another process may write; where it is.
pub(super) async fn check_readable(path: &Path) -> Result<Arc<Place>, OpenError> {
    blocking(path, |path| {
        if !path.exists() {
            let missing = format!(
                "there is no {} yet; `gristmill serve` makes it",
                path.display()
            );
            return Err(OpenError::Unreachable(missing));
        }
        match pending(&connect_for_reading(path)?)?.len() {
            0 => at(path, Place::of(path)).map(Arc::new),
            pending => Err(OpenError::SchemaTooOld { pending }),
        }
    })
    .await
}

pub(super) fn connect_for_reading(path: &Path) -> Result<Connection, OpenError> {
    connect(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
}

/// The steps that the file's schema needs; all of them where there is no file.
pub(in crate::buffer) async fn plan(path: &Path) -> Result<Vec<Step>, OpenError> {
    blocking(path, |path| {
        if path.exists() {
            return pending(&connect_for_reading(path)?);
        }
        let folder = path.parent().unwrap_or(path);
        if !folder.is_dir() {
            let missing = format!("there is no folder {}", folder.display());
            return Err(OpenError::Invalid(missing));
        }
        migrate::pending(&migrate::sqlite(), None)
    })
    .await
}

/// Takes these steps.
pub(in crate::buffer) async fn migrate(path: &Path) -> Result<Vec<Step>, OpenError> {
    let steps = plan(path).await?;
    for_writing(path, &Options::default()).await?;
    Ok(steps)
}

pub(super) async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    let path = path.to_owned();
    let done = spawn_blocking(move || work(&path)).await;
    done.unwrap_or_else(|why| Err(OpenError::Unreachable(why.to_string())))
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, OpenError> {
    lock::refuse_another_file(path)?;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(connection)
    };
    open().map_err(|why| cannot_open(path, &why))
}

/// WAL, so that readers and the writer do not wait for each other; FULL, so that a commit is on
/// the disk when it returns.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)
}

fn pending(connection: &Connection) -> Result<Vec<Step>, OpenError> {
    let invalid = |why: rusqlite::Error| OpenError::Invalid(format!("no gristmill store: {why}"));
    let has_history = "SELECT 1 FROM sqlite_schema WHERE name = 'refinery_schema_history'";
    let history = connection
        .query_row(has_history, [], |_| Ok(()))
        .optional()
        .map_err(invalid)?;
    let applied = match history {
        None => None,
        Some(()) => connection
            .query_row(APPLIED_QUERY, [], |row| row.get(0))
            .map_err(invalid)?,
    };
    migrate::pending(&migrate::sqlite(), applied)
}

fn run(connection: &mut Connection) -> Result<(), OpenError> {
    let report = migrate::sqlite().run(connection);
    report.map(drop).map_err(|why| {
        let text = format!("the migration failed: {why}");
        let of_sqlite = why.source().and_then(|why| why.downcast_ref());
        if of_sqlite.is_some_and(passes) {
            OpenError::Unreachable(text)
        } else {
            OpenError::Invalid(text)
        }
    })
}

fn create_private(path: &Path) -> Result<(), OpenError> {
    open_private(path).map(drop)
}

pub(super) fn open_private(path: &Path) -> Result<File, OpenError> {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE);
    options.open(path).map_err(|why| match why.kind() {
        ErrorKind::NotFound => OpenError::Invalid(format!(
            "cannot create {}: its folder is not there; create it for the user that runs gristmill",
            path.display()
        )),
        // The disk's state, not ours: it may be mended while we wait.
        ErrorKind::ReadOnlyFilesystem | ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            OpenError::Unreachable(format!("cannot write {}: {why}", path.display()))
        }
        _ => OpenError::Invalid(format!("cannot open {} for writing: {why}", path.display())),
    })
}

fn cannot_open(path: &Path, why: &rusqlite::Error) -> OpenError {
    failed(&format!("cannot open {}", path.display()), why)
}

/// `what` went wrong at opening.
pub(super) fn failed(what: &str, why: &rusqlite::Error) -> OpenError {
    let text = format!("{what}: {why}");
    if passes(why) {
        OpenError::Unreachable(text)
    } else {
        OpenError::Invalid(text)
    }
}

/// Whether it may go better later: others use the file, or the disk is not well.
fn passes(why: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode as Code;
    matches!(
        why.sqlite_error_code(),
        Some(
            Code::DatabaseBusy
                | Code::DatabaseLocked
                | Code::DiskFull
                | Code::ReadOnly
                | Code::SystemIoFailure
        )
    )
}
