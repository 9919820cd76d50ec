//! How far a store is, noted outside of it: an older copy of a store does not know what was answered
//! since it was made, and would deny it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use jiff::Timestamp;
use rustix::process::geteuid;

use super::{BufferError, OpenError};
use crate::job::StoreId;

/// The file is this user's alone.
const FILE_MODE: u32 = 0o600;

/// By so much an accepted copy grows beyond what is known outside of it, and so many record IDs and
/// more it leaves out: more than were used since the copy was made.
const JUMP: i64 = 1_000_000_000;

/// How far a store is, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub number: i64,
    /// In microseconds since 1970.
    pub at: i64,
}

/// The generation of a store that is open for writing.
pub(super) struct Generation {
    known: AtomicI64,
    note: Option<Note>,
}

/// The file outside of the store.
struct Note {
    file: File,
    store: StoreId,
    failed: AtomicBool,
}

impl Generation {
    /// Refuses a store that is another one than `path` names, or is not as far as that says. No
    /// file is no evidence: of a new installation, or of a store that was moved to this machine.
    pub fn admit(path: Option<&Path>, store: &StoreId, found: Mark) -> Result<(), OpenError> {
        match path.map(read).transpose()?.flatten() {
            Some(noted) if noted.store != store.as_str() => Err(OpenError::Replaced {
                known_at: time(noted.mark.at),
            }),
            Some(noted) if found.number < noted.mark.number => Err(OpenError::Restored {
                copy_at: time(found.at),
                known_at: time(noted.mark.at),
            }),
            _ => Ok(()),
        }
    }

    /// Goes on from `mark`, which the store has, durably.
    pub fn begin(path: Option<&Path>, store: StoreId, mark: Mark) -> Self {
        let note = path.and_then(|path| {
            if !path.exists() {
                tracing::info!(
                    path = %path.display(),
                    "how far the store is was not noted there yet: it is taken as it is, and noted \
                     from now on"
                );
            }
            let file = write(path, &line(&store, mark));
            let failed = AtomicBool::new(false);
            match file {
                Ok(file) => Some(Note {
                    file,
                    store,
                    failed,
                }),
                Err(error) => {
                    warn(path, &error);
                    None
                }
            }
        });
        Self {
            known: AtomicI64::new(mark.number),
            note,
        }
    }

    /// How far the store was.
    pub fn known(&self) -> i64 {
        self.known.load(Ordering::Relaxed)
    }

    /// Fails where the store is not as far as it was.
    pub fn check(&self, number: i64) -> Result<(), BufferError> {
        if number >= self.known() {
            return Ok(());
        }
        Err(BufferError::Unreachable(
            "it was replaced by an older copy of itself; stop gristmill, then put the newest one \
             back or run `gristmill migrate --accept-restored`"
                .to_owned(),
        ))
    }

    /// The store has grown to `mark`, durably. It is noted before anything is answered, but not
    /// flushed to the disk: that is needed only where the machine itself crashes.
    pub fn grown(&self, mark: Mark) {
        self.known.fetch_max(mark.number, Ordering::Relaxed);
        let Some(note) = &self.note else {
            return;
        };
        let written = note
            .file
            .write_all_at(line(&note.store, mark).as_bytes(), 0);
        if let Err(error) = written
            && !note.failed.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%error, "the store's generation cannot be noted outside of it");
        }
    }
}

/// A store that cannot be noted is served all the same: its answers are right as long as it is not
/// replaced by a copy.
fn warn(path: &Path, error: &io::Error) {
    tracing::warn!(
        path = %path.display(),
        %error,
        "the store's generation cannot be noted there; an older copy of the store will not be \
         noticed (buffer.generation_file)"
    );
}

/// What a copy becomes that an operator accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Acceptance {
    pub copy_at: i64,
    pub known_at: i64,
    pub number: i64,
    pub first_lost: i64,
    pub next_id: i64,
}

impl Acceptance {
    /// Of a copy that is `found` so and gives its next record this ID at least. Of another store
    /// than the one that was answered from, nothing is there.
    pub fn new(
        path: Option<&Path>,
        store: &StoreId,
        found: Mark,
        next_id: i64,
    ) -> Result<Self, OpenError> {
        let noted = path.map(read).transpose()?.flatten();
        let is_another = noted
            .as_ref()
            .is_some_and(|noted| noted.store != store.as_str());
        let known = noted.map_or(found, |noted| noted.mark);
        let number = found.number.max(known.number).saturating_add(JUMP);
        let (copy_at, first_lost) = if is_another {
            (0, 1)
        } else {
            (found.at, next_id)
        };
        Ok(Self {
            copy_at,
            known_at: known.at.max(found.at),
            number,
            first_lost,
            // The generation makes it another lot for each copy.
            next_id: next_id.saturating_add(number),
        })
    }
}

/// A copy that was put in the store's place and accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When the copy was last written to, about.
    pub copy_at: Timestamp,
    /// Until when the lost store is known to have been written to.
    pub known_at: Timestamp,
    /// Record IDs that may have been given to jobs that are lost: from this one on…
    pub first_lost: i64,
    /// …and below this one.
    pub next_id: i64,
}

impl Restored {
    /// Of a row (`accepted_at`, `copy_at`, `known_at`, `first_lost`, `next_id`).
    pub(super) fn of_row(row: (i64, i64, i64, i64, i64)) -> Self {
        Self {
            accepted_at: time(row.0),
            copy_at: time(row.1),
            known_at: time(row.2),
            first_lost: row.3,
            next_id: row.4,
        }
    }
}

fn time(at: i64) -> Timestamp {
    Timestamp::from_microsecond(at).unwrap_or_default()
}

/// What is noted outside of the store.
struct Noted {
    store: String,
    mark: Mark,
}

/// What is noted; `None`: there is no such file.
fn read(path: &Path) -> Result<Option<Noted>, OpenError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(None),
        Err(why) => {
            let text = format!("cannot read {}: {why}", path.display());
            return Err(OpenError::Invalid(text));
        }
    };
    let words: Vec<_> = text.split_whitespace().collect();
    let noted = match words[..] {
        [store, number, at] => noted(store, number, at),
        _ => None,
    };
    let unreadable = || {
        OpenError::Invalid(format!(
            "{} does not say how far the store was; if the store is the newest one, remove that file",
            path.display()
        ))
    };
    noted.ok_or_else(unreadable).map(Some)
}

fn noted(store: &str, number: &str, at: &str) -> Option<Noted> {
    let mark = Mark {
        number: number.parse().ok()?,
        at: at.parse().ok()?,
    };
    let store = store.to_owned();
    Some(Noted { store, mark })
}

/// Always of one length for one store, so that it can be written over in place.
fn line(store: &StoreId, mark: Mark) -> String {
    format!("{store} {:020} {:020}\n", mark.number, mark.at)
}

/// Makes the file anew, durably, and keeps it open.
fn write(path: &Path, line: &str) -> io::Result<File> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut new = path.to_owned().into_os_string();
    new.push(".new");
    let new = PathBuf::from(new);
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE);
    let mut file = options.open(&new)?;
    if geteuid().is_root() {
        // An operator's command may run as root; the daemon has to read and write it.
        let owner = fs::metadata(folder)?;
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(line.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()?;
    Ok(file)
}
