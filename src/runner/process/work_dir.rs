//! The folder of a daemon's runs: whose it is, and the folders of the runs in it.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, FlockOperation, OFlags, access, flock};
use rustix::io::Errno;

use super::super::wrapper::folder::Folder;
use super::{OpenError, identity, processes, remove};
use crate::job::{RecordId, RunKey, RunsFolder, StoreId, Token};

/// The file that names the holder of the claims, locked by the daemon that uses the folder.
const HOLDER: &str = "holder";
/// The file that names the store whose runs these are.
const STORE: &str = "store";
/// The folders of runs that are not forgotten.
pub(super) const RUNS: &str = "runs";
/// The folders that somebody may want to look at.
pub(super) const KEPT: &str = "kept";
/// The folders that are being removed, so that no run is ever half there.
const REMOVED: &str = "removed";
/// The names in these files are no longer, in bytes.
const MAX_NAME_BYTES: u64 = 4096;
/// The longest part of a holder's name that says on which machine it is, in bytes.
const MAX_HOST_BYTES: usize = 64;
/// How long to wait for the folder: a daemon that was killed while it started a process holds it
/// for a moment longer.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A folder of runs that is ours as long as this value lives.
pub(super) struct WorkDir {
    path: PathBuf,
    holder: String,
    folder: RunsFolder,
    /// What was taken, by its name: the file that carries the lock, and the folder of the folders
    /// of runs. An inode that is open is not given to another file.
    taken: [(&'static str, File); 2],
}

impl WorkDir {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |path: PathBuf| move |source| OpenError::Folder { path, source };
        for folder in [RUNS, KEPT, REMOVED].map(|name| path.join(name)) {
            fs::create_dir_all(&folder).map_err(failed(folder.clone()))?;
        }
        let path = fs::canonicalize(path).map_err(failed(path.to_owned()))?;
        let name = path.join(HOLDER);
        let how = OFlags::CREATE | OFlags::APPEND | OFlags::RDWR;
        let opened = Folder::open(&path).and_then(|folder| folder.file(HOLDER, how));
        let mut file = opened.map_err(failed(name.clone()))?;
        if !lock(&file).map_err(failed(name.clone()))? {
            return Err(OpenError::InUse { path });
        }
        let folder = identity::of(&path, processes::boot_id()?).map_err(failed(path.clone()))?;
        if identity::is_copy(&path, &folder).map_err(failed(path.clone()))? {
            disown(&path, &mut file).map_err(failed(path.clone()))?;
        }
        let known = read_holder(&mut file).map_err(failed(name.clone()))?;
        let holder = match known {
            Some(known) => known,
            None if has_runs(&path).map_err(failed(path.clone()))? => {
                return Err(OpenError::Nameless { path });
            }
            None => make_up_holder(&mut file).map_err(failed(name))?,
        };
        identity::note(&path, &folder).map_err(failed(path.clone()))?;
        let removed = path.join(REMOVED);
        remove::remove(&removed)
            .and_then(|()| fs::create_dir(&removed))
            .map_err(failed(removed))?;
        let runs = path.join(RUNS);
        let runs = File::open(&runs).map_err(failed(runs))?;
        Ok(Self {
            path,
            holder,
            folder,
            taken: [(HOLDER, file), (RUNS, runs)],
        })
    }

    /// Whether it is still the folder at its path. One that was moved or replaced (a lost mount) is
    /// empty to every look, and none of its runs may be taken for gone.
    pub(super) fn is_in_place(&self) -> Result<(), String> {
        let identity = |found: &Metadata| (found.dev(), found.ino());
        let shown = self.path.display();
        for (name, taken) in &self.taken {
            let found = fs::metadata(self.path.join(name));
            match found.and_then(|found| Ok((found, taken.metadata()?))) {
                Ok((found, taken)) if identity(&found) == identity(&taken) => (),
                Ok(_) => {
                    let what = format!("{shown}, the folder of runs, was replaced by another one");
                    return Err(format!("{what} ({name})"));
                }
                Err(error) => {
                    let what = format!("{shown}, the folder of runs, cannot be looked into");
                    return Err(format!("{what} ({name}): {error}"));
                }
            }
        }
        Ok(())
    }

    /// The name of whoever uses this folder, whichever process it is at a time.
    pub(super) fn holder(&self) -> &str {
        &self.holder
    }

    /// Which folder this is.
    pub(super) fn folder(&self) -> &RunsFolder {
        &self.folder
    }

    /// Makes the folder this store's, for good, unless it is another one's: that one is returned.
    /// Only the runs of one store can be told apart by their keys.
    pub(super) fn belong_to(&self, store: &StoreId) -> io::Result<Option<String>> {
        let folder = Folder::open(&self.path)?;
        if let Some(known) = folder.read(STORE, MAX_NAME_BYTES)? {
            let known = String::from_utf8_lossy(&known);
            let known = known.trim_end();
            return Ok((known != store.as_str()).then(|| known.to_owned()));
        }
        if has_runs(&self.path)? {
            let text = format!(
                "it has runs, and its file `{STORE}`, which says of which store, is missing; put \
                 it back ({store} for this store), or move {RUNS}/ away once none of them lives"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        folder.write_durably(STORE, format!("{store}\n").as_bytes())?;
        Ok(None)
    }

    /// The folder of the folders of runs.
    pub(super) fn runs_folder(&self) -> PathBuf {
        self.path.join(RUNS)
    }

    /// The folder of a run.
    pub(super) fn run(&self, run: RunKey) -> PathBuf {
        self.runs_folder().join(run.to_string())
    }

    /// Puts the folder of a run away; one that is not there is no error.
    pub(super) fn forget(&self, run: RunKey, keep: bool) -> io::Result<()> {
        let away = self.path.join(if keep { KEPT } else { REMOVED });
        let away = away.join(run.to_string());
        let folder = self.run(run);
        if fs::symlink_metadata(&folder).is_ok_and(|about| about.is_dir()) {
            // Its program may have closed it even to its owner.
            remove::open(&folder)?;
        }
        match fs::rename(folder, &away) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Ok(()) if !keep => remove::remove(&away),
            moved => moved,
        }
    }

    /// The folder of what is kept of runs that are forgotten.
    pub(super) fn kept_folder(&self) -> PathBuf {
        self.path.join(KEPT)
    }

    /// Removes what is kept of a run; one that is not there is no error.
    pub(super) fn remove_kept(&self, run: RunKey) -> io::Result<()> {
        let away = self.path.join(REMOVED).join(run.to_string());
        match fs::rename(self.kept_folder().join(run.to_string()), &away) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            moved => moved.and_then(|()| remove::remove(&away)),
        }
    }

    /// Every run that has a folder.
    pub(super) fn runs(&self) -> io::Result<Vec<RunKey>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.runs_folder())? {
            let name = entry?.file_name();
            if let Some(run) = name.to_str().and_then(run_key) {
                found.push(run);
            } else {
                tracing::warn!(?name, "not a run's folder; left alone");
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// Looks whether a folder could be taken, which need not be there, and changes nothing.
pub(super) fn look(path: &Path) -> Result<(), OpenError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Folder { path, source }
    };
    let there = path.ancestors().find(|path| path.exists());
    let there = there.unwrap_or(Path::new("/"));
    access(there, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(io::Error::from)
        .map_err(failed(there))?;
    let name = path.join(HOLDER);
    let opened = Folder::open(path).and_then(|folder| folder.file(HOLDER, OFlags::RDONLY));
    let known = match opened {
        Ok(file) if !lock(&file).map_err(failed(&name))? => {
            return Err(OpenError::InUse {
                path: path.to_owned(),
            });
        }
        Ok(mut file) => read_holder(&mut file).map_err(failed(&name))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(&name)(error)),
    };
    if known.is_none() && has_runs(path).map_err(failed(path))? {
        return Err(OpenError::Nameless {
            path: path.to_owned(),
        });
    }
    Ok(())
}

/// Whether a folder has runs, so that it is no new one.
fn has_runs(path: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(path.join(RUNS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries?,
    };
    for entry in entries {
        if entry?.file_name().to_str().and_then(run_key).is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn lock(file: &File) -> io::Result<bool> {
    let mut waited = Duration::ZERO;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) if waited < PATIENCE => (),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        std::thread::sleep(LOOK_AGAIN);
        waited += LOOK_AGAIN;
    }
}

/// The folder was copied from another one, whose name and runs are in it: they are that one's. Its processes
/// may live, and must not be taken for ours.
fn disown(path: &Path, holder: &mut File) -> io::Result<()> {
    let name = read_holder(holder)?.unwrap_or_default();
    tracing::warn!(path = %path.display(), name, "this folder of runs is a copy: it gets a new name, and its runs are put away");
    let runs = path.join(RUNS);
    if fs::read_dir(&runs)?.next().is_some() {
        fs::rename(&runs, path.join(KEPT).join(format!("runs-of-{name}")))?;
        fs::create_dir(&runs)?;
    }
    holder.set_len(0)?;
    holder.sync_all()
}

/// Reads the name; `None`: the folder is a new one, or the name was lost.
fn read_holder(file: &mut File) -> io::Result<Option<String>> {
    let mut name = String::new();
    file.rewind()?;
    Read::by_ref(file)
        .take(MAX_NAME_BYTES)
        .read_to_string(&mut name)?;
    let name = name.strip_suffix('\n').filter(|name| !name.is_empty());
    Ok(name.map(str::to_owned))
}

/// Makes a name up: it must be another one than any other folder's.
fn make_up_holder(file: &mut File) -> io::Result<String> {
    let system = rustix::system::uname();
    let mut host = system.nodename().to_string_lossy().into_owned();
    host.retain(|letter| letter.is_ascii_alphanumeric() || "-._".contains(letter));
    host.truncate(MAX_HOST_BYTES);
    let name = format!("{host}-{:032x}", rand::random::<u128>());
    file.set_len(0)?;
    file.write_all(format!("{name}\n").as_bytes())?;
    file.sync_all()?;
    Ok(name)
}

pub(super) fn run_key(name: &str) -> Option<RunKey> {
    let (record, token) = name.split_once('-')?;
    let run = RunKey {
        record: RecordId::new(record.parse().ok()?)?,
        token: Token(token.parse().ok()?),
    };
    // One name for each run.
    (run.to_string() == name).then_some(run)
}

#[cfg(test)]
mod tests {
    use super::super::Held;
    use super::*;

    #[test]
    fn a_folder_has_one_user_and_keeps_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let first = WorkDir::open(folder.path()).unwrap();
        let name = first.holder().to_owned();
        assert!(matches!(
            WorkDir::open(folder.path()),
            Err(OpenError::InUse { .. })
        ));
        drop(first);
        assert_eq!(WorkDir::open(folder.path()).unwrap().holder(), name);
    }

    #[test]
    fn a_copy_of_a_folder_gets_a_name_of_its_own() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = WorkDir::open(folder.path()).unwrap();
        let run = RunKey {
            record: RecordId::new(1).unwrap(),
            token: Token(1),
        };
        for file in ["holder", "identity"] {
            fs::copy(folder.path().join(file), other.path().join(file)).unwrap();
        }
        fs::create_dir_all(other.path().join(RUNS).join(run.to_string())).unwrap();
        let copy = WorkDir::open(other.path()).unwrap();
        let name = copy.holder().to_owned();
        assert_ne!(name, first.holder());
        assert_eq!(copy.runs().unwrap(), []);
        let put_away = format!("kept/runs-of-{}/{run}", first.holder());
        assert!(other.path().join(put_away).exists());
        drop(copy);
        assert_eq!(WorkDir::open(other.path()).unwrap().holder(), name);
        // Without a note there is no evidence.
        fs::remove_file(other.path().join("identity")).unwrap();
        assert_eq!(WorkDir::open(other.path()).unwrap().holder(), name);
    }

    #[test]
    fn a_folder_belongs_to_one_store_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let store = |name: &str| StoreId::new(name.to_owned()).unwrap();
        let first = WorkDir::open(folder.path()).unwrap();
        for _ in 0..2 {
            assert_eq!(first.belong_to(&store("a1")).unwrap(), None);
        }
        drop(first);
        let later = WorkDir::open(folder.path()).unwrap();
        let other = later.belong_to(&store("b2")).unwrap();
        assert_eq!(other.as_deref(), Some("a1"));
        assert_eq!(later.belong_to(&store("a1")).unwrap(), None);
    }

    /// Its runs' programs may put anything in the place of its files.
    #[test]
    fn a_pipe_in_the_place_of_a_file_is_an_error_and_not_waited_for() {
        for name in [HOLDER, STORE, "identity", "held"] {
            let folder = tempfile::tempdir().unwrap();
            let kind = rustix::fs::FileType::Fifo;
            let path = folder.path().join(name);
            rustix::fs::mknodat(rustix::fs::CWD, &path, kind, 0o600.into(), 0).unwrap();
            let store = StoreId::new("a1".to_owned()).unwrap();
            let opened = WorkDir::open(folder.path()).map_err(|error| error.to_string());
            let used = opened.and_then(|opened| {
                opened
                    .belong_to(&store)
                    .map_err(|error| error.to_string())?;
                Held::look(folder.path()).map_err(|error| error.to_string())
            });
            let said = used.unwrap_err();
            assert!(said.contains("no regular file"), "{name}: {said}");
        }
    }

    /// To a new name the claims of its runs would be another's.
    #[test]
    fn a_folder_with_runs_that_lost_its_name_is_no_new_one() {
        for lost in [None, Some(""), Some("half of a na")] {
            let folder = tempfile::tempdir().unwrap();
            let name = WorkDir::open(folder.path()).unwrap().holder().to_owned();
            let file = folder.path().join(HOLDER);
            fs::create_dir(folder.path().join(RUNS).join("12-3")).unwrap();
            fs::remove_file(&file).unwrap();
            if let Some(text) = lost {
                fs::write(&file, text).unwrap();
            }
            for _ in 0..2 {
                let opened = WorkDir::open(folder.path());
                assert!(matches!(opened, Err(OpenError::Nameless { .. })));
                let looked = look(folder.path());
                assert!(matches!(looked, Err(OpenError::Nameless { .. })));
            }
            fs::write(&file, format!("{name}\n")).unwrap();
            assert_eq!(WorkDir::open(folder.path()).unwrap().holder(), name);
        }
    }

    #[test]
    fn a_folder_with_runs_that_lost_its_store_belongs_to_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = StoreId::new("a1".to_owned()).unwrap();
        let opened = WorkDir::open(folder.path()).unwrap();
        opened.belong_to(&store).unwrap();
        fs::create_dir(folder.path().join(RUNS).join("12-3")).unwrap();
        assert_eq!(opened.belong_to(&store).unwrap(), None);
        fs::remove_file(folder.path().join(STORE)).unwrap();
        let why = opened.belong_to(&store).unwrap_err();
        assert!(why.to_string().contains("(a1 for this store)"), "{why}");
        fs::remove_dir(folder.path().join(RUNS).join("12-3")).unwrap();
        assert_eq!(opened.belong_to(&store).unwrap(), None);
    }

    #[test]
    fn only_names_of_runs_are_runs() {
        assert_eq!(run_key("12-3").unwrap().to_string(), "12-3");
        for name in ["12", "12-", "-3", "0-1", "012-3", "12-3-4", "+12-3"] {
            assert_eq!(run_key(name), None, "{name}");
        }
    }
}
