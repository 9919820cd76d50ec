//! A run from its program's start to the end of the last process.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, Signal, pidfd_open};

use super::super::cgroup::Group;
use super::control::Control;
use super::journal::{Cause, Entry, Exit, Journal};
use super::launch::Launched;
use super::meter::Meter;
use super::tree::Tree;
use super::{Brief, End, since_boot};

/// How often the wrapper looks at what the daemon wants.
const TICK: Duration = Duration::from_millis(200);
/// A run that ends within this is written down once, with start and end.
const SHORT: Duration = Duration::from_millis(50);
/// The shortest and longest wait for processes that nobody tells the end of.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
const LONGEST_WAIT: Duration = Duration::from_millis(20);
/// Enough for a thread that only waits for the disk.
const THREAD_STACK_BYTES: usize = 64 * 1024;
/// What is killed and has more processes than these may grow faster than it is killed.
const FEW: usize = 8;

/// A run whose program was started.
pub struct Watch {
    brief: Brief,
    started: Duration,
    journal: Journal,
    control: Control,
    tree: Tree,
    /// The cgroup of the tree.
    group: Option<Group>,
    meter: Meter,
    /// Becomes readable when the program ends; `None`: the machine is short of descriptors.
    program: Option<OwnedFd>,
    cause: Option<Cause>,
    stage: Stage,
    /// Has the start outlive a crash of the machine; `None`: not begun.
    keeping: Option<JoinHandle<io::Result<()>>>,
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
        launched: Launched,
    ) -> Self {
        Self {
            meter: Meter::new(brief.limits, launched.outputs, launched.group.clone()),
            group: launched.group,
            tree: Tree::of(launched.program),
            program: pidfd_open(launched.program, PidfdFlags::empty()).ok(),
            brief,
            started,
            journal,
            control,
            cause: None,
            stage: Stage::Running,
            keeping: None,
        }
    }

    /// Returns when nothing lives and the journal says how it ended.
    pub fn see_through(mut self) -> io::Result<()> {
        let mut pause = SHORTEST_WAIT;
        while self.lives() {
            let now = since_boot();
            self.decide(now);
            if self.stage == Stage::Forced && self.fell() > FEW {
                // Who forks without end must not gain ground.
                pause = SHORTEST_WAIT;
            }
            if self.keeping.is_none() && now.saturating_sub(self.started) >= SHORT {
                self.keeping = self.keep_start();
            }
            self.wait(now, &mut pause);
        }
        // What cannot be cut off stays.
        let _ = self.meter.cut();
        let exit = self.exit();
        if let Some(group) = &self.group {
            // If that fails, it is tried again when the run is forgotten.
            let _ = group.remove();
        }
        self.journal.append(&Entry::Exit(exit))?;
        let kept = self.keeping.take().map(JoinHandle::join);
        if !matches!(kept, Some(Ok(Ok(())))) {
            sync_names()?;
        }
        self.journal.sync()
    }

    /// Whether something of the run lives, as far as can be seen: what cannot be looked at may.
    fn lives(&mut self) -> bool {
        let in_group = |group: &Group| group.is_populated().unwrap_or(true);
        self.tree.reap() || self.group.as_ref().is_some_and(in_group)
    }

    /// Kills all of it; returns how many there were outside of the cgroup.
    fn fell(&self) -> usize {
        if let Some(group) = &self.group {
            group.kill();
        }
        self.tree.fell()
    }

    /// Whether it is time to end the run.
    fn decide(&mut self, now: Duration) {
        match self.stage {
            Stage::Running => {
                // What the program leaves behind has no work to do any more.
                let ended = self.tree.end().is_some();
                self.cause = if ended { None } else { self.cause(now) };
                if self.cause.is_some_and(Cause::is_urgent) {
                    self.stage = Stage::Forced;
                } else if ended || self.cause.is_some() {
                    self.tree.ask();
                    self.stage = Stage::Asked(now + self.grace());
                }
            }
            Stage::Asked(until) => {
                // The time to tidy up is no time to do harm.
                let harm = self.meter.breach(now).filter(|cause| cause.is_urgent());
                if until <= now || harm.is_some() {
                    self.cause = self.cause.or(harm);
                    self.stage = Stage::Forced;
                }
            }
            Stage::Forced => (),
        }
    }

    fn cause(&mut self, now: Duration) -> Option<Cause> {
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
            self.meter.breach(now)
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
        } else {
            let end = match self.stage {
                Stage::Asked(until) => until.saturating_sub(now),
                _ if self.keeping.is_none() => SHORT,
                _ => TICK,
            };
            end.min(self.meter.due().saturating_sub(now)).min(TICK)
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
        let usage = self.meter.total();
        let killed = End::Signal(Signal::KILL.as_raw());
        let end = self.tree.end().unwrap_or(killed);
        Exit {
            end,
            cause: self.cause.or_else(|| self.cause_by_kernel(end)),
            at: self.brief.now.time_of_day(since_boot()),
            cpu: usage.cpu,
            peak_memory: usage.peak_memory,
            unseen: self.meter.unseen(),
        }
    }

    /// The limit that the kernel held the run to, and that ended it before anybody looked.
    fn cause_by_kernel(&self, end: End) -> Option<Cause> {
        let group = self.group.as_ref()?;
        let killed = End::Signal(Signal::KILL.as_raw());
        if end == killed && group.ran_out_of_memory() {
            Some(Cause::Memory)
        } else if end != End::Code(0) && group.uses().refused_process {
            Some(Cause::Processes)
        } else {
            None
        }
    }

    /// Has the start outlive a crash of the machine. A disk that is busy with what the program
    /// writes must not keep the wrapper from watching it.
    fn keep_start(&self) -> Option<JoinHandle<io::Result<()>>> {
        let journal = self.journal.try_clone().ok()?;
        let thread = Builder::new().stack_size(THREAD_STACK_BYTES);
        let keep = move || journal.sync().and_then(|()| sync_names());
        thread.spawn(keep).ok()
    }
}

/// Has the names of the journal and of the run's folder outlive a crash of the machine.
fn sync_names() -> io::Result<()> {
    File::open(".")?.sync_all()?;
    File::open("..")?.sync_all()
}

impl Cause {
    /// Whether every moment of it harms others.
    fn is_urgent(self) -> bool {
        match self {
            Self::Memory | Self::Processes | Self::Output | Self::Folder => true,
            Self::Stop
            | Self::Lease
            | Self::WallTime
            | Self::CpuTime
            | Self::StopUnheeded
            | Self::WallTimeUnheeded => false,
        }
    }
}
