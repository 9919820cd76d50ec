//! A store, a runner's folder, programs, and a conductor that can be killed and started again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use gristmill::buffer::{
    Claims, Drain, Holder, Lookup, NewJob, Note, Operations, Options, SqliteBuffer, StoreRequest,
    Stored, TaskBuffer,
};
use gristmill::conductor::{self, Counters, Failure, Patience, Settings, Tools};
use gristmill::daemon::SystemClock;
use gristmill::job::policy::Backoff;
use gristmill::job::{Attempt, JobId, JobSpec, Limits, Owner, Record, RecordId, State};
use gristmill::runner::cgroup::Wanted;
use gristmill::runner::process::{self, KeepLimits, KeepWork, ProcessRunner};
use gristmill::vitals::Pulse;
use gristmill::windmill;
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::rig::folder;

/// Nothing here takes longer, on a machine that is busy with others.
const PATIENCE: Duration = Duration::from_mins(1);

/// Wide enough for every job here.
const LIMITS: process::Limits = process::Limits {
    memory: 1 << 30,
    cpu_time: PATIENCE,
    processes: 200,
    file_size: 1 << 27,
    output_size: 1 << 24,
    folder_size: 1 << 28,
};

pub struct Stage {
    pub folder: TempDir,
    pub store: Arc<SqliteBuffer>,
    pub bell: Arc<Notify>,
    pub counters: Arc<Counters>,
    pub draining: Arc<AtomicBool>,
    conductor: Option<(JoinHandle<Result<(), Failure>>, CancellationToken)>,
    jobs: u32,
}

impl Stage {
    /// One without a conductor.
    pub async fn new() -> Self {
        let folder = folder::new();
        fs::create_dir(folder.path().join("programs")).unwrap();
        // An empty one is no sound one.
        fs::write(folder.path().join("programs/README"), "programs").unwrap();
        Self {
            store: open(&folder, "buffer.db").await,
            folder,
            bell: Arc::default(),
            counters: Arc::default(),
            draining: Arc::default(),
            conductor: None,
            jobs: 0,
        }
    }

    /// From now on there is a store that knows nothing, beside the same folder of runs.
    pub async fn begin_another_store(&mut self) {
        self.store = open(&self.folder, "another.db").await;
        self.jobs = 0;
    }

    /// Why a conductor ends that nobody has asked to.
    pub async fn failure(&mut self) -> Failure {
        let (task, _shutdown) = self.conductor.take().unwrap();
        let ended = tokio::time::timeout(PATIENCE, task).await.unwrap();
        ended.unwrap().unwrap_err()
    }

    /// Starts a conductor with so many slots.
    pub fn start(&mut self, slots: usize) {
        let clock = Arc::new(SystemClock);
        let runner = self.open_runner(&clock);
        let settings = Settings {
            holder: Holder::new(runner.holder().to_owned()).unwrap(),
            folder: None,
            daemon: "executor@grid.test/panda".to_owned(),
            slots: Arc::new(slots.into()),
            leases: None,
            limits: Limits {
                max_runs: 3,
                max_abandons: 5,
                backoff: Backoff {
                    first: Duration::from_millis(20),
                    longest: Duration::from_millis(100),
                },
            },
            patience: Patience {
                store: PATIENCE,
                runner: PATIENCE,
                collect: PATIENCE,
                stop: PATIENCE,
            },
        };
        let tools = Tools {
            claims: self.store.clone(),
            runner: Arc::new(runner),
            read_job: Arc::new(|payload| windmill::read_job(payload).map_err(|reason| reason.text)),
            clock: clock.clone(),
            boot_clock: clock,
            dice: Arc::new(rand::random),
            bell: self.bell.clone(),
            draining: self.draining.clone(),
            counters: self.counters.clone(),
            pulse: Pulse::new("conductor", PATIENCE),
            breaker: Arc::default(),
        };
        let shutdown = CancellationToken::new();
        let conducting = conductor::run(tools, settings, shutdown.clone());
        self.conductor = Some((tokio::spawn(conducting), shutdown));
    }

    /// What a killed conductor has begun to ask its runner may hold the folder for a while.
    fn open_runner(&self, clock: &Arc<SystemClock>) -> ProcessRunner {
        let limit = Instant::now() + PATIENCE;
        loop {
            match ProcessRunner::open(self.runner_settings(), clock.clone()) {
                Err(process::OpenError::InUse { .. }) if Instant::now() < limit => (),
                opened => return opened.unwrap(),
            }
        }
    }

    fn runner_settings(&self) -> process::Settings {
        process::Settings {
            transformations: vec![self.folder.path().join("programs")],
            work_dir: self.folder.path().join("work"),
            wrapper: PathBuf::from(env!("CARGO_BIN_EXE_gristmill")),
            timeout: PATIENCE,
            grace: Duration::from_secs(5),
            keep_work: KeepWork::Never,
            keep: KeepLimits::default(),
            cgroup: Wanted::Off,
            retry_exit_codes: vec![75],
            limits: LIMITS,
        }
    }

    /// The conductor is gone from one moment to the next.
    pub async fn kill(&mut self) {
        let (task, _) = self.conductor.take().unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }

    /// The conductor stops in order.
    pub async fn stop(&mut self) {
        let (task, shutdown) = self.conductor.take().unwrap();
        shutdown.cancel();
        task.await.unwrap().unwrap();
    }

    /// Writes a shell script that jobs can name. What it appends to `$LOG` is in [`Self::log`].
    pub fn script(&self, name: &str, text: &str) {
        let path = self.folder.path().join("programs").join(name);
        let log = self.folder.path().join("log");
        let text = format!("#!/bin/sh\nLOG={}\n{text}\n", log.display());
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What scripts have written to `$LOG`.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Stores a job that runs a script.
    pub async fn submit(&mut self, script: &str) -> RecordId {
        self.submit_payload(windmill::write_job, script).await
    }

    /// Stores a job with other words than its own.
    pub async fn submit_payload(
        &mut self,
        write: impl FnOnce(&JobSpec) -> String,
        script: &str,
    ) -> RecordId {
        self.jobs += 1;
        let job_id = JobId::new(self.jobs.to_string()).unwrap();
        let spec = JobSpec::new(job_id, Attempt::FIRST, script.to_owned(), String::new());
        let now = Timestamp::now();
        let request = StoreRequest {
            owner: owner(),
            jobs: vec![NewJob {
                key: spec.key.clone(),
                content: spec.content_hash(),
                priority: 0,
                state: State::Ready,
                payload: write(&spec),
            }],
            refusals: Vec::new(),
            sent_at: now,
            prompt_until: None,
            now,
        };
        let stored = self.store.store(request).await.unwrap();
        self.bell.notify_one();
        match stored[..] {
            [Stored::New(id)] => id,
            _ => panic!("{stored:?}"),
        }
    }

    pub async fn record(&self, id: RecordId) -> Record {
        match self.store.show(id).await.unwrap() {
            Lookup::Found(dossier) => dossier.record,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until a record is in a state that is wanted.
    pub async fn wait_for(&self, id: RecordId, wanted: impl Fn(State) -> bool) -> Record {
        let limit = Instant::now() + PATIENCE;
        loop {
            let record = self.record(id).await;
            if wanted(record.state) {
                return record;
            }
            assert!(Instant::now() < limit, "{record:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn wait_for_end(&self, id: RecordId) -> Record {
        self.wait_for(id, State::is_final).await
    }

    /// Waits until scripts have written this.
    pub async fn wait_for_log(&self, line: &str) {
        let limit = Instant::now() + PATIENCE;
        while !self.log().contains(line) {
            assert!(Instant::now() < limit, "{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until something is so.
    pub async fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let limit = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < limit, "never: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn kill_job(&self, id: RecordId) {
        let record = self.record(id).await;
        let named = [(record.key.job_id, id)];
        let now = Timestamp::now();
        let killed = self.store.kill(&owner(), &named, now).await.unwrap();
        assert!(matches!(killed[..], [Lookup::Found(_)]));
        self.bell.notify_one();
    }

    pub async fn drain(&self, on: bool) {
        let drain = Drain {
            daemon: None,
            on,
            note: Note {
                who: "test".to_owned(),
                reason: None,
            },
            since: Timestamp::now(),
        };
        self.store.set_drain(drain).await.unwrap();
    }

    /// How many folders of runs there are.
    pub fn run_folders(&self) -> usize {
        fs::read_dir(self.folder.path().join("work/runs"))
            .unwrap()
            .count()
    }

    /// Nothing is left to be done for anybody.
    pub async fn wait_for_quiet(&self) {
        let limit = Instant::now() + PATIENCE;
        while !self.store.leases().await.unwrap().is_empty() || self.run_folders() > 0 {
            assert!(Instant::now() < limit, "{} folders", self.run_folders());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn open(folder: &TempDir, name: &str) -> Arc<SqliteBuffer> {
    let file = folder.path().join(name);
    let store = SqliteBuffer::open(&file, &Options::default()).await;
    Arc::new(store.unwrap())
}

fn owner() -> Owner {
    Owner::new("prodsys").unwrap()
}
