//! The files that a run leaves behind.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

use bytesize::ByteSize;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::super::wrapper::folder::{self, Folder, OUTPUTS, WORK};
use crate::job::{self, OutputFile};

/// How much is read at a time, in bytes.
const CHUNK: usize = 128 * 1024;
/// Where it is kept what was read of large outputs.
const HASHED: &str = "hashed";
/// Outputs from this size on are not read again after a restart, in bytes.
const LARGE: u64 = 64 * 1024 * 1024;
/// Lists of outputs are not longer, in bytes.
const MAX_LIST_BYTES: u64 = 64 * 1024 * 1024;

/// An output as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hashed {
    name: String,
    /// What changes with its content: device, inode, size, and the times of the last changes.
    state: [i64; 7],
    sha256: [u8; 32],
}

/// The declared outputs that are there, and what is wrong with the others. Only a file counts that
/// lies in the program's folder itself, is not a link, and has at most `most` bytes.
pub(super) fn gather(
    run: &Folder,
    declared: Vec<String>,
    most: u64,
    unwanted: &CancellationToken,
) -> io::Result<(Vec<OutputFile>, Option<String>)> {
    let (mut found, mut missing, mut unusable) = (Vec::new(), Vec::new(), Vec::new());
    let work = match run.inner(WORK) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        work => Some(work?),
    };
    let mut hashed = if declared.is_empty() {
        Vec::new()
    } else {
        remembered(run)
    };
    for name in declared {
        let opened = match &work {
            Some(work) => work.file(&name, OFlags::RDONLY),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing.push(name);
                continue;
            }
            Err(error) => match folder::why_foreign(&error) {
                Some(why) => {
                    unusable.push(format!("{name} ({why})"));
                    continue;
                }
                None => return Err(error),
            },
        };
        let state = state(&file)?;
        let size = file.metadata()?.len();
        if size > most {
            let most = ByteSize(most).display().iec();
            unusable.push(format!("{name} (it has more than {most})"));
            continue;
        }
        let known = |hashed: &&Hashed| hashed.name == name && hashed.state == state;
        let sha256 = match hashed.iter().find(known) {
            Some(hashed) => hashed.sha256,
            None => hash(&mut file, size, unwanted)?,
        };
        if size >= LARGE {
            hashed.retain(|hashed| hashed.name != name);
            let name = name.clone();
            hashed.push(Hashed {
                name,
                state,
                sha256,
            });
            // Without it, it is read again.
            let _ = run.write(HASHED, &serde_json::to_vec(&hashed)?);
        }
        found.push(OutputFile {
            logical_name: name,
            size,
            sha256,
        });
    }
    Ok((found, wrong(&missing, &unusable)))
}

fn wrong(missing: &[String], unusable: &[String]) -> Option<String> {
    let all = [
        ("declared outputs are missing", missing),
        ("declared outputs cannot be used", unusable),
    ];
    let some = all.iter().filter(|(_, names)| !names.is_empty());
    let said: Vec<_> = some
        .map(|(what, names)| format!("{what}: {}", names.join(", ")))
        .collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// The names of the outputs that a run has to leave; `None`: there is no list of them.
pub(super) fn declared(run: &Folder) -> io::Result<Option<Vec<String>>> {
    let list = run.read(OUTPUTS, MAX_LIST_BYTES)?;
    let names = list.map(|list| serde_json::from_slice(&list)).transpose();
    names.map_err(|_| folder::foreign(OUTPUTS, "it is no list of names"))
}

/// What is known of large outputs. What cannot be read is not known.
fn remembered(run: &Folder) -> Vec<Hashed> {
    let list = run.read(HASHED, MAX_LIST_BYTES).ok().flatten();
    list.and_then(|list| serde_json::from_slice(&list).ok())
        .unwrap_or_default()
}

/// The logical names of files.
pub(super) fn names(files: &[job::File]) -> Vec<String> {
    let names = files.iter().map(|file| file.logical_name.clone());
    names.collect()
}

fn state(file: &File) -> io::Result<[i64; 7]> {
    let about = file.metadata()?;
    Ok([
        about.dev().cast_signed(),
        about.ino().cast_signed(),
        about.size().cast_signed(),
        about.mtime(),
        about.mtime_nsec(),
        about.ctime(),
        about.ctime_nsec(),
    ])
}

/// The hash of a file of this size. An error if it is unwanted meanwhile.
fn hash(file: &mut File, size: u64, unwanted: &CancellationToken) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut file = file.take(size);
    while !unwanted.is_cancelled() {
        let count = file.read(&mut chunk)?;
        match chunk.get(..count) {
            None | Some([]) => return Ok(hash.finalize().into()),
            Some(bytes) => hash.update(bytes),
        }
    }
    Err(io::Error::other("its result is not wanted any more"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    /// A run's folder that has to leave these files.
    fn run(declared: &[&str]) -> (tempfile::TempDir, Folder) {
        let path = tempfile::tempdir().unwrap();
        std::fs::create_dir(path.path().join(WORK)).unwrap();
        let folder = Folder::open(path.path()).unwrap();
        let list = serde_json::to_vec(declared).unwrap();
        folder.write(OUTPUTS, &list).unwrap();
        (path, folder)
    }

    fn gather_all(
        folder: &Folder,
        most: u64,
        unwanted: &CancellationToken,
    ) -> io::Result<(Vec<OutputFile>, Option<String>)> {
        gather(folder, declared(folder)?.unwrap(), most, unwanted)
    }

    fn pipe(path: &Path) {
        let kind = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
    }

    #[test]
    fn only_files_of_the_folder_are_outputs() {
        let (path, folder) = run(&["abc", "folder", "link", "pipe", "absent", "long"]);
        let work = path.path().join(WORK);
        std::fs::write(work.join("abc"), "abc").unwrap();
        std::fs::write(work.join("long"), "abcd").unwrap();
        std::fs::create_dir(work.join("folder")).unwrap();
        symlink("abc", work.join("link")).unwrap();
        pipe(&work.join("pipe"));
        let (found, wrong) = gather_all(&folder, 3, &CancellationToken::new()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].size, 3);
        assert_eq!(found[0].sha256[..4], [0xba, 0x78, 0x16, 0xbf]);
        let expected = "declared outputs are missing: absent; \
            declared outputs cannot be used: folder (it is no regular file), link (it is a link), \
            pipe (it is no regular file), long (it has more than 3 B)";
        assert_eq!(wrong.unwrap(), expected);
    }

    #[test]
    fn a_large_output_is_read_once_and_not_longer_than_it_is_wanted() {
        let (path, folder) = run(&["large"]);
        let large = path.path().join(WORK).join("large");
        File::create(&large).unwrap().set_len(LARGE).unwrap();
        let unwanted = CancellationToken::new();
        unwanted.cancel();
        assert!(gather_all(&folder, u64::MAX, &unwanted).is_err());
        let (first, _) = gather_all(&folder, u64::MAX, &CancellationToken::new()).unwrap();
        // It is not read: that is unwanted.
        let (again, _) = gather_all(&folder, u64::MAX, &unwanted).unwrap();
        assert_eq!(first, again);
        File::options()
            .append(true)
            .open(large)
            .and_then(|mut file| std::io::Write::write_all(&mut file, b"1"))
            .unwrap();
        assert!(gather_all(&folder, u64::MAX, &unwanted).is_err());
    }

    #[test]
    fn a_list_that_is_none_is_foreign() {
        let (path, folder) = run(&[]);
        std::fs::write(path.path().join(OUTPUTS), "no list").unwrap();
        let error = gather_all(&folder, 9, &CancellationToken::new()).unwrap_err();
        assert!(folder::is_foreign(&error));
    }
}
