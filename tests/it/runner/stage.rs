//! A process runner in a folder of its own, and programs for it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill::daemon::SystemClock;
use gristmill::job::{Attempt, File, JobId, JobSpec, RecordId, RunKey, RunOrder, RunReport, Token};
use gristmill::runner::cgroup::Wanted;
use gristmill::runner::process::{KeepLimits, KeepWork, Limits, ProcessRunner, Settings};
use gristmill::runner::remote::{self, Link, RemoteRunner};
use gristmill::runner::socket::{Service, Users, listen, serve};
use gristmill::runner::{RunError, Runner};
use gristmill::vitals::Pulse;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::rig::folder;

/// No run of these tests takes longer, on a machine that is busy with others.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Wide enough for every job that means no harm.
const LIMITS: Limits = Limits {
    memory: 1 << 30,
    cpu_time: PATIENCE,
    processes: 200,
    file_size: 1 << 27,
    output_size: 1 << 24,
    folder_size: 1 << 28,
};

/// How a runner is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Direct,
    Socket,
}

pub struct Stage {
    folder: TempDir,
    way: Way,
    pub settings: Settings,
    runner: Option<Arc<dyn Runner>>,
    /// The same, where it is behind the socket.
    remote: Option<RemoteRunner>,
    holder: String,
    /// What serves the socket, where there is one.
    server: Option<(JoinHandle<()>, CancellationToken)>,
}

impl Stage {
    pub async fn new(way: Way) -> Self {
        Self::with(way, |_| ()).await
    }

    /// One with other settings.
    pub async fn with(way: Way, change: impl FnOnce(&mut Settings)) -> Self {
        let folder = folder::new();
        let transformations = folder.path().join("transformations");
        fs::create_dir(&transformations).unwrap();
        // An empty one is no sound one.
        fs::write(transformations.join("README"), "programs").unwrap();
        let mut settings = Settings {
            transformations: vec![transformations],
            work_dir: folder.path().join("work"),
            wrapper: PathBuf::from(env!("CARGO_BIN_EXE_gristmill")),
            timeout: PATIENCE,
            grace: PATIENCE,
            keep_work: KeepWork::Never,
            keep: KeepLimits::default(),
            cgroup: Wanted::Off,
            retry_exit_codes: vec![75],
            limits: LIMITS,
        };
        change(&mut settings);
        let mut stage = Self {
            folder,
            way,
            settings,
            runner: None,
            remote: None,
            holder: String::new(),
            server: None,
        };
        stage.reopen().await;
        stage
    }

    /// What a restarted daemon does, or a restarted runner.
    pub async fn reopen(&mut self) {
        self.disconnect();
        self.stop_serving().await;
        match self.way {
            Way::Direct => self.runner = Some(Arc::new(self.open())),
            Way::Socket => {
                self.serve_again();
                self.connect().await;
            }
        }
    }

    fn open(&mut self) -> ProcessRunner {
        let runner = ProcessRunner::open(self.settings.clone(), Arc::new(SystemClock));
        let runner = runner.unwrap();
        runner.holder().clone_into(&mut self.holder);
        runner
    }

    /// The runner behind the socket ends.
    pub async fn stop_serving(&mut self) {
        if let Some((server, stop)) = self.server.take() {
            stop.cancel();
            server.await.unwrap();
        }
    }

    /// It starts again.
    pub fn serve_again(&mut self) {
        let service = Service {
            runner: Arc::new(self.open()),
            holder: self.holder.clone(),
            folder: None,
            users: Users::ourselves(),
        };
        let listener = listen(&self.socket()).unwrap();
        let stop = CancellationToken::new();
        let pulse = Pulse::new("runner", Duration::MAX);
        let server = tokio::spawn(serve(listener, service, pulse, stop.clone()));
        self.server = Some((server, stop));
    }

    pub async fn connect(&mut self) {
        let link = Link::start(remote::Settings {
            socket: self.socket(),
            users: Users::ourselves(),
        });
        let remote = tokio::time::timeout(PATIENCE, link.runner()).await;
        let remote = remote.expect("the runner is there");
        assert_eq!(remote.holder(), self.holder);
        self.runner = Some(Arc::new(remote.clone()));
        self.remote = Some(remote);
    }

    pub fn disconnect(&mut self) {
        self.runner = None;
        self.remote = None;
    }

    pub fn remote(&self) -> RemoteRunner {
        self.remote.clone().unwrap()
    }

    /// Where the runner is, if it is behind one.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("runner.sock")
    }

    pub fn runner(&self) -> &dyn Runner {
        &**self.runner.as_ref().unwrap()
    }

    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Writes a shell script that jobs can name.
    pub fn script(&self, name: &str, text: &str) {
        let path = self.settings.transformations[0].join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The folder of a run.
    pub fn run_folder(&self, run: RunKey) -> PathBuf {
        self.settings.work_dir.join("runs").join(run.to_string())
    }

    /// The program's own folder.
    pub fn work(&self, run: RunKey) -> PathBuf {
        self.run_folder(run).join("work")
    }

    /// A run's wrapper.
    pub fn wrapper_pid(&self, run: RunKey) -> i32 {
        let journal = fs::read_to_string(self.run_folder(run).join("journal")).unwrap();
        let start: serde_json::Value =
            serde_json::from_str(journal.lines().next().unwrap()).unwrap();
        i32::try_from(start["start"]["pid"].as_i64().unwrap()).unwrap()
    }

    /// Starts a script as the run of a new job and returns its key.
    pub async fn start(&self, script: &str) -> RunKey {
        self.script("job", script);
        let order = order(1, spec("job", ""));
        self.runner().start(&order).await.unwrap();
        order.key
    }

    /// What became of a run.
    pub async fn outcome(&self, run: RunKey) -> RunReport {
        let ended = self.runner().ended(run);
        tokio::time::timeout(PATIENCE, ended)
            .await
            .expect("the run ends")
            .unwrap();
        self.runner().collect(run).await.unwrap()
    }

    /// Runs a script.
    pub async fn run(&self, script: &str) -> RunReport {
        let run = self.start(script).await;
        self.outcome(run).await
    }

    /// Runs an order.
    pub async fn run_order(&self, order: &RunOrder) -> Result<RunReport, RunError> {
        self.runner().start(order).await?;
        Ok(self.outcome(order.key).await)
    }
}

pub fn key(record: u64, token: u64) -> RunKey {
    RunKey {
        record: RecordId::new(record).unwrap(),
        token: Token(token),
    }
}

pub fn spec(path: &str, parameters: &str) -> JobSpec {
    let job_id = JobId::new("5173021").unwrap();
    JobSpec::new(job_id, Attempt::FIRST, path.into(), parameters.into())
}

pub fn order(record: u64, spec: JobSpec) -> RunOrder {
    RunOrder {
        key: key(record, 1),
        number: 1,
        spec,
        lease_until: None,
    }
}

pub fn file(name: &str) -> File {
    File {
        logical_name: name.to_owned(),
        dataset: None,
        destination: None,
    }
}

/// Why a run did not succeed, in one word.
pub fn fault(report: &RunReport) -> &str {
    report.fault.as_ref().map_or("none", |fault| &fault.code)
}

pub async fn until_there(remote: &RemoteRunner) {
    until("the runner is there", || remote.is_there()).await;
}

pub async fn until_away(remote: &RemoteRunner) {
    until("the runner is away", || !remote.is_there()).await;
}

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process lives; one that waits to be buried does not.
pub fn lives(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = status.rsplit_once(") ").map_or("", |(_, rest)| rest);
    !matches!(state.chars().next(), None | Some('Z' | 'X'))
}

/// Reads a number that a program wrote, once it is there.
pub async fn number_in(path: &Path) -> i32 {
    let read = || fs::read_to_string(path).unwrap_or_default();
    until("the program wrote its number", || read().ends_with('\n')).await;
    read().trim().parse().unwrap()
}
