//! The processes of this machine, as the kernel lists them.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::OpenError;
use super::marks::seen;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Where what is asked for stands among the words of `/proc/PID/stat` that follow the name.
const STATE: usize = 0;
const PARENT: usize = 1;
const GROUP: usize = 2;
const SESSION: usize = 3;
const THREADS: usize = 17;
const BORN: usize = 19;

/// A process that lives.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub pid: i32,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    /// When it was started, as time since boot; rounded down.
    pub born: Duration,
}

impl Process {
    /// A file about it.
    pub fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.pid))
    }
}

/// What one look at the kernel's list found, without this process.
#[derive(Default)]
pub(super) struct Look {
    /// Those that live.
    pub alive: Vec<Process>,
    /// Those that were listed and had died when they were looked at, just then or long ago; with
    /// their session, if that was still to be seen.
    pub dead: HashMap<i32, Option<i32>>,
}

/// The name of this boot.
pub(super) fn boot_id() -> Result<String, OpenError> {
    let failed = |source| OpenError::Folder {
        path: PathBuf::from(BOOT_ID),
        source,
    };
    let id = fs::read_to_string(BOOT_ID).map_err(failed)?;
    Ok(id.trim_end().to_owned())
}

/// Whether the kernel tells who a process's children are.
pub(super) fn are_children_told() -> bool {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten();
    threads
        .flatten()
        .any(|thread| thread.path().join("children").exists())
}

/// Looks once.
pub(super) fn look() -> io::Result<Look> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let mut look = Look::default();
    let mut pids: Vec<i32> = Vec::new();
    for entry in fs::read_dir("/proc")? {
        pids.extend(
            entry?
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<i32>().ok()),
        );
    }
    // The newest first: they are the most likely to end before their turn.
    pids.sort_unstable_by(|one, other| other.cmp(one));
    for pid in pids {
        match any(pid)? {
            Some((process, true)) => drop(look.dead.insert(pid, Some(process.session))),
            Some((process, false)) if pid != own => look.alive.push(process),
            Some(_) => (),
            None => drop(look.dead.insert(pid, None)),
        }
    }
    Ok(look)
}

/// The process of this number; `None`: it is dead, for one that waits to be buried is, too.
pub(super) fn one(pid: i32) -> io::Result<Option<Process>> {
    let found = any(pid)?.filter(|(_, is_dead)| !is_dead);
    Ok(found.map(|(process, _)| process))
}

/// The same, also of one that is dead and not buried, and whether it is.
fn any(pid: i32) -> io::Result<Option<(Process, bool)>> {
    let text = seen(fs::read_to_string(format!("/proc/{pid}/stat")))?;
    Ok(text.and_then(|text| parse(pid, &text)))
}

/// Adds to some processes whatever they have started, as far as that is known.
pub(super) fn add_descendants(all: &[Process], some: &mut HashSet<i32>) {
    let mut before = 0;
    while some.len() > before {
        before = some.len();
        for process in all {
            if some.contains(&process.parent) {
                some.insert(process.pid);
            }
        }
    }
}

/// What the kernel says of a process, and whether it is dead.
fn parse(pid: i32, text: &str) -> Option<(Process, bool)> {
    // The name may hold anything.
    let (_, rest) = text.rsplit_once(") ")?;
    let words: Vec<_> = rest.split_ascii_whitespace().collect();
    let number = |at: usize| words.get(at)?.parse::<u64>().ok();
    // Of a process whose first thread has ended others may live.
    let is_dead = matches!(*words.get(STATE)?, "Z" | "X") && number(THREADS)? <= 1;
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let born = Duration::from_secs(number(BORN)?) / u32::try_from(ticks).ok()?;
    let process = Process {
        pid,
        parent: words.get(PARENT)?.parse().ok()?,
        group: words.get(GROUP)?.parse().ok()?,
        session: words.get(SESSION)?.parse().ok()?,
        born,
    };
    Some((process, is_dead))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(state: &str, threads: u64) -> String {
        format!("7 (a) R 1 (b)) {state} 5 7 6 0 -1 0 0 0 0 0 0 0 0 0 20 0 {threads} 0 200 1 2")
    }

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let ticks = u32::try_from(rustix::param::clock_ticks_per_second()).unwrap();
        let expected = Process {
            pid: 7,
            parent: 5,
            group: 7,
            session: 6,
            born: Duration::from_secs(200) / ticks,
        };
        assert_eq!(parse(7, &line("S", 1)), Some((expected, false)));
    }

    #[test]
    fn the_dead_do_not_count_unless_a_thread_lives() {
        assert!(parse(7, &line("Z", 1)).unwrap().1);
        assert!(!parse(7, &line("Z", 2)).unwrap().1);
    }

    #[test]
    fn descendants_are_found_in_any_order() {
        let process = |pid, parent| Process {
            pid,
            parent,
            group: 0,
            session: 0,
            born: Duration::ZERO,
        };
        let all = [process(5, 4), process(4, 3), process(9, 1)];
        let mut some = HashSet::from([3]);
        add_descendants(&all, &mut some);
        assert_eq!(some, HashSet::from([3, 4, 5]));
    }
}
