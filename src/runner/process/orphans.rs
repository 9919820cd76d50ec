//! What outlives a wrapper that somebody killed.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use super::super::cgroup::Group;

/// Removes the cgroup of a run of which nothing lives, if its wrapper could not.
pub(super) fn remove(cgroup: Option<&Path>) {
    // One that stays holds nothing, and another run has another name.
    let _ = cgroup.map(|path| Group::at(path).remove());
}

/// Kills what is in a run's cgroup; `false`: nothing is.
fn kill_in(group: &Group) -> bool {
    group.kill();
    group.is_populated()
}

/// Kills every process of a run without a wrapper; `false`: there is none. They are known by the
/// folder that they were given, as home or to work in: a number may be somebody else's by now.
pub(super) fn kill(work: &Path, cgroup: Option<&Path>) -> bool {
    let grouped = cgroup.map(Group::at).is_some_and(|group| kill_in(&group));
    let mut home = b"HOME=".to_vec();
    home.extend_from_slice(work.as_os_str().as_bytes());
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbered = processes.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok();
        Some((Pid::from_raw(pid?)?, entry.path()))
    });
    let orphans = numbered.filter(|(_, process)| {
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == home)
            || fs::read_link(process.join("cwd")).is_ok_and(|folder| folder.starts_with(work))
    });
    // A process that waits to be buried has neither.
    orphans.fold(grouped, |_, (pid, _)| {
        let _ = kill_process(pid, Signal::KILL);
        true
    })
}
