//! The files that a run leaves behind.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use super::super::fault::{Fault, Step};
use crate::job::{self, OutputFile};

/// How much is read at a time, in bytes.
const CHUNK: usize = 128 * 1024;

/// The declared outputs that are there, and the names of the others. Only a file counts that lies
/// in the program's folder itself; not a link.
pub(super) fn gather(
    work: &Path,
    declared: &[String],
) -> io::Result<(Vec<OutputFile>, Vec<String>)> {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for name in declared {
        match measure(work, name)? {
            Some(output) => found.push(output),
            None => missing.push(name.clone()),
        }
    }
    Ok((found, missing))
}

/// The logical names of files.
pub(super) fn names(files: &[job::File]) -> Vec<String> {
    let names = files.iter().map(|file| file.logical_name.clone());
    names.collect()
}

fn measure(work: &Path, name: &str) -> io::Result<Option<OutputFile>> {
    // A pipe would wait for a writer for ever.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = File::options();
    let mut file = match options.read(true).custom_flags(flags).open(work.join(name)) {
        Ok(file) if file.metadata()?.is_file() => file,
        Ok(_) => return Ok(None),
        // Absent, a link, a socket, or not readable.
        Err(error) if Step::Output.fault(&error) == Fault::Job => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = file.read(&mut chunk)?;
        let Some(bytes) = chunk.get(..count).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        hash.update(bytes);
        size += bytes.len() as u64;
    }
    Ok(Some(OutputFile {
        logical_name: name.to_owned(),
        size,
        sha256: hash.finalize().into(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_files_of_the_folder_are_outputs() {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path();
        std::fs::write(work.join("abc"), "abc").unwrap();
        std::fs::create_dir(work.join("folder")).unwrap();
        symlink("abc", work.join("link")).unwrap();
        let pipe = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, work.join("pipe"), pipe, mode, 0).unwrap();
        let declared = ["abc", "folder", "link", "pipe", "absent"].map(str::to_owned);
        let (found, missing) = gather(work, &declared).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].size, 3);
        assert_eq!(found[0].sha256[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(missing, declared[1..]);
    }
}
