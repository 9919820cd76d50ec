//! A run's journal: locked by the run's wrapper until nothing of the run lives, and in it how the
//! run started and ended. One file, so that one fsync keeps all of it.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::folder::{self, CONTROL, Folder, JOURNAL};

/// More than this is not a journal of ours, in bytes.
const MAX_BYTES: u64 = 64 * 1024;
/// How long a wrapper waits for the lock while a daemon looks at the journal.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// The run never started and never will.
    Sealed,
    /// The program is about to start.
    Start(Start),
    /// Nothing of the run lives any more.
    Exit(Exit),
}

/// How a run started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The wrapper's process, and its session.
    pub pid: i32,
    /// The time of day.
    pub at: Timestamp,
    /// The time since boot.
    pub since_boot: Duration,
    /// Which boot.
    pub boot_id: String,
    /// The cgroup that is its own; `None`: it has none.
    #[serde(default)]
    pub cgroup: Option<PathBuf>,
    /// How long it may take; `None`: a wrapper of an earlier version does not say.
    #[serde(default)]
    pub timeout: Option<Duration>,
    /// How long it may take to end when it is asked to.
    #[serde(default)]
    pub grace: Option<Duration>,
    /// Whether its folder had a list of declared outputs, be it an empty one. Earlier versions wrote
    /// none where none were declared.
    #[serde(default)]
    pub lists_outputs: bool,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// What became of the program.
    pub end: End,
    /// Why the wrapper ended it, if it did.
    pub cause: Option<Cause>,
    /// When the last process was gone.
    pub at: Timestamp,
    /// Of the whole tree.
    pub cpu: Duration,
    /// Of the whole tree, in bytes.
    pub peak_memory: u64,
    /// What of the program's folder could not be looked at, and why.
    #[serde(default)]
    pub unseen: Option<String>,
}

impl Exit {
    /// Whether the runner wrote it while something of the run may have lived.
    pub fn is_overruled(&self) -> bool {
        self.cause.is_some_and(Cause::is_unheeded)
    }
}

/// What became of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// It ended by itself, with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// Why a wrapper ended its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Somebody wished it.
    Stop,
    /// The lease was not renewed in time.
    Lease,
    /// It took too long.
    WallTime,
    /// It used too much CPU time.
    CpuTime,
    /// It used too much memory.
    Memory,
    /// It had too many processes and threads.
    Processes,
    /// It wrote too much to standard output, standard error, or of its progress.
    Output,
    /// Its folder took too much.
    Folder,
    /// It was to stop, and its wrapper did not see to it.
    StopUnheeded,
    /// It took too long, and its wrapper did not see to it.
    WallTimeUnheeded,
}

impl Cause {
    /// Whether the runner itself ended the run.
    fn is_unheeded(self) -> bool {
        matches!(self, Self::StopUnheeded | Self::WallTimeUnheeded)
    }
}

/// Where a run stands, by its journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trace {
    /// It never started and never will.
    Never,
    /// Its folder is missing, or files in it without which nothing can be said.
    Gone,
    /// What stands in its folder is not what was put there.
    Foreign(String),
    /// Its wrapper lives; it may be about to start the program.
    Alive(Option<Start>),
    /// Its wrapper is gone; without an exit where it was killed.
    Ended(Start, Option<Exit>),
}

/// The file.
pub struct Journal(File);

impl Journal {
    /// The one of a run's folder, made if it is missing.
    pub fn open(folder: &Folder) -> io::Result<Self> {
        let how = OFlags::RDWR | OFlags::CREATE | OFlags::APPEND;
        folder.file(JOURNAL, how).map(Self)
    }

    /// Writes down that the runner itself ends the run in a folder, for `cause`, as if its wrapper
    /// had done so; returns how it started, if that can be read. Counts once its lock is free.
    pub fn overrule(folder: &Path, cause: Cause, at: Timestamp) -> io::Result<Option<Start>> {
        let how = OFlags::RDWR | OFlags::APPEND;
        let journal = Folder::open(folder)?.file(JOURNAL, how).map(Self)?;
        let mut entries = journal.read()?.into_iter();
        let Some(Entry::Start(start)) = entries.next() else {
            return Ok(None);
        };
        if entries.next().is_none() {
            journal.append(&Entry::Exit(Exit {
                end: End::Signal(Signal::KILL.as_raw()),
                cause: Some(cause),
                at,
                cpu: Duration::ZERO,
                peak_memory: 0,
                unseen: None,
            }))?;
        }
        Ok(Some(start))
    }

    /// When the run of a folder ended, as far as its journal says it.
    pub fn ended(folder: &Path) -> io::Result<Option<Timestamp>> {
        let journal = Folder::open(folder)?
            .file(JOURNAL, OFlags::RDONLY)
            .map(Self)?;
        let exit = journal.read()?.into_iter().find_map(|entry| match entry {
            Entry::Exit(exit) => Some(exit.at),
            Entry::Start(_) | Entry::Sealed => None,
        });
        Ok(exit)
    }

    /// Takes the lock; `false`: another one has it.
    pub fn try_lock(&self) -> io::Result<bool> {
        match flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Like [`Self::try_lock`], but waits while a daemon has a look.
    pub fn lock(&self) -> io::Result<bool> {
        let mut waited = Duration::ZERO;
        while !self.try_lock()? {
            if waited > PATIENCE {
                return Ok(false);
            }
            std::thread::sleep(LOOK_AGAIN);
            waited += LOOK_AGAIN;
        }
        Ok(true)
    }

    /// What it says; what was written by halves is left out.
    pub fn read(&self) -> io::Result<Vec<Entry>> {
        let mut file = &self.0;
        file.rewind()?;
        let mut text = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut text)?;
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        let whole = lines.filter_map(|line| line.strip_suffix(b"\n"));
        Ok(whole
            .map_while(|line| serde_json::from_slice(line).ok())
            .collect())
    }

    /// Adds a line.
    pub fn append(&self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        (&self.0).write_all(&line)
    }

    /// Takes everything back.
    pub fn clear(&self) -> io::Result<()> {
        self.0.set_len(0)
    }

    /// Another hand on the same file.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Makes sure that its lines outlive a crash of the machine.
    pub fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    /// Where the run in a folder stands. One that has not started is kept from it for good, for a
    /// wrapper may be on its way.
    pub fn trace(folder: &Path) -> io::Result<Trace> {
        match Folder::open(folder).and_then(|folder| Self::trace_in(&folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Trace::Gone),
            Err(error) if folder::is_foreign(&error) => Ok(Trace::Foreign(error.to_string())),
            trace => trace,
        }
    }

    fn trace_in(folder: &Folder) -> io::Result<Trace> {
        let is_whole = folder.has(CONTROL)? && folder.has(JOURNAL)?;
        let journal = Self::open(folder)?;
        if !journal.try_lock()? {
            let start = match journal.read()?.into_iter().next() {
                Some(Entry::Start(start)) => Some(start),
                _ => None,
            };
            return Ok(Trace::Alive(start));
        }
        let trace = journal.settled();
        // By itself the lock would go a moment later if somebody forks just now.
        flock(&journal.0, FlockOperation::Unlock)?;
        match trace? {
            Trace::Never if !is_whole => Ok(Trace::Gone),
            trace => Ok(trace),
        }
    }

    fn settled(&self) -> io::Result<Trace> {
        let mut entries = self.read()?.into_iter();
        match (entries.next(), entries.next()) {
            (Some(Entry::Start(start)), Some(Entry::Exit(exit))) => {
                Ok(Trace::Ended(start, Some(exit)))
            }
            (Some(Entry::Start(start)), _) => Ok(Trace::Ended(start, None)),
            (Some(_), _) => Ok(Trace::Never),
            (None, _) => self.append(&Entry::Sealed).map(|()| Trace::Never),
        }
    }
}
