//! The process tree below a wrapper. It is the reaper of whatever its parent leaves, so that
//! nothing escapes by leaving its group or session, or by losing its parent.

use std::collections::HashSet;
use std::fs;

use rustix::io::Errno;
use rustix::process::{self, Pid, Signal, WaitOptions, WaitStatus};

use super::journal::End;

/// Whatever was started below this process.
pub struct Tree {
    /// The program: the leader of its group.
    program: Pid,
    /// What became of it.
    end: Option<End>,
}

impl Tree {
    /// The tree of a program that was just started.
    pub fn of(program: Pid) -> Self {
        Self { program, end: None }
    }

    /// What became of the program; `None`: it lives.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// Takes note of what has died; `false`: nothing lives.
    pub fn reap(&mut self) -> bool {
        loop {
            match process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.program => self.end = end_of(status),
                Ok(Some(_)) | Err(Errno::INTR) => (),
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    /// Sends a signal to the program's group and to every process that left it; returns how many
    /// processes there were. What is being born just now may be missed outside of the group:
    /// repeat it until nothing lives.
    pub fn signal(&self, signal: Signal) -> usize {
        // As long as the program was not buried, its number is its group's and nobody else's.
        if self.end.is_none() {
            let _ = process::kill_process_group(self.program, signal);
        }
        let processes = descendants(usize::MAX);
        for pid in &processes {
            if self.end.is_some() || process::getpgid(Some(*pid)) != Ok(self.program) {
                let _ = process::kill_process(*pid, signal);
            }
        }
        processes.len()
    }
}

fn end_of(status: WaitStatus) -> Option<End> {
    let signal = || status.terminating_signal().map(End::Signal);
    status.exit_status().map(End::Code).or_else(signal)
}

/// The living processes below this one; not many more than `most`.
pub fn descendants(most: usize) -> Vec<Pid> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut parents = vec![process::getpid()];
    while let Some(parent) = parents.pop() {
        for child in children(parent) {
            if seen.insert(child) {
                found.push(child);
                parents.push(child);
            }
        }
        if found.len() > most {
            break;
        }
    }
    found
}

/// The children of all threads of a process; none where it has just gone.
fn children(parent: Pid) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{parent}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| pids(&list)).collect()
}

fn pids(list: &str) -> Vec<Pid> {
    let numbers = list.split_ascii_whitespace().flat_map(str::parse);
    numbers.filter_map(Pid::from_raw).collect()
}
