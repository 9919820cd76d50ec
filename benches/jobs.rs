//! Jobs of /bin/true from the supervisor's document to their settled outcome, against a bare loop
//! that spawns and waits, in interleaved rounds of one run. Goal: at least 0.6 of its rate. And how
//! soon a lone job's program starts after its executeJobs was taken in. `cargo bench --bench jobs`.
#![allow(
    dead_code,
    missing_docs,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

#[path = "../tests/it/rig/mod.rs"]
mod rig;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill::bridge::{Bridge, Origin, ReplyRoom, Settings};
use gristmill::buffer::{self, Gate, Holder, ListFilter, Options, StoreUrl, TaskBuffer};
use gristmill::conductor::{self, Counters, Leases, Patience, Tools};
use gristmill::daemon::SystemClock;
use gristmill::job::policy::Backoff;
use gristmill::job::{Limits, Owner};
use gristmill::runner::cgroup::Wanted;
use gristmill::runner::process::{self, KeepLimits, KeepWork, ProcessRunner};
use gristmill::vitals::Pulse;
use gristmill::windmill;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const ROUNDS: usize = 5;
/// Jobs in a round.
const JOBS: usize = 400;
/// Jobs at a time: while some wait for the disk, others work.
const SLOTS: usize = 16;
/// Jobs that are handed out one by one.
const LONE: usize = 200;
const PATIENCE: Duration = Duration::from_mins(1);

/// A bridge over a store, and a conductor that runs what it stores.
struct Mill {
    bridge: Bridge,
    store: Arc<Gate>,
    counters: Arc<Counters>,
    /// How many jobs it was given.
    jobs: usize,
    stop: CancellationToken,
}

impl Mill {
    async fn open(url: &str, password: Option<&str>, folder: &Path) -> Self {
        let stop = CancellationToken::new();
        let store = open_store(url, password, stop.clone()).await;
        let runner = open_runner(folder);
        let counters = Arc::<Counters>::default();
        let settings = conductor_settings(runner.holder(), url.starts_with("mysql:"));
        let tools = Tools {
            claims: store.clone(),
            runner: Arc::new(runner),
            read_job: Arc::new(|xml| windmill::read_job(xml).map_err(|reason| reason.text)),
            clock: Arc::new(SystemClock),
            boot_clock: Arc::new(SystemClock),
            dice: Arc::new(|| 0.5),
            bell: store.bell(),
            draining: Arc::default(),
            counters: counters.clone(),
            pulse: Pulse::new("conductor", PATIENCE),
            breaker: Arc::default(),
        };
        tokio::spawn(conductor::run(tools, settings, stop.clone()));
        let bridge = Bridge::new(store.clone(), Arc::new(SystemClock), bridge_settings());
        Self {
            bridge,
            store,
            counters,
            jobs: 0,
            stop,
        }
    }

    async fn hand_over(&mut self, jobs: usize) {
        let mut document = String::from("<executeJobs>");
        for job in self.jobs..self.jobs + jobs {
            let _ = write!(
                document,
                "<job jobID='{job}'><transformation><transPath>true</transPath></transformation>\
                 <jobPars/></job>"
            );
        }
        document.push_str("</executeJobs>");
        self.jobs += jobs;
        let origin = Origin {
            owner: Owner::new("bench").unwrap(),
            arrived: tokio::time::Instant::now(),
            sent_at: None,
            line_empty_at: None,
            stanza_id: None,
            room: ReplyRoom::ENDLESS,
        };
        let request = self.bridge.read(document.as_bytes(), &origin).await;
        let reply = self.bridge.answer(request.unwrap(), &origin).await;
        assert!(reply.content.is_ok(), "{reply:?}");
    }

    async fn until_settled(&self) {
        while self.counters.settled.get() < self.jobs as u64 {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Jobs per second.
    async fn rate(&mut self) -> f64 {
        let start = Instant::now();
        self.hand_over(JOBS).await;
        self.until_settled().await;
        JOBS as f64 / start.elapsed().as_secs_f64()
    }

    /// From the arrival of each job's request to its program's start, in milliseconds.
    async fn latencies(&mut self) -> Vec<f64> {
        for _ in 0..LONE {
            self.hand_over(1).await;
            self.until_settled().await;
        }
        let newest = ListFilter {
            owner: None,
            job_id: None,
            state: None,
            since: None,
            limit: u32::try_from(LONE).unwrap(),
        };
        let records = self.store.list(&newest).await.unwrap();
        let latency = |record: &gristmill::job::Record| {
            let started = record.result.as_ref().unwrap().started_at.unwrap();
            started.duration_since(record.accepted_at).as_secs_f64() * 1000.0
        };
        records.iter().map(latency).collect()
    }
}

async fn open_store(url: &str, password: Option<&str>, stop: CancellationToken) -> Arc<Gate> {
    let url = StoreUrl::parse(url).unwrap();
    let options = Options {
        password: password.map(|password| password.to_owned().into()),
        timeout: PATIENCE,
        ..Options::default()
    };
    let open = move || {
        let (url, options) = (url.clone(), options.clone());
        async move { buffer::open(&url, &options).await }
    };
    let store = Gate::start(open, PATIENCE, stop);
    store.opened().await.unwrap();
    store
}

fn open_runner(folder: &Path) -> ProcessRunner {
    let settings = process::Settings {
        transformations: vec![PathBuf::from("/usr/bin")],
        work_dir: folder.join("work"),
        wrapper: PathBuf::from(env!("CARGO_BIN_EXE_gristmill")),
        timeout: PATIENCE,
        grace: Duration::from_secs(1),
        keep_work: KeepWork::Never,
        keep: KeepLimits::default(),
        cgroup: Wanted::Off,
        retry_exit_codes: vec![75],
        limits: process::Limits::default(),
    };
    ProcessRunner::open(settings, Arc::new(SystemClock)).unwrap()
}

fn conductor_settings(holder: &str, shared: bool) -> conductor::Settings {
    conductor::Settings {
        holder: Holder::new(holder.to_owned()).unwrap(),
        folder: None,
        daemon: "executor@localhost/bench".to_owned(),
        slots: Arc::new(SLOTS.into()),
        leases: shared.then_some(Leases {
            claimed: Duration::from_secs(30),
            running: Duration::from_mins(15),
            grace: Duration::from_secs(30),
        }),
        limits: Limits {
            max_runs: 1,
            max_abandons: 0,
            backoff: Backoff {
                first: PATIENCE,
                longest: PATIENCE,
            },
        },
        patience: Patience {
            store: PATIENCE,
            runner: PATIENCE,
            collect: PATIENCE,
            stop: PATIENCE,
        },
    }
}

fn bridge_settings() -> Settings {
    Settings {
        jobs_wanted: 1000,
        wanted_when_unable: None,
        limits: windmill::Limits {
            max_bytes: 8 << 20,
            max_jobs: JOBS,
        },
        receipts: true,
        strict: false,
        max_age: Duration::from_mins(10),
        timeout: PATIENCE,
    }
}

/// Programs per second.
fn bare() -> f64 {
    let start = Instant::now();
    for _ in 0..JOBS {
        let mut command = Command::new("/usr/bin/true");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        assert!(command.status().unwrap().success());
    }
    JOBS as f64 / start.elapsed().as_secs_f64()
}

fn quantile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) * percent / 100]
}

async fn measure(name: &str, mut mill: Mill) {
    let mut ratios = Vec::new();
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let bare = bare();
        let ours = mill.rate().await;
        ratios.push(ours / bare);
        rates.push(ours);
    }
    let mut latencies = mill.latencies().await;
    println!(
        "{name}: {:.2} of a bare loop (goal 0.60), {:.0} jobs/s; a lone job's program starts after \
         {:.1} ms (median), {:.1} ms (99 of 100)",
        quantile(&mut ratios, 50),
        quantile(&mut rates, 50),
        quantile(&mut latencies, 50),
        quantile(&mut latencies, 99),
    );
    mill.stop.cancel();
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Not in memory: what is measured waits for a disk.
    let folder = tempfile::Builder::new();
    let folder = folder.tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let server = rig::mariadb::MariaDb::start();
    server.create_database("mill");
    runtime.block_on(async {
        let path = folder.path();
        let url = format!("sqlite:{}/buffer.db", path.display());
        measure("SQLite", Mill::open(&url, None, path).await).await;
        let other = path.join("mariadb");
        std::fs::create_dir(&other).unwrap();
        let password = Some(rig::mariadb::PASSWORD);
        measure(
            "MariaDB",
            Mill::open(&server.url("mill"), password, &other).await,
        )
        .await;
    });
}
