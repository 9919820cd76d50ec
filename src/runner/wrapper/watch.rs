//! A run from its program's start to the end of the last process.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use super::control::Control;
use super::journal::{Cause, Entry, Exit, Journal};
use super::tree::Tree;
use super::{Brief, End, since_boot};

/// How often the wrapper looks at what it must not miss.
const TICK: Duration = Duration::from_millis(200);
/// A run that ends within this is written down once, with start and end.
const SHORT: Duration = Duration::from_millis(50);
/// The shortest and longest wait for processes that nobody tells the end of.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
const LONGEST_WAIT: Duration = Duration::from_millis(20);

/// A run whose program was started.
pub struct Watch {
    brief: Brief,
    started: Duration,
    journal: Journal,
    control: Control,
    tree: Tree,
    /// Becomes readable when the program ends; `None`: the machine is short of descriptors.
    program: Option<OwnedFd>,
    cause: Option<Cause>,
    stage: Stage,
    /// Whether the start outlives a crash of the machine.
    synced: bool,
}

/// How far a run is from its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The program runs.
    Running,
    /// It is asked to end, and made to at this time since boot.
    Asked(Duration),
    /// It is made to end.
    Forced,
}

impl Watch {
    /// Of a program that was just started.
    pub fn new(
        brief: Brief,
        started: Duration,
        journal: Journal,
        control: Control,
        program: Pid,
    ) -> Self {
        Self {
            brief,
            started,
            journal,
            control,
            tree: Tree::of(program),
            program: pidfd_open(program, PidfdFlags::empty()).ok(),
            cause: None,
            stage: Stage::Running,
            synced: false,
        }
    }

    /// Returns when nothing lives and the journal says how it ended.
    pub fn see_through(mut self) -> io::Result<()> {
        let mut pause = SHORTEST_WAIT;
        while self.tree.reap() {
            let now = since_boot();
            self.decide(now);
            if self.stage == Stage::Forced {
                self.tree.signal(Signal::KILL);
            }
            if !self.synced && now.saturating_sub(self.started) >= SHORT {
                // At the end it is tried again.
                let _ = self.sync();
            }
            self.wait(now, &mut pause);
        }
        self.journal.append(&Entry::Exit(self.exit()))?;
        self.sync()
    }

    /// Whether it is time to end the run.
    fn decide(&mut self, now: Duration) {
        match self.stage {
            Stage::Running => {
                // What the program leaves behind has no work to do any more.
                let ended = self.tree.end().is_some();
                self.cause = if ended { None } else { self.cause(now) };
                if ended || self.cause.is_some() {
                    self.tree.signal(Signal::TERM);
                    self.stage = Stage::Asked(now + self.grace());
                }
            }
            Stage::Asked(until) if until <= now => self.stage = Stage::Forced,
            Stage::Asked(_) | Stage::Forced => (),
        }
    }

    fn cause(&self, now: Duration) -> Option<Cause> {
        // Who cannot read the file any more (somebody destroyed it) still has the other limits.
        let wish = self.control.read().ok();
        let lapsed = wish.and_then(|wish| wish.lease_until);
        if wish.is_some_and(|wish| wish.stop) {
            Some(Cause::Stop)
        } else if lapsed.is_some_and(|until| until <= now) {
            Some(Cause::Lease)
        } else if now.saturating_sub(self.started) >= self.brief.timeout {
            Some(Cause::WallTime)
        } else {
            None
        }
    }

    /// Who rescues a lapsed run counts on its end within the grace time.
    fn grace(&self) -> Duration {
        match self.cause {
            Some(Cause::Lease) => self.brief.grace / 2,
            _ => self.brief.grace,
        }
    }

    fn wait(&self, now: Duration, pause: &mut Duration) {
        let limit = if self.tree.end().is_some() || self.stage == Stage::Forced {
            // Their parents wait for them, or nobody does.
            *pause = (*pause * 2).min(LONGEST_WAIT);
            *pause
        } else if let Stage::Asked(until) = self.stage {
            until.saturating_sub(now).min(TICK)
        } else if self.synced {
            TICK
        } else {
            SHORT
        };
        let timeout = Timespec::try_from(limit).ok();
        let ending = self.program.as_ref().filter(|_| self.tree.end().is_none());
        let mut fds: Vec<_> = ending
            .map(|program| PollFd::new(program, PollFlags::IN))
            .into_iter()
            .collect();
        // A signal that interrupts it only makes the next look earlier.
        let _ = poll(&mut fds, timeout.as_ref());
    }

    fn exit(&self) -> Exit {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok();
        let cpu = usage.map(|usage| duration(usage.user_time()) + duration(usage.system_time()));
        let peak = usage.map(|usage| u64::try_from(usage.max_rss()).unwrap_or(0) * 1024);
        Exit {
            end: self
                .tree
                .end()
                .unwrap_or(End::Signal(Signal::KILL.as_raw())),
            cause: self.cause,
            at: self.brief.now.time_of_day(since_boot()),
            cpu: cpu.unwrap_or_default(),
            peak_memory: peak.unwrap_or(0),
        }
    }

    /// Makes the journal outlive a crash of the machine: its lines, and at the first time its
    /// name and that of the run's folder.
    fn sync(&mut self) -> io::Result<()> {
        self.journal.sync()?;
        if !self.synced {
            self.synced = true;
            File::open(".")?.sync_all()?;
            File::open("..")?.sync_all()?;
        }
        Ok(())
    }
}

fn duration(time: TimeVal) -> Duration {
    let micros = u64::try_from(time.tv_usec()).unwrap_or(0);
    Duration::from_secs(u64::try_from(time.tv_sec()).unwrap_or(0)) + Duration::from_micros(micros)
}
