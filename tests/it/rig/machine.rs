//! A small Debian that runs its own systemd, in a container on the host's network.

use std::path::Path;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::process::{PATIENCE, Process, program};
use super::tree::{Tree, printed_well};

/// A running one; killed when dropped.
pub struct Machine {
    process: Process,
    tree: Tree,
}

impl Machine {
    /// Boots a tree until its systemd takes commands.
    pub fn boot(tree: Tree) -> Self {
        let mut container = tree.container();
        container.args(["--boot", "--console=pipe"]);
        let log = tree.root().with_file_name("console");
        let process = Process::start("systemd-nspawn", container, &log);
        let mut machine = Self { process, tree };
        let outside = machine.process.id();
        machine.process.wait_until("booted", || {
            leader(outside).is_some_and(|pid| {
                let state = enter(pid, "systemctl is-system-running");
                let state = String::from_utf8_lossy(&state.stdout).into_owned();
                ["running", "degraded"].contains(&state.trim_end())
            })
        });
        machine
    }

    /// Its files.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Runs a shell script in it, as its root.
    pub fn run(&self, script: &str) -> Output {
        let leader = leader(self.process.id()).expect("the machine's first process");
        enter(leader, script)
    }

    /// The same, which must go well; what it printed.
    pub fn does(&self, script: &str) -> String {
        printed_well(script, &self.run(script))
    }

    /// Waits until a script goes well; panics with the journal's end when that takes too long.
    pub fn waits_until(&self, script: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.run(script).status.success() {
            let journal = || self.does("journalctl --no-pager --lines 60");
            assert!(Instant::now() < deadline, "not {script}:\n{}", journal());
            sleep(Duration::from_millis(100));
        }
    }
}

/// The container's first process, seen from outside.
fn leader(nspawn: u32) -> Option<u32> {
    let children = Path::new("/proc").join(format!("{nspawn}/task/{nspawn}/children"));
    let children = std::fs::read_to_string(children).ok()?;
    let is_init = |pid: &u32| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name.trim_end() == "systemd")
    };
    let mut pids = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok());
    pids.find(is_init)
}

fn enter(leader: u32, script: &str) -> Output {
    let mut command = Command::new(program("nsenter", "util-linux"));
    command
        .args(["--all", "--target", &leader.to_string(), "--"])
        .args(["/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"])
        .args(["SYSTEMD_COLORS=0", "/bin/sh", "-ec", script]);
    command.output().expect("nsenter")
}
