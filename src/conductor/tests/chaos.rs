//! What happens to conductors, stores, machines and clocks while jobs run.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use rand::RngExt;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::freeze::{Freezer, under};
use super::machine::Machine;
use super::scenario::{Scenario, job_reader};
use super::store::{StoreLine, operate};
use super::world::{self, Clocks};
use crate::conductor::{Failure, Settings, Tools, run};
use crate::job::{Action, RecordId};
use crate::vitals::Pulse;

/// A machine with its daemon, which may be gone, or frozen.
pub struct Host {
    machine: Machine,
    settings: Settings,
    daemon: Option<Daemon>,
}

struct Daemon {
    task: JoinHandle<Result<(), Failure>>,
    shutdown: CancellationToken,
    freezer: Arc<Freezer>,
}

impl Host {
    pub fn new(machine: Machine, settings: Settings) -> Self {
        Self {
            machine,
            settings,
            daemon: None,
        }
    }

    /// Whether its daemon was killed by what happened to it.
    fn was_killed(&self) -> bool {
        let inside = self.machine.world.lock();
        let daemon = inside.machines[self.machine.number].daemon.as_ref();
        daemon.is_some_and(|daemon| daemon.killed)
    }

    pub fn start(&mut self, scenario: &Scenario) {
        if self.was_killed() {
            self.daemon = None;
        }
        if self.daemon.is_some() {
            return;
        }
        self.machine.daemon += 1;
        let (world, number) = (self.machine.world.clone(), self.machine.number);
        world.lock().tell(|| format!("daemon {number} starts"));
        let clocks = Arc::new(Clocks {
            world: world.clone(),
            machine: number,
        });
        let dice = world.clone();
        let tools = Tools {
            claims: Arc::new(StoreLine {
                world,
                machine: number,
            }),
            runner: Arc::new(self.machine.clone()),
            read_job: job_reader(),
            clock: clocks.clone(),
            boot_clock: clocks,
            dice: Arc::new(move || dice.lock().dice.random_range(0.0..1.0)),
            bell: scenario.bell.clone(),
            draining: Arc::default(),
            counters: scenario.counters.clone(),
            pulse: Pulse::new("conductor", Duration::MAX),
            breaker: Arc::default(),
        };
        let (shutdown, freezer) = (CancellationToken::new(), Arc::<Freezer>::default());
        let conducting = run(tools, self.settings.clone(), shutdown.clone());
        let task = tokio::spawn(under(freezer.clone(), conducting));
        self.machine.world.lock().machines[number].daemon = Some(world::Daemon {
            freezer: freezer.clone(),
            task: task.abort_handle(),
            killed: false,
        });
        self.daemon = Some(Daemon {
            task,
            shutdown,
            freezer,
        });
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            let number = self.machine.number;
            self.machine
                .world
                .lock()
                .tell(|| format!("daemon {number} is killed"));
            daemon.task.abort();
            let _ = daemon.task.await;
        }
    }

    /// SIGTERM.
    pub async fn stop(&mut self) {
        if self.was_killed() {
            return self.kill().await;
        }
        let Some(daemon) = self.daemon.take() else {
            return;
        };
        daemon.freezer.thaw();
        daemon.shutdown.cancel();
        // It may be frozen several times on its way.
        let limit = self.settings.patience.stop + Duration::from_mins(5);
        let ended = timeout(limit, daemon.task).await;
        let number = self.machine.number;
        let mut inside = self.machine.world.lock();
        match ended {
            Ok(Err(error)) if error.is_cancelled() => (),
            Ok(Ok(Ok(()))) => inside.tell(|| format!("daemon {number} has stopped")),
            other => inside.breaks(format!("daemon {number} stopped badly: {other:?}")),
        }
    }

    fn freeze(&self, frozen: bool) {
        let number = self.machine.number;
        if let Some(daemon) = &self.daemon {
            let what = if frozen { "frozen" } else { "thawed" };
            self.machine
                .world
                .lock()
                .tell(|| format!("daemon {number} is {what}"));
            if frozen {
                daemon.freezer.freeze();
            } else {
                daemon.freezer.thaw();
            }
        }
    }

    async fn reboot(&mut self) {
        self.kill().await;
        let number = self.machine.number;
        self.machine
            .world
            .lock()
            .tell(|| format!("machine {number} reboots"));
        self.machine.reboot();
    }

    pub fn leftovers(&self) -> usize {
        self.machine.leftovers()
    }

    /// A conductor never ends by itself.
    pub fn must_live(&self) {
        if let Some(daemon) = &self.daemon
            && daemon.task.is_finished()
            && !self.was_killed()
        {
            let number = self.machine.number;
            self.machine
                .world
                .lock()
                .breaks(format!("daemon {number} ended by itself"));
        }
    }
}

impl Scenario {
    /// One thing goes wrong, or right.
    pub async fn disturb(&mut self) {
        let (event, host, id) = {
            let mut inside = self.world.lock();
            let host = inside.below(self.hosts.len());
            let rows = inside.rows.len().max(1);
            let record = inside.below(rows) as u64 + 1;
            (inside.below(24), host, RecordId::new(record).unwrap())
        };
        let scenario = self.handle();
        match event {
            0 | 1 => self.hosts[host].kill().await,
            2 => self.hosts[host].stop().await,
            3..=5 => self.hosts[host].start(&scenario),
            6 | 7 => self.hosts[host].freeze(true),
            8..=10 => self.hosts[host].freeze(false),
            11 => self.hosts[host].reboot().await,
            12 | 13 => self.cut_off(host),
            14 => self.shift_clock(host),
            15 => self.operate(id, Action::Kill),
            16 => self.operate(id, Action::Hold),
            17 => self.operate(id, Action::Release),
            18 => self.operate(id, Action::Rerun),
            19 => self.operate(id, Action::Restore),
            20 => {
                let mut inside = self.world.lock();
                inside.draining = !inside.draining;
            }
            _ => self.bell.notify_one(),
        }
    }

    /// Nobody, or one machine, reaches the store for a while.
    fn cut_off(&self, host: usize) {
        let mut inside = self.world.lock();
        let longest = if inside.chance(0.2) { 40_000 } else { 5000 };
        let millis = inside.dice.random_range(100..longest);
        let until = Instant::now() + Duration::from_millis(millis);
        if inside.chance(0.5) {
            inside.tell(|| format!("the store is away for {millis} ms"));
            inside.store_away_until = until;
        } else {
            inside.tell(|| format!("machine {host} is cut off for {millis} ms"));
            inside.machines[host].cut_off_until = until;
        }
    }

    fn shift_clock(&self, host: usize) {
        let mut inside = self.world.lock();
        let hours = if inside.chance(0.5) { 24 } else { -24 };
        inside.tell(|| format!("machine {host}'s clock jumps by {hours} h"));
        let offset = &mut inside.machines[host].wall_offset;
        *offset += SignedDuration::from_hours(hours);
    }

    fn operate(&self, id: RecordId, action: Action) {
        let mut inside = self.world.lock();
        if inside.rows.contains_key(&id) {
            operate(&mut inside, id, action);
        }
    }

    /// No more trouble; everybody works.
    pub async fn calm_down(&mut self) {
        let ids: Vec<RecordId> = {
            let mut inside = self.world.lock();
            inside.tell(|| "calm".to_owned());
            inside.stormy = false;
            inside.draining = false;
            inside.store_away_until = Instant::now();
            for machine in &mut inside.machines {
                machine.cut_off_until = Instant::now();
                machine.wall_offset = SignedDuration::from_hours(24 * 40);
            }
            inside.rows.keys().copied().collect()
        };
        for id in ids {
            self.operate(id, Action::Release);
        }
        let scenario = self.handle();
        for host in &mut self.hosts {
            host.freeze(false);
            host.start(&scenario);
        }
        sleep(Duration::from_millis(1)).await;
    }
}
