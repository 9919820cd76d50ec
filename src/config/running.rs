//! How jobs are run: `[conductor]`, `[runner]` and `[runner.process]`.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::check::{Fault, fault};
use super::{Config, units};
use crate::runner::socket::MAX_PATH_BYTES;

/// So many renewals must fit into a lease: one that fails loses nothing yet.
const RENEWALS_IN_A_LEASE: u32 = 3;

/// The most jobs at a time: each is several processes.
const MAX_SLOTS: usize = 65_536;

/// `[conductor]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conductor {
    /// Whether jobs are run here at all.
    pub enabled: bool,
    /// Jobs at a time; 0: as many as there are cores.
    pub slots: usize,
    /// How long a claim lasts before its run has started.
    #[serde(deserialize_with = "units::duration")]
    pub lease: Duration,
    /// How long it lasts once the job runs.
    #[serde(deserialize_with = "units::duration")]
    pub run_lease: Duration,
    /// So many failed runs fail a job.
    pub max_runs: u32,
    /// More abandons trash a job.
    pub max_abandons: u32,
    /// How long a job rests after its first failure.
    #[serde(deserialize_with = "units::duration")]
    pub retry_after: Duration,
    /// It never rests longer.
    #[serde(deserialize_with = "units::duration")]
    pub retry_longest: Duration,
}

/// `[runner]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runner {
    /// Which kind.
    pub kind: RunnerKind,
    /// Whether the daemon's own process is the runner.
    pub in_process: bool,
    /// Where else the runner is.
    pub socket: PathBuf,
    /// As whom it runs there; `None`: as the daemon's user, or as root.
    pub user: Option<String>,
    /// Whose daemon it serves there, beside root's; none: its own user's.
    pub allow_users: Vec<String>,
    /// As local processes.
    pub process: Process,
}

/// The ways to run a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunnerKind {
    /// As a process of this machine.
    Process,
}

/// `[runner.process]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// The folders below which programs are looked up.
    pub transformations: Vec<PathBuf>,
    /// The folder of the runs.
    pub work_dir: PathBuf,
    /// How long a run may take.
    #[serde(deserialize_with = "units::duration")]
    pub timeout: Duration,
    /// How long a program may take to end when it is asked to.
    #[serde(deserialize_with = "units::duration")]
    pub grace: Duration,
    /// Whose folders are kept.
    pub keep_work: KeepWork,
    /// How long after a run's end.
    #[serde(deserialize_with = "units::duration")]
    pub keep_for: Duration,
    /// What all of them may take on disk, in bytes.
    #[serde(deserialize_with = "units::size")]
    pub keep_size: usize,
    /// How many of them.
    pub keep_number: u32,
    /// Exit codes after which another run may do better.
    pub retry_exit_codes: Vec<i32>,
    /// Where runs get cgroups of their own.
    pub cgroup: Cgroup,
    /// What a run may use.
    pub limits: Limits,
}

/// Where runs get cgroups of their own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum Cgroup {
    /// Below the runner's, if that was handed to it.
    Auto,
    /// Nowhere.
    Off,
    /// Below the one of this path in the tree of cgroups.
    At(PathBuf),
}

impl From<String> for Cgroup {
    fn from(text: String) -> Self {
        match &*text {
            "auto" => Self::Auto,
            "off" => Self::Off,
            _ => Self::At(text.into()),
        }
    }
}

/// `[runner.process.limits]`: what ends a run that uses more.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// In bytes.
    #[serde(deserialize_with = "units::size")]
    pub memory: usize,
    /// Of all its processes.
    #[serde(deserialize_with = "units::duration")]
    pub cpu_time: Duration,
    /// Processes and threads.
    pub processes: u32,
    /// Of each file, in bytes.
    #[serde(deserialize_with = "units::size")]
    pub file_size: usize,
    /// Of standard output, and of standard error, in bytes.
    #[serde(deserialize_with = "units::size")]
    pub output_size: usize,
    /// Of everything in its folder, in bytes.
    #[serde(deserialize_with = "units::size")]
    pub folder_size: usize,
}

/// Whose folder is kept when its outcome is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeepWork {
    /// Nobody's.
    Never,
    /// That of runs that did not succeed.
    Failed,
    /// Everybody's.
    Always,
}

pub(super) fn check(config: &Config) -> Result<(), Fault> {
    let conductor = &config.conductor;
    if !conductor.enabled {
        return Ok(());
    }
    if conductor.max_runs == 0 {
        let hint = "1: a job whose run failed is not run again";
        return fault("conductor.max_runs", "must be 1 or more", hint);
    }
    if conductor.slots > MAX_SLOTS {
        let hint = "0: as many as there are cores";
        return fault(
            "conductor.slots",
            format!("must be at most {MAX_SLOTS}"),
            hint,
        );
    }
    if conductor.lease < RENEWALS_IN_A_LEASE * config.buffer.timeout {
        let what = format!(
            "{:?} is shorter than {RENEWALS_IN_A_LEASE} renewals, which may take buffer.timeout \
             ({:?}) each",
            conductor.lease, config.buffer.timeout
        );
        return fault("conductor.lease", what, "\"30s\" is the default");
    }
    if conductor.run_lease < conductor.lease {
        let what = "must not be shorter than conductor.lease";
        return fault("conductor.run_lease", what, "\"15m\" is the default");
    }
    if conductor.retry_longest < conductor.retry_after {
        let what = "must not be shorter than conductor.retry_after";
        return fault("conductor.retry_longest", what, "\"10m\" is the default");
    }
    check_socket(&config.runner)?;
    check_process(&config.runner.process)
}

fn check_socket(runner: &Runner) -> Result<(), Fault> {
    let (key, path) = ("runner.socket", &runner.socket);
    if !path.is_absolute() {
        let what = format!("{:?} is not an absolute path", path.display().to_string());
        return fault(key, what, "begin it with /");
    }
    if path.as_os_str().len() > MAX_PATH_BYTES {
        let what = format!("a socket's path has at most {MAX_PATH_BYTES} bytes");
        return fault(
            key,
            what,
            "\"/run/gristmill-runner/runner.sock\" is the default",
        );
    }
    let users = runner.user.iter().map(|user| ("runner.user", user));
    let allowed = runner.allow_users.iter();
    for (key, user) in users.chain(allowed.map(|user| ("runner.allow_users", user))) {
        if user.trim().is_empty() {
            let hint = "a user's name or number, for instance \"gristmill\"";
            return fault(key, "nobody has an empty name", hint);
        }
    }
    Ok(())
}

fn check_process(process: &Process) -> Result<(), Fault> {
    if process.transformations.is_empty() {
        let hint = "name the folders of your programs, or set conductor.enabled = false";
        let what = "without a folder of programs no job can run";
        return fault("runner.process.transformations", what, hint);
    }
    let paths = process.transformations.iter();
    let paths = paths.map(|path| ("runner.process.transformations", path));
    let paths = paths.chain([("runner.process.work_dir", &process.work_dir)]);
    for (key, path) in paths {
        if !path.is_absolute() {
            let what = format!("{:?} is not an absolute path", path.display().to_string());
            return fault(key, what, "begin it with /");
        }
    }
    if let Cgroup::At(path) = &process.cgroup
        && !is_in_tree(path)
    {
        let path = path.display().to_string();
        let what = format!("{path:?} is not \"auto\", \"off\", or a path in the tree of cgroups");
        let hint = "begin a path with /, as in the last line of /proc/self/cgroup";
        return fault("runner.process.cgroup", what, hint);
    }
    if process.limits.processes == 0 {
        let what = "a job is one process at least";
        return fault(
            "runner.process.limits.processes",
            what,
            "1024 is the default",
        );
    }
    if process.retry_exit_codes.contains(&0) {
        let what = "exit code 0 is success, and is not retried";
        return fault("runner.process.retry_exit_codes", what, "take the 0 out");
    }
    Ok(())
}

/// Whether a path is below the root, and not the root.
fn is_in_tree(path: &Path) -> bool {
    let mut parts = path.components();
    let below = |part| matches!(part, Component::Normal(_));
    parts.next() == Some(Component::RootDir) && parts.clone().count() > 0 && parts.all(below)
}
