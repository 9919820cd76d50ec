//! How much a folder takes.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a file takes beside its content, in bytes: empty ones are not free either.
const ENTRY_BYTES: u64 = 512;
/// The unit of a file's blocks, in bytes.
const BLOCK_BYTES: u64 = 512;

/// What a folder and everything below it takes on disk, in bytes; not followed: links. Stops where
/// it is more than `most`. What hides (folders that may not be read, or are too deep to be named)
/// is more than any limit.
pub fn folder_size(folder: &Path, most: u64) -> u64 {
    let mut size = 0;
    let mut counted = HashSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        match add(&folder, most, &mut size, &mut counted, &mut folders) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return u64::MAX,
            // It has just gone.
            Ok(()) | Err(_) => (),
        }
        if size > most {
            break;
        }
    }
    size
}

fn add(
    folder: &Path,
    most: u64,
    size: &mut u64,
    counted: &mut HashSet<u64>,
    folders: &mut Vec<PathBuf>,
) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.is_dir() {
            folders.push(entry.path());
        }
        if is_new(&metadata, counted) {
            *size += ENTRY_BYTES + metadata.blocks() * BLOCK_BYTES;
        }
        if *size > most {
            break;
        }
    }
    Ok(())
}

/// Whether a file was not counted under another name.
fn is_new(metadata: &Metadata, counted: &mut HashSet<u64>) -> bool {
    metadata.is_dir() || metadata.nlink() == 1 || counted.insert(metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_counts_once_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("file"), vec![1; 100_000]).unwrap();
        fs::File::open(inner.join("file"))
            .unwrap()
            .sync_all()
            .unwrap();
        fs::hard_link(inner.join("file"), folder.path().join("again")).unwrap();
        std::os::unix::fs::symlink("/usr", folder.path().join("link")).unwrap();
        let size = folder_size(folder.path(), u64::MAX);
        assert!((100_000..150_000).contains(&size), "{size}");
        assert!(folder_size(folder.path(), 50_000) > 50_000);
    }

    #[test]
    fn what_is_too_deep_to_be_measured_is_too_much() {
        let folder = tempfile::tempdir().unwrap();
        let mut below = rustix::fs::open(
            folder.path(),
            rustix::fs::OFlags::DIRECTORY,
            rustix::fs::Mode::empty(),
        )
        .unwrap();
        let name = "d".repeat(250);
        for _ in 0..20 {
            rustix::fs::mkdirat(&below, &name, rustix::fs::Mode::RWXU).unwrap();
            let flags = rustix::fs::OFlags::DIRECTORY;
            below = rustix::fs::openat(&below, &name, flags, rustix::fs::Mode::empty()).unwrap();
        }
        assert_eq!(folder_size(folder.path(), u64::MAX), u64::MAX);
    }
}
