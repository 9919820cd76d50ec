//! How a program comes to life in a cgroup: children are born where their parent is, so the wrapper
//! goes there for as long as the start takes. The limits follow when it is back, for it would be
//! under them, too.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::Pid;

use super::super::cgroup::Group;
use super::tree::Tree;
use super::{Limits, Refusal};

/// How often to look whether what was killed is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Has `start` start a program in a new cgroup of this path, and then under its limits.
pub fn start_in(
    path: &Path,
    limits: &Limits,
    start: impl FnOnce() -> Result<Pid, Refusal>,
) -> Result<(Pid, Group), Refusal> {
    let refuse = |error: io::Error| {
        let next = "if it stays so, restart the runner, which then looks what it has";
        let what = format!("no cgroup for the run, {} ({next})", path.display());
        Refusal::before(what, error)
    };
    let home = Group::own().map_err(refuse)?;
    let group = Group::create(path).map_err(refuse)?;
    let started = group.enter().map_err(refuse).and_then(|()| start());
    let back = home.enter().map_err(refuse);
    let limited = back.and_then(|()| {
        let limited = group.limit(limits.memory, limits.processes);
        limited.map_err(refuse)
    });
    let done = started.and_then(|program| {
        limited
            .map(|()| program)
            .inspect_err(|_| end(Tree::of(program)))
    });
    if done.is_err() {
        let _ = group.remove();
    }
    done.map(|program| (program, group))
}

/// A program that must not run without limits.
fn end(mut tree: Tree) {
    while tree.reap() {
        tree.fell();
        std::thread::sleep(LOOK_AGAIN);
    }
}
