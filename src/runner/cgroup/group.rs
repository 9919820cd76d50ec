//! The cgroup of one run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{MOUNT, PROCS, files};

/// Who moves by its own hand.
const MYSELF: &str = "0";
/// How long the kernel may take to forget who has just ended.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A cgroup.
#[derive(Clone, Debug)]
pub struct Group(PathBuf);

/// What the processes of a cgroup have used, also those that are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// CPU time.
    pub cpu: Duration,
    /// The most memory, in bytes, with what the kernel keeps of their files; `None`: the kernel
    /// (before 5.19) does not remember.
    pub peak_memory: Option<u64>,
    /// Memory just now, in bytes.
    pub memory: u64,
    /// Whether one more process was refused.
    pub refused_process: bool,
}

impl Group {
    /// One that is there, or was.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// That of this process.
    pub fn own() -> io::Result<Self> {
        let text = files::read(Path::new("/proc/self/cgroup"))?;
        let path = files::own_path(&text);
        let path = path.ok_or_else(|| io::Error::other("this process is in no cgroup"))?;
        Ok(Self(Path::new(MOUNT).join(path.trim_start_matches('/'))))
    }

    /// Makes it anew; what is left of one of its name must be without processes.
    pub fn create(path: &Path) -> io::Result<Self> {
        let group = Self::at(path);
        group.remove()?;
        fs::create_dir(path)?;
        Ok(group)
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Moves this process into it.
    pub fn enter(&self) -> io::Result<()> {
        self.write(PROCS, MYSELF)
    }

    /// Limits all of it together; who is over the limit of memory dies with all the others.
    pub fn limit(&self, memory: u64, processes: u32) -> io::Result<()> {
        self.write("memory.oom.group", "1")?;
        match self.write("memory.swap.max", "0") {
            // A kernel without swap.
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            written => written?,
        }
        self.write("memory.max", &memory.to_string())?;
        self.write("pids.max", &processes.to_string())
    }

    /// Kills all processes in it, however fast they multiply. One that is gone has none.
    pub fn kill(&self) {
        let _ = self.write("cgroup.kill", "1");
    }

    /// Whether something in it lives. In one that is gone nothing does: the kernel removes none
    /// that has processes.
    pub fn is_populated(&self) -> io::Result<bool> {
        let events = match self.read("cgroup.events") {
            Err(error) if is_gone(&error) => return Ok(false),
            read => read?,
        };
        let populated = files::value(&events, "populated");
        populated
            .map(|number| number > 0)
            .ok_or_else(|| io::Error::other("cgroup.events does not say whether it is populated"))
    }

    /// Whether it reached its own limit of memory, and processes died of that.
    pub fn ran_out_of_memory(&self) -> bool {
        self.value("memory.events.local", "oom") > Some(0)
    }

    /// What it has used up to now.
    pub fn uses(&self) -> Uses {
        let bytes = |name| self.read(name).ok()?.trim_end().parse().ok();
        let micros = self.value("cpu.stat", "usage_usec").unwrap_or(0);
        Uses {
            cpu: Duration::from_micros(micros),
            peak_memory: bytes("memory.peak"),
            memory: bytes("memory.current").unwrap_or(0),
            refused_process: self.value("pids.events", "max") > Some(0),
        }
    }

    /// Removes it, with what its processes have made below it; one that is not there is no error.
    pub fn remove(&self) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match remove(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    if self.is_populated()? || Instant::now() > deadline {
                        return Err(error);
                    }
                }
                removed => return removed,
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    fn value(&self, name: &str, key: &str) -> Option<u64> {
        files::value(&self.read(name).ok()?, key)
    }

    fn read(&self, name: &str) -> io::Result<String> {
        files::read(&self.0.join(name))
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        files::write(&self.0.join(name), text)
    }
}

/// A file of a cgroup that is removed while it is open has no device any more.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::NODEV)
    )
}

/// Children first; the files in it are the kernel's, and go with it.
fn remove(folder: &Path) -> io::Result<()> {
    let mut folders = vec![folder.to_owned()];
    let mut next = 0;
    while let Some(folder) = folders.get(next) {
        let mut inner = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                inner.push(entry.path());
            }
        }
        folders.append(&mut inner);
        next += 1;
    }
    folders.iter().rev().try_for_each(fs::remove_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "Cannot be read" is not "empty": a second run would be started beside what lives in it.
    #[test]
    fn only_the_kernels_word_makes_a_cgroup_empty() {
        let folder = tempfile::tempdir().unwrap();
        let events = folder.path().join("cgroup.events");
        let group = Group::at(folder.path());
        for (text, lives) in [("populated 1\nfrozen 0\n", true), ("populated 0\n", false)] {
            fs::write(&events, text).unwrap();
            assert_eq!(group.is_populated().unwrap(), lives, "{text}");
        }
        fs::write(&events, "frozen 0\n").unwrap();
        assert!(group.is_populated().is_err());
        fs::remove_file(&events).unwrap();
        fs::create_dir(&events).unwrap();
        assert!(group.is_populated().is_err());
        assert!(
            !Group::at(&folder.path().join("gone"))
                .is_populated()
                .unwrap()
        );
    }
}
