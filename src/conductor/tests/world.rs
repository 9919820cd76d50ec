//! All that is outside of conductors: clocks, dice, faults, and the first rule that was broken.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::task::{AbortHandle, yield_now};
use tokio::time::{Instant, sleep};

use super::freeze::Freezer;
use super::machine::Process;
use super::scenario::Sabotage;
use super::store::Row;
use crate::job::policy::{BootClock, Clock};
use crate::job::{RecordId, RunKey};

/// The whole world, shared by everybody in it.
#[derive(Clone)]
pub struct World(Arc<Mutex<Inside>>);

/// What is in it.
pub struct Inside {
    pub dice: SmallRng,
    pub start: Instant,
    /// The store's rows.
    pub rows: BTreeMap<RecordId, Row>,
    /// Every process that ever was, on any machine.
    pub processes: BTreeMap<RunKey, Process>,
    pub machines: Vec<MachineState>,
    /// Nobody reaches the store until then.
    pub store_away_until: Instant,
    /// Faults happen.
    pub stormy: bool,
    /// Who drains.
    pub draining: bool,
    pub sabotage: Sabotage,
    /// Whether all is kept that happens, for people.
    pub loud: bool,
    pub story: Vec<String>,
    /// What happened, as a number: two runs of one seed must have the same.
    pub fingerprint: u64,
    /// The first rule that was broken.
    pub broken: Option<String>,
}

/// A machine as the others see it.
pub struct MachineState {
    /// How wrong its clock is.
    pub wall_offset: SignedDuration,
    pub booted: Instant,
    /// Counts its boots.
    pub boots: u32,
    /// It does not reach the store until then.
    pub cut_off_until: Instant,
    /// Its daemon, while there is one.
    pub daemon: Option<Daemon>,
}

/// A daemon, for who wants to do something to it.
pub struct Daemon {
    pub freezer: Arc<Freezer>,
    pub task: AbortHandle,
    /// It was killed at a moment of its own making.
    pub killed: bool,
}

impl World {
    pub fn new(seed: u64, machines: usize, loud: bool) -> Self {
        let now = Instant::now();
        let machine = || MachineState {
            wall_offset: SignedDuration::ZERO,
            booted: now,
            boots: 0,
            cut_off_until: now,
            daemon: None,
        };
        Self(Arc::new(Mutex::new(Inside {
            dice: SmallRng::seed_from_u64(seed),
            start: now,
            rows: BTreeMap::new(),
            processes: BTreeMap::new(),
            machines: std::iter::repeat_with(machine).take(machines).collect(),
            store_away_until: now,
            stormy: true,
            draining: false,
            sabotage: Sabotage::default(),
            loud,
            story: Vec::new(),
            fingerprint: seed,
            broken: None,
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap()
    }

    /// A wait of up to so many milliseconds.
    pub fn some_millis(&self, most: u64) -> Duration {
        Duration::from_millis(self.lock().dice.random_range(0..=most))
    }

    /// A moment in which a machine's daemon waits for an answer: now and then it is frozen for a
    /// while, or killed.
    pub async fn moment_of(&self, machine: usize) {
        if !self.strikes(0.006) {
            return;
        }
        let thaw_after = self.some_millis(20_000);
        {
            let mut inside = self.lock();
            let kill = inside.chance(0.3);
            let Some(daemon) = &mut inside.machines[machine].daemon else {
                return;
            };
            if kill {
                daemon.task.abort();
                daemon.killed = true;
            } else {
                let freezer = daemon.freezer.clone();
                freezer.freeze();
                tokio::spawn(async move {
                    sleep(thaw_after).await;
                    freezer.thaw();
                });
            }
            inside.tell(|| format!("daemon {machine} waits for an answer; killed: {kill}"));
        }
        yield_now().await;
    }

    /// Whether something of this probability happens, now that things happen.
    pub fn strikes(&self, probability: f64) -> bool {
        let mut inside = self.lock();
        inside.stormy && inside.dice.random_bool(probability)
    }
}

impl Inside {
    pub fn chance(&mut self, probability: f64) -> bool {
        self.dice.random_bool(probability)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.dice.random_range(0..bound)
    }

    pub fn since_boot(&self, machine: usize) -> Duration {
        Instant::now() - self.machines[machine].booted
    }

    /// Something happened.
    pub fn tell(&mut self, what: impl FnOnce() -> String) {
        let elapsed = self.start.elapsed();
        self.fingerprint = self
            .fingerprint
            .wrapping_mul(0x0100_0000_01b3)
            .wrapping_add(u64::try_from(elapsed.as_nanos()).unwrap())
            .wrapping_add(self.rows.len() as u64)
            .wrapping_add((self.processes.len() as u64) << 20);
        if self.loud {
            let line = format!("{:9.3} {}", elapsed.as_secs_f64(), what());
            self.story.push(line);
        }
    }

    /// A rule does not hold.
    pub fn breaks(&mut self, rule: String) {
        self.tell(|| format!("BROKEN: {rule}"));
        self.broken.get_or_insert(rule);
    }
}

/// One machine's clocks.
pub struct Clocks {
    pub world: World,
    pub machine: usize,
}

impl Clock for Clocks {
    fn now(&self) -> Timestamp {
        let inside = self.world.lock();
        let elapsed = SignedDuration::try_from(inside.start.elapsed()).unwrap();
        let noon = Timestamp::from_second(1_800_000_000).unwrap();
        noon + elapsed + inside.machines[self.machine].wall_offset
    }
}

impl BootClock for Clocks {
    fn since_boot(&self) -> Duration {
        self.world.lock().since_boot(self.machine)
    }
}
