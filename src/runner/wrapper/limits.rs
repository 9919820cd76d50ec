//! What a run may use at most.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// What a run may use at most. The limits of a process are the kernel's (rlimits), and those of a
/// tree that has a cgroup. The others are watched by the wrapper, which ends a run that exceeds one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Of the tree; without a cgroup also the data of each process; in bytes.
    pub memory: u64,
    /// Of the tree.
    pub cpu_time: Duration,
    /// Processes and threads of the tree.
    pub processes: u32,
    /// Of each file, in bytes.
    pub file_size: u64,
    /// Of standard output, and of standard error, in bytes.
    pub output_size: u64,
    /// Of everything in the program's folder, in bytes.
    pub folder_size: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 4 << 30,
            cpu_time: Duration::from_hours(24),
            processes: 1024,
            file_size: 20 << 30,
            output_size: 64 << 20,
            folder_size: 20 << 30,
        }
    }
}

/// The user's other processes may grow by so many while a run lasts: the kernel's limit of
/// processes counts all of a user's.
const OTHER_PROCESSES: u64 = 4096;
/// A process that the wrapper does not end for its CPU time (it was killed) is ended by the kernel
/// so much later.
const CPU_SLACK_S: u64 = 5;

impl Limits {
    /// Puts the limits that children inherit on this process. A cgroup knows better what a tree
    /// uses than the sizes of its processes, or the number of all that its user has.
    pub fn take_on(&self, in_cgroup: bool) -> io::Result<()> {
        lower(Resource::Core, 0)?;
        lower(Resource::Fsize, self.file_size)?;
        if in_cgroup {
            return Ok(());
        }
        let processes = tasks()? + OTHER_PROCESSES + u64::from(self.processes);
        lower(Resource::Data, self.memory)?;
        lower(Resource::Nproc, processes)
    }

    /// Puts those on a child that this process could not live under.
    pub fn put_on(&self, child: Pid) {
        let seconds = self.cpu_time.as_secs() + CPU_SLACK_S;
        let limit = Rlimit {
            current: Some(seconds),
            maximum: Some(seconds + CPU_SLACK_S),
        };
        // It may have ended, or have a lower limit.
        let _ = prlimit(Some(child), Resource::Cpu, limit);
    }
}

/// Lowers a limit; one that is lower already stays.
fn lower(resource: Resource, most: u64) -> io::Result<()> {
    let maximum = getrlimit(resource).maximum.unwrap_or(u64::MAX).min(most);
    let limit = Rlimit {
        current: Some(maximum),
        maximum: Some(maximum),
    };
    Ok(setrlimit(resource, limit)?)
}

/// How many processes and threads the machine has; no user has more.
fn tasks() -> io::Result<u64> {
    let load = fs::read_to_string("/proc/loadavg")?;
    let tasks = load.split_ascii_whitespace().nth(3);
    let tasks = tasks.and_then(|tasks| tasks.split_once('/')?.1.parse().ok());
    tasks.ok_or_else(|| io::Error::other("/proc/loadavg has no number of tasks"))
}
