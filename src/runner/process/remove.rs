//! Removes folders that programs have filled.

use std::fs::{self, DirEntry, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Lets its owner look into a folder and change it.
const OPEN: u32 = 0o700;

/// Removes a folder and everything in it, however deep: what is inside of inner folders is moved
/// up, so that neither paths nor descriptors nor the stack run out. Links are not followed. One
/// that is not there is no error.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    let about = match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        about => about?,
    };
    if !about.is_dir() {
        // A program has put it in the folder's place.
        return fs::remove_file(folder);
    }
    open(folder)?;
    let mut moved = 0_u64;
    loop {
        let inner = remove_files(fs::read_dir(folder)?)?;
        if inner.is_empty() {
            return fs::remove_dir(folder);
        }
        for entry in inner {
            let path = entry.path();
            open(&path)?;
            for below in remove_files(fs::read_dir(&path)?)? {
                open(&below.path())?;
                move_up(&below.path(), folder, &mut moved)?;
            }
            fs::remove_dir(path)?;
        }
    }
}

/// Removes what is no folder, and returns the folders.
fn remove_files(entries: fs::ReadDir) -> io::Result<Vec<DirEntry>> {
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry);
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(folders)
}

/// Lets its owner look into a folder and change it, move it included.
pub(super) fn open(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(OPEN))
}

/// Gives a folder a name that nothing in `to` has.
fn move_up(folder: &Path, to: &Path, moved: &mut u64) -> io::Result<()> {
    loop {
        *moved += 1;
        let name = to.join(moved.to_string());
        if fs::symlink_metadata(&name).is_err() {
            return fs::rename(folder, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, OFlags, mkdirat, open, openat};

    #[test]
    fn depth_is_no_obstacle() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("folder");
        fs::create_dir(&folder).unwrap();
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut below = open(&folder, flags, Mode::empty()).unwrap();
        for _ in 0..5000 {
            mkdirat(&below, "1", Mode::RWXU).unwrap();
            mkdirat(&below, "2", Mode::empty()).unwrap();
            below = openat(&below, "1", flags, Mode::empty()).unwrap();
        }
        remove(&folder).unwrap();
        assert!(!folder.exists());
    }

    #[test]
    fn a_link_in_the_place_of_the_folder_is_removed_and_not_followed() {
        let parent = tempfile::tempdir().unwrap();
        let (link, other) = (parent.path().join("link"), parent.path().join("other"));
        fs::create_dir(&other).unwrap();
        fs::write(other.join("file"), "").unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
        remove(&link).unwrap();
        assert!(fs::symlink_metadata(link).is_err() && other.join("file").exists());
    }

    #[test]
    fn links_are_removed_and_not_followed() {
        let parent = tempfile::tempdir().unwrap();
        let (folder, other) = (parent.path().join("folder"), parent.path().join("other"));
        for path in [&folder, &other] {
            fs::create_dir(path).unwrap();
        }
        fs::write(other.join("file"), "").unwrap();
        std::os::unix::fs::symlink(&other, folder.join("link")).unwrap();
        rustix::fs::mknodat(
            CWD,
            folder.join("pipe"),
            rustix::fs::FileType::Fifo,
            Mode::RWXU,
            0,
        )
        .unwrap();
        remove(&folder).unwrap();
        assert!(!folder.exists() && other.join("file").exists());
        remove(&folder).unwrap();
    }
}
