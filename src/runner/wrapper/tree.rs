//! The process tree below a wrapper. It is the reaper of whatever its parent leaves, so that
//! nothing escapes by leaving its group or session, or by losing its parent.

use std::collections::HashSet;
use std::fs;

use rustix::io::Errno;
use rustix::process::{
    self, Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, WaitOptions, waitid, waitpid,
};

use super::journal::End;

/// Who still starts processes after so many rounds is killed without being stopped first.
const STOP_ROUNDS: usize = 100;

/// Whatever was started below this process.
pub struct Tree {
    /// The program: the leader of its group. It is buried last, for as long as it is not, its
    /// number is its group's and nobody else's.
    program: Pid,
    buried: bool,
    /// What became of it.
    end: Option<End>,
}

impl Tree {
    /// The tree of a program that was just started.
    pub fn of(program: Pid) -> Self {
        Self {
            program,
            buried: false,
            end: None,
        }
    }

    /// What became of the program; `None`: it lives.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// Takes note of what has died; `false`: nothing lives. Those who die meanwhile are left for
    /// the next time: there may be no end of them.
    pub fn reap(&mut self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if self.end.is_none()
            && let Ok(Some(status)) = waitid(WaitId::Pid(self.program), look)
        {
            self.end = end_of(&status);
        }
        let mut left = self.end.is_none();
        for child in children(process::getpid()) {
            left |= child != self.program && !bury(child);
        }
        if left {
            return true;
        }
        self.buried |= bury(self.program);
        // The list of children may lack some, if it was read while others died.
        !matches!(process::wait(WaitOptions::NOHANG), Err(Errno::CHILD))
    }

    /// Asks all processes to end.
    pub fn ask(&self) {
        self.signal_group(Signal::TERM);
        for pid in descendants(usize::MAX) {
            if self.buried || process::getpgid(Some(pid)) != Ok(self.program) {
                let _ = process::kill_process(pid, Signal::TERM);
            }
        }
    }

    /// Kills all processes; returns how many there were. The group dies at one blow, whatever it
    /// is doing. Who left it is stopped first, and killed when nobody is left who could start
    /// another: the dead make room for new ones below the kernel's limit, the stopped do not.
    /// What was missed is caught the next time: repeat it until nothing lives.
    pub fn fell(&self) -> usize {
        self.signal_group(Signal::KILL);
        let mut stopped = HashSet::new();
        for _ in 0..STOP_ROUNDS {
            let before = stopped.len();
            for pid in descendants(usize::MAX) {
                if stopped.insert(pid) {
                    let _ = process::kill_process(pid, Signal::STOP);
                }
            }
            if stopped.len() == before {
                break;
            }
        }
        for pid in &stopped {
            let _ = process::kill_process(*pid, Signal::KILL);
        }
        stopped.len()
    }

    fn signal_group(&self, signal: Signal) {
        if !self.buried {
            let _ = process::kill_process_group(self.program, signal);
        }
    }
}

/// Whether a child is dead and now buried.
fn bury(child: Pid) -> bool {
    matches!(waitpid(Some(child), WaitOptions::NOHANG), Ok(Some(_)))
}

fn end_of(status: &WaitIdStatus) -> Option<End> {
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
