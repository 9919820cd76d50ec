//! What a run uses, and whether that is too much.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::Pid;
use rustix::time::{ClockId, clock_gettime};

use super::super::cgroup::Group;
use super::folder::WORK;
use super::folder_size::Walk;
use super::journal::Cause;
use super::{Limits, since_boot, tree};

/// The first looks follow each other quickly, for what goes wrong mostly does so at the start.
const FIRST_INTERVAL: Duration = Duration::from_millis(10);
/// How often a run is looked at.
const INTERVAL: Duration = Duration::from_millis(200);
/// How often its folder is.
const FOLDER_INTERVAL: Duration = Duration::from_secs(1);
/// Looking takes at most this part of the time of a processor.
const SHARE: u32 = 20;
/// So many lots of names are looked at in a row.
const FOLDER_STEPS: usize = 64;
/// However long a look at the folder took, the next one is not later than this.
const LONGEST_FOLDER_PAUSE: Duration = Duration::from_secs(10);

/// Watches what a run uses.
pub struct Meter {
    limits: Limits,
    /// What the program writes to without opening it; it may be without a name by now.
    outputs: Vec<File>,
    /// Where the kernel counts for us.
    group: Option<Group>,
    interval: Duration,
    due: Duration,
    folder_interval: Duration,
    folder_due: Duration,
    /// The look at the folder that is not at its end.
    walk: Option<Walk>,
    /// What the last one did not see.
    unseen: Option<String>,
    /// Of the tree, in bytes, as far as it was seen.
    peak_memory: u64,
}

/// What a run used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Of processes that have ended.
    pub cpu: Duration,
    /// In bytes.
    pub peak_memory: u64,
}

impl Meter {
    /// For a program that is just starting.
    pub fn new(limits: Limits, outputs: Vec<File>, group: Option<Group>) -> Self {
        let now = since_boot();
        Self {
            limits,
            outputs,
            group,
            interval: FIRST_INTERVAL,
            due: now + FIRST_INTERVAL,
            folder_interval: FIRST_INTERVAL,
            folder_due: now + FIRST_INTERVAL,
            walk: None,
            unseen: None,
            peak_memory: 0,
        }
    }

    /// When it wants to look next, as time since boot.
    pub fn due(&self) -> Duration {
        self.due
    }

    /// What the last look at the folder did not see, and why.
    pub fn unseen(&self) -> Option<String> {
        self.unseen.clone()
    }

    /// The limit that is exceeded, if it is time to look.
    pub fn breach(&mut self, now: Duration) -> Option<Cause> {
        if now < self.due {
            return None;
        }
        let spent = processor_time();
        let breach = self.outputs().or_else(|| match self.group.clone() {
            Some(group) => self.processes_in(&group),
            None => self.processes(),
        });
        // On a busy machine a look takes long and costs little.
        let spent = processor_time().saturating_sub(spent);
        let breach = breach.or_else(|| self.folder(now));
        self.interval = (self.interval * 2).min(INTERVAL);
        self.due = since_boot() + self.interval.max(spent * SHARE);
        breach
    }

    /// What the whole run used, once it has ended.
    pub fn total(&self) -> Usage {
        if let Some(group) = &self.group {
            let uses = group.uses();
            return Usage {
                cpu: uses.cpu,
                peak_memory: uses.peak_memory.unwrap_or(self.peak_memory),
            };
        }
        let ended = of_ended_children();
        Usage {
            cpu: ended.cpu,
            peak_memory: ended.peak_memory.max(self.peak_memory),
        }
    }

    /// Cuts off what was written beyond the limit before the program was ended.
    pub fn cut(&self) -> io::Result<()> {
        for file in &self.outputs {
            if file.metadata()?.len() > self.limits.output_size {
                file.set_len(self.limits.output_size)?;
            }
        }
        Ok(())
    }

    fn outputs(&self) -> Option<Cause> {
        let sizes = self.outputs.iter().flat_map(File::metadata);
        let mut sizes = sizes.map(|metadata| metadata.len());
        let exceeded = sizes.any(|size| size > self.limits.output_size);
        exceeded.then_some(Cause::Output)
    }

    /// Of memory the kernel itself gives them no more.
    fn processes_in(&mut self, group: &Group) -> Option<Cause> {
        let uses = group.uses();
        self.peak_memory = self.peak_memory.max(uses.memory);
        if uses.refused_process {
            return Some(Cause::Processes);
        }
        (uses.cpu > self.limits.cpu_time).then_some(Cause::CpuTime)
    }

    fn processes(&mut self) -> Option<Cause> {
        let most = usize::try_from(self.limits.processes).unwrap_or(usize::MAX);
        let processes = tree::descendants(most);
        let mut sum = Process::default();
        for process in processes.iter().filter_map(|pid| Process::read(*pid)) {
            sum.cpu += process.cpu;
            sum.memory += process.memory;
            sum.threads += process.threads;
        }
        if sum.threads > u64::from(self.limits.processes) {
            return Some(Cause::Processes);
        }
        if sum.cpu + of_ended_children().cpu > self.limits.cpu_time {
            return Some(Cause::CpuTime);
        }
        // What processes share was counted for each of them.
        if sum.memory > self.limits.memory {
            sum.memory = processes.iter().map(|pid| share_of_memory(*pid)).sum();
        }
        self.peak_memory = self.peak_memory.max(sum.memory);
        (sum.memory > self.limits.memory).then_some(Cause::Memory)
    }

    fn folder(&mut self, now: Duration) -> Option<Cause> {
        if now < self.folder_due {
            return None;
        }
        let most = self.limits.folder_size;
        let walk = self
            .walk
            .get_or_insert_with(|| Walk::begin(Path::new(WORK)));
        let begun = since_boot();
        let size = walk.go_on(most, FOLDER_STEPS);
        let done = since_boot();
        let cost = (done.saturating_sub(begun) * SHARE).min(LONGEST_FOLDER_PAUSE);
        self.folder_due = done + cost;
        let size = size?;
        self.walk = None;
        self.unseen = size.unseen;
        self.folder_interval = (self.folder_interval * 2).min(FOLDER_INTERVAL);
        self.folder_due = done + cost.max(self.folder_interval);
        (size.bytes > most).then_some(Cause::Folder)
    }
}

/// What a living process uses.
#[derive(Default)]
struct Process {
    /// With that of its children that have ended.
    cpu: Duration,
    /// In bytes.
    memory: u64,
    threads: u64,
}

impl Process {
    /// `None`: it has gone.
    fn read(pid: Pid) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before may contain anything. The fields after it are numbered from 3.
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<_> = fields.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let ticks = field(14)? + field(15)? + field(16)? + field(17)?;
        Some(Self {
            cpu: Duration::from_secs(ticks) / u32::try_from(clock_ticks_per_second()).ok()?,
            memory: field(24)? * page_size() as u64,
            threads: field(20)?,
        })
    }
}

/// A process's memory, in bytes; what it shares with others is divided by their number.
fn share_of_memory(pid: Pid) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let share = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kib = share.and_then(|share| share.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// What the children that have ended used, with their children.
fn of_ended_children() -> Usage {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else {
        return Usage::default();
    };
    Usage {
        cpu: duration(usage.user_time()) + duration(usage.system_time()),
        peak_memory: u64::try_from(usage.max_rss()).unwrap_or(0) * 1024,
    }
}

/// What this thread has used.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

fn duration(time: TimeVal) -> Duration {
    let micros = u64::try_from(time.tv_usec()).unwrap_or(0);
    Duration::from_secs(u64::try_from(time.tv_sec()).unwrap_or(0)) + Duration::from_micros(micros)
}
