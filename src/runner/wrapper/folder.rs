//! What stands where in a run's folder, and how it is opened, as are the files of the work folder:
//! all of it is in the hands of the runs' programs, which may put anything in its place.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, fcntl_setfl, fstat, fsync, mkdirat, openat, renameat, statat,
    unlinkat,
};
use rustix::io::Errno;

use super::super::fault::{Fault, Step};

/// Locked while the run lives; how it started and ended.
pub const JOURNAL: &str = "journal";
/// What the daemon wants of the wrapper.
pub const CONTROL: &str = "control";
/// What the program says of itself.
pub const PROGRESS: &str = "progress";
/// How much of that was heard and kept.
pub const HEARD: &str = "heard";
/// The names of the files that it must leave behind.
pub const OUTPUTS: &str = "outputs";
/// The program's own folder.
pub const WORK: &str = "work";
/// The files that are ours; some of them are not there before they are needed.
pub const FILES: [&str; 5] = [JOURNAL, CONTROL, PROGRESS, HEARD, OUTPUTS];

/// How our own folders and files are opened: no link is followed, no pipe waited for.
const CAREFULLY: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

const NO_FILE: &str = "it is no regular file";

/// Something stands in a folder that is not what was put there.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not what was put there: {1}")]
struct Foreign(String, String);

/// Whether an error says that what stands in a run's folder is not what was put there.
pub fn is_foreign(error: &io::Error) -> bool {
    why_foreign(error).is_some()
}

/// What there is instead, if an error says so.
pub fn why_foreign(error: &io::Error) -> Option<&str> {
    let Foreign(_, why) = error.get_ref()?.downcast_ref()?;
    Some(why)
}

/// The error that says so.
pub fn foreign(name: &str, why: impl Into<String>) -> io::Error {
    io::Error::other(Foreign(name.to_owned(), why.into()))
}

fn judged(name: &str, errno: Errno) -> io::Error {
    match errno {
        Errno::LOOP => foreign(name, "it is a link"),
        Errno::ACCESS => foreign(name, "it may not be opened"),
        Errno::NOENT => errno.into(),
        _ if Step::Output.fault(&errno.into()) == Fault::Job => foreign(name, NO_FILE),
        _ => errno.into(),
    }
}

/// A folder of ours. Its files are only opened by it.
pub struct Folder(OwnedFd);

impl Folder {
    /// The one of this path.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_at(CWD, path).map_err(|errno| match errno {
            // No right to the folder itself is needed: it is one above that cannot be searched, which
            // is not in the program's hands.
            Errno::ACCESS => errno.into(),
            errno => judged(".", errno),
        })
    }

    /// A folder in it.
    pub fn inner(&self, name: &str) -> io::Result<Self> {
        Self::open_at(&self.0, name).map_err(|errno| judged(name, errno))
    }

    fn open_at(parent: impl rustix::fd::AsFd, path: impl rustix::path::Arg) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | CAREFULLY;
        openat(parent, path, flags, Mode::empty()).map(Self)
    }

    /// Whose it is.
    pub fn owner(&self) -> io::Result<u32> {
        Ok(fstat(&self.0)?.st_uid)
    }

    /// Makes a folder in it.
    pub fn make(&self, name: &str) -> io::Result<()> {
        Ok(mkdirat(&self.0, name, Mode::from_raw_mode(0o777))?)
    }

    /// Opens a file of it, by these flags beside the careful ones. Only a regular file is one.
    pub fn file(&self, name: &str, how: OFlags) -> io::Result<File> {
        let mode = Mode::from_raw_mode(0o666);
        let file = openat(&self.0, name, how | CAREFULLY, mode);
        let file = File::from(file.map_err(|errno| judged(name, errno))?);
        if !file.metadata()?.is_file() {
            return Err(foreign(name, NO_FILE));
        }
        // A program that is given it finds it as it always was.
        fcntl_setfl(&file, how & OFlags::APPEND)?;
        Ok(file)
    }

    /// Whether each of our files that is there is one.
    pub fn check(&self) -> io::Result<()> {
        for name in FILES {
            match self.file(name, OFlags::RDONLY) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                file => drop(file?),
            }
        }
        Ok(())
    }

    /// What a file says that is not longer than `most`, in bytes; `None`: it is not there.
    pub fn read(&self, name: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match self.file(name, OFlags::RDONLY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut content = Vec::new();
        file.take(most + 1).read_to_end(&mut content)?;
        if content.len() as u64 > most {
            return Err(foreign(name, "it is too long"));
        }
        Ok(Some(content))
    }

    /// Replaces a file as a whole, or makes it.
    pub fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.replace(name, content, |_| Ok(()))
    }

    /// The same, so that after a crash of the machine the old or the new one is there.
    pub fn write_durably(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.replace(name, content, File::sync_all)?;
        let folder = openat(&self.0, ".", OFlags::RDONLY | CAREFULLY, Mode::empty())?;
        Ok(fsync(folder)?)
    }

    fn replace(
        &self,
        name: &str,
        content: &[u8],
        finish: fn(&File) -> io::Result<()>,
    ) -> io::Result<()> {
        let new = format!("{name}.new");
        let judge = |errno| judged(name, errno);
        match unlinkat(&self.0, &new, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => (),
            Err(errno) => return Err(judge(errno)),
        }
        let how = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let mut file = self.file(&new, how)?;
        file.write_all(content)?;
        finish(&file)?;
        renameat(&self.0, &new, &self.0, name).map_err(judge)
    }

    /// Whether there is something of this name.
    pub fn has(&self, name: &str) -> io::Result<bool> {
        match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(judged(name, errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn pipe(path: &Path) {
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(CWD, path, kind, Mode::RWXU, 0).unwrap();
    }

    #[test]
    fn a_file_is_written_and_read_whatever_was_there() {
        let path = tempfile::tempdir().unwrap();
        let folder = Folder::open(path.path()).unwrap();
        assert_eq!(folder.read(HEARD, 9).unwrap(), None);
        for text in ["1", "22"] {
            folder.write(HEARD, text.as_bytes()).unwrap();
            assert_eq!(folder.read(HEARD, 9).unwrap().unwrap(), text.as_bytes());
        }
        let outside = path.path().join("outside");
        fs::write(&outside, "kept").unwrap();
        fs::remove_file(path.path().join(HEARD)).unwrap();
        symlink(&outside, path.path().join(HEARD)).unwrap();
        pipe(&path.path().join("heard.new"));
        folder.write(HEARD, b"3").unwrap();
        assert_eq!(fs::read_to_string(outside).unwrap(), "kept");
        assert_eq!(folder.read(HEARD, 9).unwrap().unwrap(), b"3");
    }

    #[test]
    fn what_is_no_file_of_ours_is_neither_followed_nor_waited_for() {
        let path = tempfile::tempdir().unwrap();
        let folder = Folder::open(path.path()).unwrap();
        fs::write(path.path().join("file"), "0123456789").unwrap();
        symlink("file", path.path().join("link")).unwrap();
        fs::create_dir(path.path().join("folder")).unwrap();
        pipe(&path.path().join("pipe"));
        let _socket = std::os::unix::net::UnixListener::bind(path.path().join("socket")).unwrap();
        for name in ["link", "folder", "pipe", "socket", "file"] {
            let error = folder.read(name, 9).unwrap_err();
            assert!(is_foreign(&error), "{name}: {error}");
            if name != "file" {
                let error = folder.file(name, OFlags::RDWR).unwrap_err();
                assert!(is_foreign(&error), "{name}: {error}");
            }
        }
        let link = path.path().join("link-to-folder");
        symlink(path.path(), &link).unwrap();
        assert!(is_foreign(&Folder::open(&link).err().unwrap()));
        let gone = Folder::open(&path.path().join("gone")).err().unwrap();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }
}
