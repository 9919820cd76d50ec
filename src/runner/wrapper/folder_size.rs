//! How much a folder takes. Folders are walked by descriptor, however deep they are, a part at each
//! look: what a program piles up must not keep its wrapper from everything else.

use std::collections::HashSet;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawDir, SeekFrom, Stat, fstat, openat, seek, statat,
};
use rustix::io::Errno;
use rustix::path::Arg;

/// What a file takes beside its content, in bytes: empty ones are not free either.
const ENTRY_BYTES: u64 = 512;
/// The unit of a file's blocks, in bytes.
const BLOCK_BYTES: u64 = 512;
/// So many folders in each other are kept open; those below are found by the names of their
/// parents.
const MAX_OPEN: usize = 32;
/// Names are read in lots of so many bytes.
const NAMES_BYTES: usize = 4096;

/// A walk through a folder and everything below it; not followed: links.
pub struct Walk {
    /// From the folder to the one that is looked at.
    levels: Vec<Level>,
    /// The last level's, where that does not keep it.
    deepest: Option<OwnedFd>,
    /// The files with several names that were counted.
    counted: HashSet<(u64, u64)>,
    size: u64,
    unseen: Option<String>,
}

/// A folder that is being looked at.
struct Level {
    /// Kept open, if it is not too deep.
    open: Option<OwnedFd>,
    /// Its device and inode.
    id: (u64, u64),
    /// Where in it the look goes on.
    place: u64,
}

/// What a folder takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    /// On disk, in bytes, as far as it was seen.
    pub bytes: u64,
    /// What could not be seen first, and why; `None`: all was seen.
    pub unseen: Option<String>,
}

/// What became of one step.
enum Step {
    /// The names in a folder are not at their end, or were left for an inner folder.
    On,
    /// A folder is at its end.
    Up,
}

impl Walk {
    /// Begins.
    pub fn begin(folder: &Path) -> Self {
        let mut walk = Self {
            levels: Vec::new(),
            deepest: None,
            counted: HashSet::new(),
            size: 0,
            unseen: None,
        };
        match open(CWD, folder).and_then(|open| Ok((id(&fstat(&open)?), open))) {
            Ok((id, open)) => walk.go_down(open, id),
            Err(error) => walk.not_seen("the folder itself", error),
        }
        walk
    }

    /// Goes on for so many steps, each a lot of names, or until it takes more than `most`. `None`:
    /// not at its end yet.
    pub fn go_on(&mut self, most: u64, steps: usize) -> Option<Size> {
        for _ in 0..steps {
            if self.levels.is_empty() || self.size > most {
                return Some(Size {
                    bytes: self.size,
                    unseen: self.unseen.clone(),
                });
            }
            match self.step() {
                Ok(Step::On) => (),
                Ok(Step::Up) => self.go_up(),
                Err(error) => {
                    self.not_seen("a folder", error);
                    self.go_up();
                }
            }
        }
        None
    }

    /// Counts a lot of names in the deepest folder, and goes down where one is a folder's.
    fn step(&mut self) -> Result<Step, Errno> {
        let Some(level) = self.levels.last_mut() else {
            return Ok(Step::Up);
        };
        let folder = level.open.as_ref().or(self.deepest.as_ref());
        let folder = folder.ok_or(Errno::BADF)?;
        seek(folder, SeekFrom::Start(level.place))?;
        let mut buffer = [MaybeUninit::uninit(); NAMES_BYTES];
        let mut names = RawDir::new(folder, &mut buffer);
        let mut ended = true;
        while let Some(entry) = names.next() {
            let entry = entry?;
            ended = false;
            level.place = entry.next_entry_cookie();
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                let about = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(about) => about,
                    // It has just gone.
                    Err(Errno::NOENT) => continue,
                    Err(error) => {
                        note(&mut self.unseen, &name.to_string_lossy(), error);
                        continue;
                    }
                };
                let is_folder = FileType::from_raw_mode(about.st_mode) == FileType::Directory;
                if is_folder || about.st_nlink == 1 || self.counted.insert(id(&about)) {
                    let blocks = u64::try_from(about.st_blocks).unwrap_or(0);
                    self.size += ENTRY_BYTES + blocks * BLOCK_BYTES;
                }
                if is_folder {
                    match open(folder, name) {
                        Ok(inner) => {
                            self.go_down(inner, id(&about));
                            return Ok(Step::On);
                        }
                        // It has just gone, or become something else.
                        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => (),
                        Err(error) => note(&mut self.unseen, &name.to_string_lossy(), error),
                    }
                }
            }
            if names.is_buffer_empty() {
                break;
            }
        }
        Ok(if ended { Step::Up } else { Step::On })
    }

    fn go_down(&mut self, folder: OwnedFd, id: (u64, u64)) {
        let is_kept = self.levels.len() < MAX_OPEN;
        let (open, deepest) = if is_kept {
            (Some(folder), None)
        } else {
            (None, Some(folder))
        };
        self.deepest = deepest;
        self.levels.push(Level { open, id, place: 0 });
    }

    fn go_up(&mut self) {
        self.levels.pop();
        let below = self.deepest.take();
        let Some(level) = self.levels.last().filter(|level| level.open.is_none()) else {
            return;
        };
        let up = below.ok_or(Errno::BADF).and_then(|below| {
            let up = open(&below, c"..")?;
            let same = id(&fstat(&up)?) == level.id;
            same.then_some(up).ok_or(Errno::STALE)
        });
        match up {
            Ok(up) => self.deepest = Some(up),
            Err(error) => {
                // It was moved meanwhile: the look goes on where the way is known.
                self.not_seen("a folder that was moved", error);
                self.levels.truncate(MAX_OPEN);
            }
        }
    }

    fn not_seen(&mut self, what: &str, error: Errno) {
        note(&mut self.unseen, what, error);
    }
}

fn note(unseen: &mut Option<String>, what: &str, error: Errno) {
    unseen.get_or_insert_with(|| format!("{what:?} ({error})"));
}

fn open(parent: impl std::os::fd::AsFd, path: impl Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, path, flags, Mode::empty())
}

fn id(about: &Stat) -> (u64, u64) {
    (about.st_dev, about.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::mkdirat;
    use std::fs;

    fn size(folder: &Path, most: u64) -> Size {
        let mut walk = Walk::begin(folder);
        loop {
            if let Some(size) = walk.go_on(most, 7) {
                return size;
            }
        }
    }

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
        let all = size(folder.path(), u64::MAX);
        assert!((100_000..150_000).contains(&all.bytes), "{all:?}");
        assert_eq!(all.unseen, None);
        assert!(size(folder.path(), 50_000).bytes > 50_000);
    }

    /// Each folder holds a file before and after the next one, whatever the order of names.
    #[test]
    fn however_deep_all_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut below = open(CWD, folder.path()).unwrap();
        let name = "d".repeat(200);
        for _ in 0..300 {
            mkdirat(&below, &name, Mode::RWXU).unwrap();
            for file in ["a", "z"] {
                let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
                drop(openat(&below, file, flags, Mode::RWXU).unwrap());
            }
            below = open(&below, &*name).unwrap();
        }
        drop(below);
        let all = size(folder.path(), u64::MAX);
        assert_eq!(all.unseen, None);
        // Folders may take blocks, empty files take none.
        let least = 3 * 300 * ENTRY_BYTES;
        assert!((least..least + 300 * 8192).contains(&all.bytes), "{all:?}");
    }

    #[test]
    fn many_names_are_counted_once_each() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..300 {
            let name = format!("{number}-{}", "n".repeat(100));
            fs::write(folder.path().join(&name), "").unwrap();
            fs::create_dir(folder.path().join(name + "-folder")).unwrap();
        }
        let all = size(folder.path(), u64::MAX);
        let least = 600 * ENTRY_BYTES;
        assert!(
            (least..least + 300 * 4096 + 1).contains(&all.bytes),
            "{all:?}"
        );
    }

    #[test]
    fn a_folder_that_is_not_there_says_so() {
        let nothing = size(Path::new("/nonexistent"), 1);
        assert_eq!(nothing.bytes, 0);
        assert!(nothing.unseen.unwrap().contains("the folder itself"));
    }
}
