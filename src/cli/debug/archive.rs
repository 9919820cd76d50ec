//! The archive: whole or not at all, for its maker alone, and the same bytes for the same content.

use std::io::{Error, ErrorKind, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use jiff::Timestamp;
use serde_json::Value;
use tar::{Builder, Header};
use tempfile::NamedTempFile;

use super::members::Member;

/// What tells of the others; the first one.
const MANIFEST: &str = "manifest.json";

/// Nobody but its maker reads a member once it is unpacked, as nobody else reads the archive.
const MODE: u32 = 0o600;

/// Why there is no archive.
#[derive(Debug)]
pub(super) enum WriteError {
    /// Something of that name is there, and stays.
    Exists,
    /// It cannot be written.
    Failed(Error),
}

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::AlreadyExists => Self::Exists,
            _ => Self::Failed(error),
        }
    }
}

/// Writes the members below a folder of this name.
pub(super) fn write(
    file: &Path,
    folder: &str,
    manifest: &Value,
    members: &[Member],
    made: Timestamp,
) -> Result<(), WriteError> {
    let parent = file.parent().filter(|parent| parent != &Path::new(""));
    // Of mode 0600 from its first moment on.
    let mut beside = NamedTempFile::new_in(parent.unwrap_or(Path::new(".")))?;
    let packer = GzBuilder::new().write(&mut beside, Compression::default());
    let mut archive = Builder::new(packer);
    let seconds = u64::try_from(made.as_second()).unwrap_or_default();
    let mut add = |name: &str, content: &[u8]| {
        let mut header = Header::new_gnu();
        header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
        header.set_mode(MODE);
        header.set_mtime(seconds);
        archive.append_data(&mut header, format!("{folder}/{name}"), content)
    };
    add(MANIFEST, format!("{manifest:#}\n").as_bytes())?;
    for member in members {
        if let Ok(content) = &member.content {
            add(member.name, content.as_bytes())?;
        }
    }
    archive.into_inner()?.finish()?.flush()?;
    beside.as_file().sync_all()?;
    let kept = beside.persist_noclobber(file);
    kept.map(drop).map_err(|error| error.error.into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn member(content: Result<String, String>) -> Member {
        Member {
            name: "x.txt",
            about: "",
            content,
        }
    }

    #[test]
    fn the_same_content_is_the_same_archive_and_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["a", "b"].map(|name| folder.path().join(name));
        let members = [member(Ok("text".to_owned())), member(Err(String::new()))];
        let write = |file: &Path| {
            let at = Timestamp::from_second(1_700_000_000).unwrap();
            write(file, "bundle", &Value::Null, &members, at)
        };
        for file in &files {
            write(file).unwrap();
            let mode = fs::metadata(file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let [a, b] = files.each_ref().map(|file| fs::read(file).unwrap());
        assert_eq!(a, b);
        assert!(matches!(write(&files[0]), Err(WriteError::Exists)));
        assert!(matches!(
            write(&folder.path().join("none/c")),
            Err(WriteError::Failed(_))
        ));
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, files.len(), "a temporary file is left behind");
    }
}
