//! What outlives a wrapper that somebody killed.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::super::cgroup::Group;
use super::marks::Marks;

/// A tree that still grows after so many looks is killed without being stopped first.
const STOP_ROUNDS: usize = 100;

/// Removes the cgroup of a run of which nothing lives, if its wrapper could not.
pub(super) fn remove(cgroup: Option<&Path>) {
    // One that stays holds nothing, and another run has another name.
    let _ = cgroup.map(|path| Group::at(path).remove());
}

/// Whether something of a run lives.
pub(super) fn live(marks: &Marks) -> io::Result<bool> {
    if let Some(path) = marks.cgroup()
        && Group::at(path).is_populated()?
    {
        return Ok(true);
    }
    let found = marks.find()?;
    Ok(found.elsewhere || !found.ours.is_empty())
}

/// Kills every process of a run, its wrapper too; `false`: there is none. To be repeated until
/// then. What has the run's name in another folder is another runner's to end: it is let live, and
/// counts.
///
/// Groups die at one blow, whatever they are doing. The others are stopped first, and killed when a
/// look finds no new ones: those that fork would gain ground between a look and the blow.
pub(super) fn kill(marks: &Marks) -> io::Result<bool> {
    let grouped = match marks.cgroup() {
        Some(path) => kill_in(&Group::at(path))?,
        None => false,
    };
    let mut stopped = HashSet::new();
    let mut elsewhere = false;
    for _ in 0..STOP_ROUNDS {
        let found = marks.find()?;
        elsewhere = found.elsewhere;
        let before = stopped.len();
        for group in found.groups.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        for pid in found.ours {
            if stopped.insert(pid) {
                signal(pid, Signal::STOP);
            }
        }
        if stopped.len() == before {
            break;
        }
    }
    for pid in &stopped {
        signal(*pid, Signal::KILL);
    }
    Ok(grouped || elsewhere || !stopped.is_empty())
}

/// Kills what is in a run's cgroup; `false`: nothing is.
fn kill_in(group: &Group) -> io::Result<bool> {
    group.kill();
    group.is_populated()
}

fn signal(pid: i32, signal: Signal) {
    // One that has gone needs none; one that may not be killed is found again.
    let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, signal));
}
