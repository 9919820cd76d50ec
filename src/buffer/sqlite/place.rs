//! Whether the files that are open are still the ones at their paths. A file that was removed,
//! moved or replaced goes on taking commits that no later opener will find.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::buffer::BufferError;

/// The files of an open store, as they were when it was opened.
pub(super) struct Place {
    files: Vec<(PathBuf, Identity)>,
    log: Option<PathBuf>,
    /// How large the log was when it was last looked at, in bytes.
    log_bytes: AtomicU64,
}

/// Which file it is, whatever its name. It is no other file's while the file is open.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Place {
    /// The database that is at this path now.
    pub fn of(path: &Path) -> io::Result<Self> {
        let mut place = Self {
            files: Vec::new(),
            log: None,
            log_bytes: AtomicU64::default(),
        };
        place.add(path.to_owned())?;
        Ok(place)
    }

    /// Adds the write-ahead log, which is there once a connection has read the file: what was
    /// committed last is only in it.
    pub fn add_log(&mut self, path: &Path) -> io::Result<()> {
        let log = beside(path, "-wal")?;
        self.add(log.clone())?;
        self.log = Some(log);
        self.measure_log();
        Ok(())
    }

    /// How large the log is, in bytes, as far as is known.
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    /// Looks how large the log is. Whether it is the right one, [`Self::check`] tells.
    pub fn measure_log(&self) {
        if let Some(Ok(found)) = self.log.as_ref().map(fs::metadata) {
            self.log_bytes.store(found.len(), Ordering::Relaxed);
        }
    }

    /// Adds the lock; without its name another daemon could take another lock.
    pub fn add_lock(&mut self, name: PathBuf, lock: &File) -> io::Result<()> {
        let identity = Identity::of(&lock.metadata()?);
        self.files.push((name, identity));
        Ok(())
    }

    fn add(&mut self, path: PathBuf) -> io::Result<()> {
        let identity = Identity::of(&fs::metadata(&path)?);
        self.files.push((path, identity));
        Ok(())
    }

    /// Fails if one of the files is no longer the one at its path. No answer may be given then:
    /// neither `stored` nor `absent` would hold for the file that is found there later.
    pub fn check(&self) -> Result<(), BufferError> {
        for (path, opened) in &self.files {
            let path_of = path.display();
            match fs::metadata(path) {
                Ok(found) if Identity::of(&found) == *opened => (),
                Ok(_) => {
                    return Err(BufferError::Unreachable(format!(
                        "{path_of} was replaced by another file while it was open; put the \
                         first one back, or stop gristmill and run `gristmill migrate \
                         --accept-restored` to use the new one"
                    )));
                }
                Err(why) if why.kind() == io::ErrorKind::NotFound => {
                    return Err(BufferError::Unreachable(format!(
                        "{path_of} was removed or moved while it was open; put it back, or \
                         stop gristmill and run `gristmill migrate --accept-restored` to begin \
                         with a new one"
                    )));
                }
                Err(why) => {
                    return Err(BufferError::Unreachable(format!(
                        "cannot look at {path_of}: {why}"
                    )));
                }
            }
        }
        Ok(())
    }
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// The file of that name beside the database itself, whatever links lead to it.
pub(super) fn beside(path: &Path, suffix: impl AsRef<OsStr>) -> io::Result<PathBuf> {
    let mut name = path.canonicalize()?.into_os_string();
    name.push(suffix);
    Ok(PathBuf::from(name))
}
