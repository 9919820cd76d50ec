//! Which folder this is, so that a copy of it knows that it is one.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::super::wrapper::folder::Folder;
use crate::job::RunsFolder;

/// The file that names the folder in which it was written.
const IDENTITY: &str = "identity";
/// It is no longer, in bytes.
const MAX_BYTES: u64 = 4096;
/// The machine's ID, which may not be there.
const MACHINE_ID: &str = "/etc/machine-id";

/// Of the folder as it is, in this boot of the kernel.
pub(super) fn of(folder: &Path, boot: String) -> io::Result<RunsFolder> {
    let machine = match fs::read_to_string(MACHINE_ID) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        read => read?,
    };
    let found = fs::metadata(folder)?;
    Ok(RunsFolder {
        machine: machine.trim_end().to_owned(),
        boot,
        device: found.dev(),
        inode: found.ino(),
    })
}

/// Whether what is noted in the folder was noted in another one. No note is no evidence.
pub(super) fn is_copy(folder: &Path, now: &RunsFolder) -> io::Result<bool> {
    let Some(noted) = Folder::open(folder)?.read(IDENTITY, MAX_BYTES)? else {
        return Ok(false);
    };
    let noted = RunsFolder::parse(String::from_utf8_lossy(&noted).trim_end_matches('\n'));
    Ok(noted.is_some_and(|noted| !now.is_same(&noted) && !now.is_after_boot_of(&noted)))
}

/// Notes in the folder which one it is.
pub(super) fn note(folder: &Path, now: &RunsFolder) -> io::Result<()> {
    Folder::open(folder)?.write_durably(IDENTITY, format!("{now}\n").as_bytes())
}
