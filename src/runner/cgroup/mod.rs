//! cgroup v2: where a part of the tree of cgroups was handed to the runner, each run gets one of
//! its own below it. The kernel then holds the whole process tree to its limits, counts what it
//! uses and kills it at one blow.

mod delegation;
mod files;
mod group;

pub(super) use delegation::Delegation;
pub use delegation::Wanted;
pub(super) use group::Group;

/// Where the tree of cgroups is.
const MOUNT: &str = "/sys/fs/cgroup";
/// The processes of a cgroup; who writes there moves.
const PROCS: &str = "cgroup.procs";
/// The controllers that a cgroup can have, and those that its children have.
const CONTROLLERS: &str = "cgroup.controllers";
const SUBTREE_CONTROL: &str = "cgroup.subtree_control";
