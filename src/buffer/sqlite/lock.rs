//! The lock beside the file: one daemon has it, and notes in it which file it has open.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::open::{at, open_private};
use super::place;
use crate::buffer::OpenError;

/// How long an opener waits for a predecessor that is just ending.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it looks meanwhile.
const POLL: Duration = Duration::from_millis(20);

/// The note is no longer, in bytes.
const MAX_NOTE_BYTES: u64 = 64;

/// Takes the lock, whose name is that of the file itself, whatever links lead to it.
pub(super) fn take(path: &Path) -> Result<(PathBuf, File), OpenError> {
    let unreadable = |why| OpenError::Invalid(format!("cannot find {}: {why}", path.display()));
    let name = place::beside(path, ".lock").map_err(unreadable)?;
    let file = open_private(&name)?;
    let begin = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if begin.elapsed() < PATIENCE => {
                std::thread::sleep(POLL);
            }
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(path.to_owned())),
            Err(TryLockError::Error(why)) => {
                return Err(OpenError::Invalid(format!(
                    "cannot lock {}: {why}",
                    name.display()
                )));
            }
        }
    }
    at(path, note(path, &file))?;
    Ok((name, file))
}

fn note(path: &Path, mut lock: &File) -> io::Result<()> {
    let note = identity(path)?;
    lock.set_len(0)?;
    lock.write_all(note.as_bytes())
}

/// Device and inode of the file at a path.
fn identity(path: &Path) -> io::Result<String> {
    let found = fs::metadata(path)?;
    Ok(format!("{} {}\n", found.dev(), found.ino()))
}

/// Refuses a file that took the place of the one that a daemon has open: its connections would
/// share the daemon's write-ahead log, and what is written would destroy both files.
pub(super) fn refuse_another_file(path: &Path) -> Result<(), OpenError> {
    let opened = place::beside(path, ".lock").and_then(File::open);
    let lock = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        opened => at(path, opened)?,
    };
    match lock.try_lock_shared() {
        Ok(()) => return Ok(()),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return at(path, Err(error)),
    }
    let mut noted = String::new();
    at(path, lock.take(MAX_NOTE_BYTES).read_to_string(&mut noted))?;
    // A daemon of an earlier version notes nothing.
    if noted.is_empty() || noted == at(path, identity(path))? {
        return Ok(());
    }
    Err(OpenError::Unreachable(format!(
        "{} is not the file that the daemon has open; put that one back, or stop the daemon",
        path.display()
    )))
}
