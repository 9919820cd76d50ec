//! A machine and its runner: processes that outlive conductors, wrappers that obey leases, and a
//! runner that fails in every way that runners do.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rand::RngExt;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::checks;
use super::world::{Inside, World};
use crate::job::{Progress, RunKey, RunOrder, RunReport, StoreId, Verdict};
use crate::runner::{Heard, News, RunError, RunState, Runner};

/// How long a wrapper may take to end its run.
pub const KILL_GRACE: Duration = Duration::from_secs(2);

/// A process that was started once.
pub struct Process {
    pub alive: bool,
    pub verdict: Option<Verdict>,
}

/// What stands in a run's folder.
struct Folder {
    trace: Trace,
    lease_until: Option<Duration>,
    stop: bool,
    changed: Arc<Notify>,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trace {
    /// Being started, by the machine's daemon number so and so.
    Awaited(u32),
    /// Never to be started.
    Sealed,
    Alive,
    Ended(Verdict),
    Forgotten,
}

/// What a program will do.
#[derive(Clone, Copy)]
struct Plan {
    takes: Duration,
    verdict: Verdict,
}

/// A machine's runs. They stay when its daemon goes.
#[derive(Clone)]
pub struct Machine {
    pub world: World,
    pub number: usize,
    /// Counts its daemons.
    pub daemon: u32,
    folders: Arc<Mutex<BTreeMap<RunKey, Folder>>>,
}

impl Machine {
    pub fn new(world: World, number: usize) -> Self {
        Self {
            world,
            number,
            daemon: 0,
            folders: Arc::default(),
        }
    }

    /// Everything on it ends at once.
    pub fn reboot(&self) {
        let mut inside = self.world.lock();
        let machine = &mut inside.machines[self.number];
        machine.boots += 1;
        machine.booted = Instant::now();
        for (run, folder) in &mut *self.folders() {
            match folder.trace {
                Trace::Alive => {
                    folder.trace = Trace::Ended(Verdict::Lost);
                    end(&mut inside, *run, Verdict::Lost);
                }
                Trace::Awaited(_) => folder.trace = Trace::Sealed,
                _ => (),
            }
            folder.changed.notify_waiters();
        }
    }

    /// The runs that somebody still has to look after.
    pub fn leftovers(&self) -> usize {
        let folders = self.folders();
        let left = folders.values();
        left.filter(|folder| folder.trace != Trace::Forgotten)
            .count()
    }

    fn folders(&self) -> MutexGuard<'_, BTreeMap<RunKey, Folder>> {
        self.folders.lock().unwrap()
    }

    fn plan(&self) -> Plan {
        let mut inside = self.world.lock();
        let millis = match inside.below(10) {
            0 => 0,
            1..=3 => inside.dice.random_range(1..500),
            4..=7 => inside.dice.random_range(500..15_000),
            _ => 40_000,
        };
        let verdict = match inside.below(20) {
            0..=12 => Verdict::Succeeded,
            13 | 14 => Verdict::Failed,
            15..=18 => Verdict::FailedForNow,
            _ => Verdict::TimedOut,
        };
        Plan {
            takes: Duration::from_millis(millis),
            verdict,
        }
    }

    /// What the wrapper does between the lock and the program's start.
    fn begin(&self, run: RunKey) -> Result<(), RunError> {
        let refused = |why: &str| Err(RunError::Transient(why.to_owned()));
        let plan = self.plan();
        let mut inside = self.world.lock();
        let mut folders = self.folders();
        let folder = folders.get_mut(&run).unwrap();
        if !matches!(folder.trace, Trace::Awaited(_)) {
            return refused("too late");
        }
        let now = inside.since_boot(self.number);
        if !inside.sabotage.no_wrapper_leases
            && folder.lease_until.is_some_and(|until| until <= now)
        {
            folder.trace = Trace::Sealed;
            folder.changed.notify_waiters();
            return refused("its lease is over");
        }
        inside.tell(|| format!("machine {}: {run} starts", self.number));
        checks::before_process(&mut inside, run);
        let process = Process {
            alive: true,
            verdict: None,
        };
        inside.processes.insert(run, process);
        folder.trace = Trace::Alive;
        let boots = inside.machines[self.number].boots;
        tokio::spawn(self.clone().wrap(run, plan, boots));
        Ok(())
    }

    /// A wrapper's life.
    async fn wrap(self, run: RunKey, plan: Plan, boots: u32) {
        let ends = Instant::now() + plan.takes;
        let mut dying: Option<(Instant, Verdict)> = None;
        loop {
            let changed = self.folders()[&run].changed.clone();
            let changed = changed.notified();
            let wake = {
                let mut inside = self.world.lock();
                if inside.machines[self.number].boots != boots {
                    return;
                }
                let now = Instant::now();
                let mut folders = self.folders();
                let folder = folders.get_mut(&run).unwrap();
                let booted = inside.machines[self.number].booted;
                let lapses = folder
                    .lease_until
                    .filter(|_| !inside.sabotage.no_wrapper_leases);
                let lapses = lapses.map(|until| booted + until);
                if dying.is_none() {
                    let cause = match lapses {
                        _ if folder.stop => Some(Verdict::Stopped),
                        Some(at) if at <= now => Some(Verdict::Lost),
                        _ => None,
                    };
                    let takes = inside.dice.random_range(0.0..1.0);
                    dying = cause.map(|verdict| (now + KILL_GRACE.mul_f64(takes), verdict));
                }
                let ended = match dying {
                    _ if ends <= now => Some(plan.verdict),
                    Some((at, verdict)) if at <= now => Some(verdict),
                    _ => None,
                };
                if let Some(verdict) = ended {
                    folder.trace = Trace::Ended(verdict);
                    folder.changed.notify_waiters();
                    return end(&mut inside, run, verdict);
                }
                match (dying, lapses) {
                    (Some((at, _)), _) | (None, Some(at)) => ends.min(at),
                    (None, None) => ends,
                }
            };
            tokio::select! {
                biased;
                () = sleep_until(wake) => (),
                () = changed => (),
            }
        }
    }

    fn state(&self, run: RunKey) -> RunState {
        let mut folders = self.folders();
        let Some(folder) = folders.get_mut(&run) else {
            return RunState::NeverStarted;
        };
        match folder.trace {
            Trace::Alive => RunState::Alive,
            Trace::Awaited(daemon) if daemon == self.daemon => RunState::Alive,
            Trace::Ended(_) => RunState::Ended,
            Trace::Awaited(_) | Trace::Sealed | Trace::Forgotten => {
                if folder.trace != Trace::Forgotten {
                    folder.trace = Trace::Sealed;
                }
                RunState::NeverStarted
            }
        }
    }

    /// What happens to every question now and then.
    async fn trouble(&self) -> Result<(), RunError> {
        self.world.moment_of(self.number).await;
        let trouble = |what: &str| Err(RunError::Transient(what.to_owned()));
        if !self.world.strikes(0.06) {
            return Ok(());
        }
        let kind = self.world.lock().below(4);
        match kind {
            0 => trouble("an error"),
            1 => pending().await,
            _ => {
                sleep(self.world.some_millis(1500)).await;
                Ok(())
            }
        }
    }

    /// A start that takes its time, whoever waits for it.
    fn begin_within(&self, run: RunKey, millis: u64) -> JoinHandle<Result<(), RunError>> {
        let (machine, delay) = (self.clone(), self.world.some_millis(millis));
        tokio::spawn(async move {
            sleep(delay).await;
            let begun = machine.begin(run);
            if begun.is_err() {
                machine.seal(run);
            }
            begun
        })
    }

    fn seal(&self, run: RunKey) {
        if let Some(folder) = self.folders().get_mut(&run)
            && matches!(folder.trace, Trace::Awaited(_))
        {
            folder.trace = Trace::Sealed;
            folder.changed.notify_waiters();
        }
    }
}

fn end(inside: &mut Inside, run: RunKey, verdict: Verdict) {
    inside.tell(|| format!("{run} ends: {verdict:?}"));
    let process = inside.processes.get_mut(&run).unwrap();
    process.alive = false;
    process.verdict = Some(verdict);
}

#[async_trait]
impl Runner for Machine {
    fn is_there(&self) -> bool {
        !self.world.strikes(0.1)
    }

    async fn serve(&self, _: &StoreId) -> Result<(), RunError> {
        self.trouble().await
    }

    async fn ready(&self) -> Result<(), RunError> {
        self.trouble().await?;
        if self.world.strikes(0.02) {
            return Err(RunError::Host("its programs are gone".to_owned()));
        }
        Ok(())
    }

    async fn start(&self, order: &RunOrder) -> Result<(), RunError> {
        let run = order.key;
        if matches!(self.state(run), RunState::Alive | RunState::Ended) {
            return Ok(());
        }
        let folder = Folder {
            trace: Trace::Awaited(self.daemon),
            lease_until: order.lease_until,
            stop: false,
            changed: Arc::default(),
        };
        self.folders().insert(run, folder);
        self.world.moment_of(self.number).await;
        let doubt = || Err(RunError::InDoubt("who knows".to_owned()));
        let trouble = self.world.strikes(0.25);
        let kind = self.world.lock().below(6);
        match kind {
            _ if !trouble => {
                let begun = self.begin_within(run, 50).await;
                begun.unwrap_or_else(|error| Err(RunError::InDoubt(error.to_string())))
            }
            0 => {
                self.seal(run);
                let why = "not now".to_owned();
                Err(match self.world.lock().below(3) {
                    0 => RunError::Away(why),
                    1 => RunError::Host(why),
                    _ => RunError::Transient(why),
                })
            }
            1 if self.world.strikes(0.2) => {
                self.seal(run);
                Err(RunError::Permanent("never".to_owned()))
            }
            1 | 2 => {
                let _ = self.begin(run);
                doubt()
            }
            3 => {
                self.seal(run);
                doubt()
            }
            4 => {
                drop(self.begin_within(run, 8000));
                doubt()
            }
            _ => {
                drop(self.begin_within(run, 8000));
                pending().await
            }
        }
    }

    async fn look_up(&self, run: RunKey) -> Result<RunState, RunError> {
        self.trouble().await?;
        Ok(self.state(run))
    }

    async fn ended(&self, run: RunKey) -> Result<(), RunError> {
        self.trouble().await?;
        loop {
            let Some(changed) = self.folders().get(&run).map(|found| found.changed.clone()) else {
                return Ok(());
            };
            let changed = changed.notified();
            if self.state(run) != RunState::Alive {
                return Ok(());
            }
            changed.await;
        }
    }

    async fn renew(&self, run: RunKey, lease_until: Option<Duration>) -> Result<(), RunError> {
        self.trouble().await?;
        let mut folders = self.folders();
        let missing = || RunError::Transient("no such run".to_owned());
        let folder = folders.get_mut(&run).ok_or_else(missing)?;
        folder.lease_until = lease_until;
        folder.changed.notify_waiters();
        Ok(())
    }

    async fn stop(&self, run: RunKey) -> Result<(), RunError> {
        self.trouble().await?;
        if let Some(folder) = self.folders().get_mut(&run) {
            folder.stop = true;
            folder.changed.notify_waiters();
        }
        Ok(())
    }

    async fn collect(&self, run: RunKey) -> Result<RunReport, RunError> {
        self.trouble().await?;
        let trace = self.folders().get(&run).map(|folder| folder.trace);
        let verdict = match trace {
            Some(Trace::Ended(verdict)) => verdict,
            Some(Trace::Alive | Trace::Awaited(_)) => {
                return Err(RunError::Transient("it lives".to_owned()));
            }
            _ => Verdict::Lost,
        };
        Ok(RunReport {
            verdict,
            started_at: None,
            ended_at: Timestamp::UNIX_EPOCH,
            exit_code: None,
            cpu: Duration::ZERO,
            peak_memory: 0,
            fault: None,
            outputs: Vec::new(),
        })
    }

    async fn news(&self, _run: RunKey, heard: Option<Heard>) -> Result<News, RunError> {
        self.trouble().await?;
        let progress = self.world.strikes(0.3).then(|| Progress {
            permille: 500,
            words: String::new(),
        });
        let mut heard = heard.unwrap_or_default();
        heard.position += u64::from(progress.is_some());
        Ok(News {
            progress,
            events: Vec::new(),
            heard,
        })
    }

    async fn runs(&self) -> Result<Vec<RunKey>, RunError> {
        self.trouble().await?;
        let folders = self.folders();
        let kept = folders
            .iter()
            .filter(|(_, folder)| folder.trace != Trace::Forgotten);
        Ok(kept.map(|(run, _)| *run).collect())
    }

    async fn forget(&self, run: RunKey, _failed: bool) -> Result<(), RunError> {
        self.trouble().await?;
        if self.state(run) == RunState::Alive {
            return Err(RunError::Transient("it lives".to_owned()));
        }
        if let Some(folder) = self.folders().get_mut(&run) {
            folder.trace = Trace::Forgotten;
            folder.changed.notify_waiters();
        }
        Ok(())
    }
}
