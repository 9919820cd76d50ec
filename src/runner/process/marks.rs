//! What the processes of a run are known by when their wrapper cannot be asked. A program may lose
//! some of these marks (its home, its folder, its environment), hardly all; one is enough.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::super::wrapper::Start;
use super::super::wrapper::folder::WORK;
use super::processes::{self, Look, Process};
use crate::job::{RunKey, StoreId};

/// The variable that names a run in the environment of its processes.
pub(super) const VARIABLE: &str = "GRISTMILL_TREE";
/// The bits of a file's flags that say how it was opened; 0: for reading.
const ACCESS_MODE: u32 = 0o3;

/// After so many looks it is not known whether what comes and goes belongs to a run.
const MAX_LOOKS: usize = 100;

/// The marks of one run.
pub(super) struct Marks {
    folder: PathBuf,
    /// Entries of an environment, either of which is a mark.
    entries: [Vec<u8>; 2],
    /// How an entry begins that names the run in any folder; `None`: the store is not known.
    elsewhere: Option<Vec<u8>>,
    /// How the run started, in this boot.
    start: Option<Start>,
}

/// The living processes of a run.
pub(super) struct Found {
    /// Those that belong to the run of this folder.
    pub ours: HashSet<i32>,
    /// Groups that consist of such processes.
    pub groups: HashSet<i32>,
    /// Whether there are some that belong to a run of this name in another folder.
    pub elsewhere: bool,
}

/// Which run a process says that it belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kin {
    Ours,
    Elsewhere,
    None,
}

/// What [`VARIABLE`] says of a run. The store's name has no space in it.
pub(super) fn value(store: &StoreId, run: RunKey, folder: &Path) -> std::ffi::OsString {
    let mut value = std::ffi::OsString::from(format!("{store} {run} "));
    value.push(folder);
    value
}

impl Marks {
    /// Of the run in this folder. `start`: if it is known, in this boot.
    pub fn new(
        store: Option<&StoreId>,
        run: RunKey,
        folder: PathBuf,
        start: Option<Start>,
    ) -> Self {
        let entry = |name: &str, value: &std::ffi::OsStr| {
            let mut entry = format!("{name}=").into_bytes();
            entry.extend_from_slice(value.as_bytes());
            entry
        };
        let home = entry("HOME", folder.join(WORK).as_os_str());
        let named = store.map(|store| entry(VARIABLE, &value(store, run, &folder)));
        let elsewhere = store.map(|store| entry(VARIABLE, &value(store, run, Path::new(""))));
        Self {
            entries: [named.unwrap_or_else(|| home.clone()), home],
            folder,
            elsewhere,
            start,
        }
    }

    /// The cgroup that the run has for itself.
    pub fn cgroup(&self) -> Option<&Path> {
        self.start.as_ref()?.cgroup.as_deref()
    }

    /// Looks at all processes. An error is no answer: they may live.
    ///
    /// A process that dies while it is looked at may have started another one that the list did
    /// not have yet, so that nothing is found counts only if that happened to none that may have
    /// been the run's. One in a session that also has others' processes was not: whatever is below
    /// a wrapper is in the wrapper's session, or in one that was made below it.
    pub fn find(&self) -> io::Result<Found> {
        let mut dead_before = HashSet::new();
        for _ in 0..MAX_LOOKS {
            let mut look = processes::look()?;
            let found = self.find_in(&mut look)?;
            let found_some = found.elsewhere || !found.ours.is_empty();
            let dead: HashSet<_> = look.dead.into_keys().collect();
            if found_some || dead.is_subset(&dead_before) {
                return Ok(found);
            }
            dead_before = dead;
        }
        let what = "processes come and go too fast to tell whether they belong to the run";
        Err(io::Error::other(what))
    }

    /// Leaves among the dead those that may have been the run's.
    fn find_in(&self, look: &mut Look) -> io::Result<Found> {
        let Look { alive: all, dead } = look;
        let session = self.session(all);
        let mut found = Found {
            ours: HashSet::new(),
            groups: HashSet::new(),
            elsewhere: false,
        };
        let mut sessions_of_others = HashSet::new();
        for process in all.iter() {
            let in_session = session.is_some_and(|session| process.session == session);
            match if in_session {
                Kin::Ours
            } else {
                self.kin(process)?
            } {
                Kin::Ours => drop(found.ours.insert(process.pid)),
                Kin::Elsewhere => found.elsewhere = true,
                Kin::None if processes::one(process.pid)?.is_none() => {
                    dead.insert(process.pid, Some(process.session));
                }
                Kin::None => drop(sessions_of_others.insert(process.session)),
            }
        }
        let is_anothers =
            |session: &Option<i32>| session.is_some_and(|it| sessions_of_others.contains(&it));
        dead.retain(|_, session| !is_anothers(session));
        processes::add_descendants(all, &mut found.ours);
        // A group is within a session, and so is all that its leader began.
        let within = |process: &&Process| {
            let is_led = found.ours.contains(&process.session);
            found.ours.contains(&process.pid) && (is_led || session == Some(process.session))
        };
        let groups = all.iter().filter(within).map(|process| process.group);
        found.groups = groups.collect();
        Ok(found)
    }

    /// The wrapper's session, which its program cannot give back: its number is not given away as
    /// long as it has a member. A leader that is younger than the run has got it after that.
    fn session(&self, all: &[Process]) -> Option<i32> {
        let start = self.start.as_ref()?;
        let leader = all.iter().find(|process| process.pid == start.pid);
        let is_younger = leader.is_some_and(|leader| leader.born > start.since_boot);
        (!is_younger).then_some(start.pid)
    }

    fn kin(&self, process: &Process) -> io::Result<Kin> {
        let environment = seen(fs::read(process.path("environ")))?.unwrap_or_default();
        let mut kin = Kin::None;
        for entry in environment.split(|byte| *byte == 0) {
            if self.entries.iter().any(|ours| ours == entry) {
                return Ok(Kin::Ours);
            }
            let named = self.elsewhere.as_ref();
            if named.is_some_and(|start| entry.starts_with(start)) {
                kin = Kin::Elsewhere;
            }
        }
        let folder = seen(fs::read_link(process.path("cwd")))?;
        let works_there = folder.is_some_and(|folder| folder.starts_with(self.folder.join(WORK)));
        if works_there || self.writes_there(process)? {
            kin = Kin::Ours;
        }
        Ok(kin)
    }

    /// Whether a process writes to a file of the run: its output, its progress, or its journal.
    /// Who only reads may be an operator.
    fn writes_there(&self, process: &Process) -> io::Result<bool> {
        let Some(descriptors) = seen(fs::read_dir(process.path("fd")))? else {
            return Ok(false);
        };
        for descriptor in descriptors {
            let Some(descriptor) = seen(descriptor)? else {
                continue;
            };
            let file = seen(fs::read_link(descriptor.path()))?;
            if !file.is_some_and(|file| file.starts_with(&self.folder)) {
                continue;
            }
            let about = process.path("fdinfo").join(descriptor.file_name());
            if seen(fs::read_to_string(about))?.is_some_and(|about| is_for_writing(&about)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn is_for_writing(about: &str) -> bool {
    let flags = about.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & ACCESS_MODE != 0)
}

/// What can be seen of a process; `None`: it has just gone, is another user's, or is in a folder
/// too deep to be named, which must not keep other runs from their end.
pub(super) fn seen<T>(looked: io::Result<T>) -> io::Result<Option<T>> {
    use Errno as E;
    match looked {
        Ok(seen) => Ok(Some(seen)),
        Err(error) => match Errno::from_io_error(&error) {
            Some(E::NOENT | E::SRCH | E::ACCESS | E::PERM | E::NAMETOOLONG) => Ok(None),
            _ => Err(error),
        },
    }
}
