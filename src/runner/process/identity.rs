//! Which folder this is, so that a copy of it knows that it is one.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::job::RunsFolder;

/// The file that names the folder in which it was written.
const IDENTITY: &str = "identity";
/// The same, while it is being written.
const NEW_IDENTITY: &str = "identity.new";
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
    let noted = match fs::read_to_string(folder.join(IDENTITY)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        read => RunsFolder::parse(read?.trim_end_matches('\n')),
    };
    Ok(noted.is_some_and(|noted| !now.is_same(&noted) && !now.is_after_boot_of(&noted)))
}

/// Notes in the folder which one it is.
pub(super) fn note(folder: &Path, now: &RunsFolder) -> io::Result<()> {
    let new = folder.join(NEW_IDENTITY);
    let mut file = File::create(&new)?;
    file.write_all(format!("{now}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(new, folder.join(IDENTITY))
}
