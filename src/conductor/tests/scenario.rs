//! One seed: machines, jobs and a storm; then calm, in which everything must come to its end.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::chaos::Host;
use super::checks;
use super::machine::{KILL_GRACE, Machine};
use super::store::Row;
use super::world::World;
use crate::buffer::Holder;
use crate::conductor::{Counters, Leases, Patience, ReadJob, Settings};
use crate::job::policy::Backoff;
use crate::job::{Attempt, JobId, JobSpec, Limits, RecordId};

/// A stored job that is well.
const GOOD: &str = "good";
/// One that cannot be read.
const UNREADABLE: &str = "unreadable";
/// One that a bug of ours does not survive.
pub const CRASHES: &str = "crashes";
/// What that bug says.
pub const BUG: &str = "a bug, on purpose";

/// By when everything must have ended, once all is calm.
const CALM_LIMIT: Duration = Duration::from_mins(30);

/// Rules that are broken on purpose, to see that it is noticed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sabotage {
    /// Rescuers wait for the lease, and not for the run's end.
    pub no_grace: bool,
    /// The store asks for no fencing token.
    pub no_fence: bool,
    /// Wrappers do not end their run with its lease.
    pub no_wrapper_leases: bool,
}

/// How a seed went.
pub struct Outcome {
    /// The first rule that was broken.
    pub broken: Option<String>,
    pub fingerprint: u64,
    pub story: Vec<String>,
    /// What all conductors did, together.
    pub counters: Arc<Counters>,
}

/// A world in motion.
pub struct Scenario {
    pub world: World,
    pub hosts: Vec<Host>,
    pub bell: Arc<Notify>,
    /// What all conductors did, together.
    pub counters: Arc<Counters>,
    one_machine: bool,
}

/// Runs one seed, by itself in this thread.
pub fn play(seed: u64, sabotage: Sabotage, loud: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut scenario = Scenario::new(seed, sabotage, loud);
        scenario.storm().await;
        if scenario.is_whole() {
            scenario.end_in_calm().await;
        }
        let mut inside = scenario.world.lock();
        Outcome {
            broken: inside.broken.take(),
            fingerprint: inside.fingerprint,
            story: std::mem::take(&mut inside.story),
            counters: scenario.counters.clone(),
        }
    })
}

impl Scenario {
    fn new(seed: u64, sabotage: Sabotage, loud: bool) -> Self {
        // One store of one machine, or a store that machines share.
        let one_machine = seed.is_multiple_of(4);
        let machines = match seed % 4 {
            0 => 1,
            3 => 3,
            _ => 2,
        };
        let world = World::new(seed, machines, loud);
        world.lock().sabotage = sabotage;
        let enough = KILL_GRACE + Duration::from_millis(50);
        let grace = if sabotage.no_grace {
            Duration::ZERO
        } else {
            enough
        };
        let leases = Leases {
            claimed: Duration::from_secs(3),
            running: Duration::from_secs(12),
            grace,
        };
        let leases = (!one_machine).then_some(leases);
        let host = |number| {
            let machine = Machine::new(world.clone(), number);
            Host::new(machine, settings(number, leases))
        };
        Self {
            hosts: (0..machines).map(host).collect(),
            world,
            bell: Arc::default(),
            counters: Arc::default(),
            one_machine,
        }
    }

    /// The same world, without the hosts: for who starts one of them.
    pub fn handle(&self) -> Self {
        Self {
            world: self.world.clone(),
            hosts: Vec::new(),
            bell: self.bell.clone(),
            counters: self.counters.clone(),
            one_machine: self.one_machine,
        }
    }

    fn is_whole(&self) -> bool {
        self.hosts.iter().for_each(Host::must_live);
        self.world.lock().broken.is_none()
    }

    async fn storm(&mut self) {
        let (jobs, events) = {
            let mut inside = self.world.lock();
            (
                inside.dice.random_range(1..30),
                inside.dice.random_range(20..150),
            )
        };
        let handle = self.handle();
        self.hosts.iter_mut().for_each(|host| host.start(&handle));
        let mut accepted = 0;
        for _ in 0..events {
            if accepted < jobs {
                accepted += 1;
                self.accept(accepted);
            }
            let longest = if self.world.strikes(0.2) {
                10_000
            } else {
                1500
            };
            sleep(self.world.some_millis(longest)).await;
            self.disturb().await;
            if !self.is_whole() {
                return;
            }
        }
    }

    fn accept(&self, number: u64) {
        let mut inside = self.world.lock();
        let payload = match inside.below(20) {
            0 => UNREADABLE,
            1 => CRASHES,
            _ => GOOD,
        };
        let priority = inside.dice.random_range(0..3);
        let id = RecordId::new(number).unwrap();
        inside.rows.insert(id, Row::new(priority, payload));
        inside.tell(|| format!("job {id} is accepted: {payload}"));
        self.bell.notify_one();
    }

    async fn end_in_calm(&mut self) {
        self.calm_down().await;
        let limit = Instant::now() + CALM_LIMIT;
        while Instant::now() < limit && self.is_whole() && !self.is_done() {
            sleep(Duration::from_secs(1)).await;
        }
        for host in &mut self.hosts {
            host.stop().await;
        }
        let left: usize = self.hosts.iter().map(Host::leftovers).sum();
        let mut inside = self.world.lock();
        if left > 0 {
            inside.breaks(format!("{left} runs were not forgotten"));
        }
        checks::at_the_end(&mut inside, self.one_machine);
    }

    fn is_done(&self) -> bool {
        let inside = self.world.lock();
        let mut rows = inside.rows.values();
        rows.all(|row| row.standing.state.is_final())
            && self.hosts.iter().all(|host| host.leftovers() == 0)
    }
}

fn settings(number: usize, leases: Option<Leases>) -> Settings {
    Settings {
        holder: Holder::new(format!("machine-{number}")).unwrap(),
        folder: None,
        daemon: format!("daemon-{number}"),
        slots: Arc::new((1 + number * 2).into()),
        leases,
        limits: Limits {
            max_runs: 3,
            max_abandons: 5,
            backoff: Backoff {
                first: Duration::from_secs(1),
                longest: Duration::from_secs(5),
            },
        },
        patience: Patience {
            store: Duration::from_millis(800),
            runner: Duration::from_millis(700),
            collect: Duration::from_secs(5),
            stop: Duration::from_secs(3),
        },
    }
}

pub fn job_reader() -> ReadJob {
    Arc::new(|payload| match payload {
        UNREADABLE => Err("it is gibberish".to_owned()),
        CRASHES => panic!("{BUG}"),
        _ => {
            let job_id = JobId::new("1").unwrap();
            Ok(JobSpec::new(
                job_id,
                Attempt::FIRST,
                "run".into(),
                String::new(),
            ))
        }
    })
}
