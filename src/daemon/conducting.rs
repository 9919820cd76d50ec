//! The daemon's conductor: what it is given, and what is said where it cannot work.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{RunnerTruth, SystemClock};
use crate::bridge::Truth;
use crate::buffer::{Gate, Holder, StoreUrl};
use crate::conductor::{self, Leases, Patience, Settings, Tools};
use crate::config::{self, Config};
use crate::error::{Kind, Report};
use crate::job::Limits;
use crate::job::policy::Backoff;
use crate::runner;
use crate::runner::process::{KeepWork, OpenError, ProcessRunner};
use crate::windmill;

/// Our own program, also where it was replaced since this process began.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// What a rescuer waits for beyond the grace that programs have: that the machine is busy.
const RESCUE_MARGIN: Duration = Duration::from_secs(20);

/// How long the runner may take to answer.
const RUNNER_LIMIT: Duration = Duration::from_secs(40);

/// How long it may take to read all that a run left behind.
const COLLECT_LIMIT: Duration = Duration::from_hours(1);

/// How long the conductor may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A conductor that is ready to begin.
pub(super) struct Conducting {
    tools: Tools,
    settings: Settings,
}

impl Conducting {
    /// Takes the runner's folder. `None`: no jobs are run here.
    pub(super) fn prepare(
        config: &Config,
        gate: &Arc<Gate>,
        draining: Arc<AtomicBool>,
    ) -> Result<Option<Self>, Report> {
        if !config.conductor.enabled {
            return Ok(None);
        }
        for folder in &config.runner.process.transformations {
            if !folder.is_dir() {
                let folder = folder.display();
                tracing::warn!(%folder, "runner.process.transformations: there is no such folder; jobs whose program is below it are trashed");
            }
        }
        let runner = process_runner(&config.runner.process)?;
        let holder = Holder::new(runner.holder().to_owned());
        let holder = holder.ok_or_else(|| {
            let work_dir = config.runner.process.work_dir.display();
            let what = format!("{work_dir}/holder: no name can be that long");
            Report::new(Kind::Failed, what).hint("take the file away while no job is claimed")
        })?;
        Ok(Some(Self {
            settings: settings(config, holder),
            tools: Tools {
                claims: gate.clone(),
                runner: Arc::new(runner),
                read_job: Arc::new(|payload| {
                    windmill::read_job(payload).map_err(|reason| reason.text)
                }),
                clock: Arc::new(SystemClock),
                boot_clock: Arc::new(SystemClock),
                dice: Arc::new(rand::random),
                bell: gate.bell(),
                draining,
                counters: Arc::default(),
            },
        }))
    }

    /// What fixJobs asks.
    pub(super) fn truth(&self) -> Arc<dyn Truth> {
        Arc::new(RunnerTruth {
            claims: self.tools.claims.clone(),
            runner: self.tools.runner.clone(),
            clock: self.tools.clock.clone(),
            holder: self.settings.holder.clone(),
            daemon: self.settings.daemon.clone(),
            limits: self.settings.limits,
            others_lapse: self.settings.leases.is_some(),
        })
    }

    /// Conducts until `shutdown`.
    pub(super) async fn run(self, shutdown: CancellationToken) -> Result<(), Report> {
        let ended = conductor::run(self.tools, self.settings, shutdown).await;
        ended.map_err(|failure| match failure {
            conductor::Failure::Broken(_) => broken(failure),
            conductor::Failure::Refused(_) => Report::new(
                Kind::Conflict,
                "jobs cannot be run here",
            )
            .because(failure)
            .hint(
                "give this daemon a new runner.process.work_dir, or the store that it had before",
            ),
        })
    }
}

/// A bug of ours: the daemon ends, and whoever started it starts it again.
pub(super) fn broken(error: impl std::error::Error) -> Report {
    Report::new(Kind::Bug, "jobs are run no more").because(error)
}

/// The runner of local processes.
pub fn process_runner(process: &config::Process) -> Result<ProcessRunner, Report> {
    let settings = runner::process::Settings {
        transformations: process.transformations.clone(),
        work_dir: process.work_dir.clone(),
        wrapper: PathBuf::from(OWN_PROGRAM),
        timeout: process.timeout,
        grace: process.grace,
        keep_work: match process.keep_work {
            config::KeepWork::Never => KeepWork::Never,
            config::KeepWork::Failed => KeepWork::Failed,
            config::KeepWork::Always => KeepWork::Always,
        },
        retry_exit_codes: process.retry_exit_codes.clone(),
        limits: run_limits(&process.limits),
    };
    ProcessRunner::open(settings, Arc::new(SystemClock)).map_err(|error| runner_report(&error))
}

fn run_limits(limits: &config::Limits) -> runner::process::Limits {
    let bytes = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
    runner::process::Limits {
        memory: bytes(limits.memory),
        cpu_time: limits.cpu_time,
        processes: limits.processes,
        file_size: bytes(limits.file_size),
        output_size: bytes(limits.output_size),
        folder_size: bytes(limits.folder_size),
    }
}

fn runner_report(error: &OpenError) -> Report {
    let (kind, hint) = match error {
        OpenError::InUse { .. } => (
            Kind::Conflict,
            "stop the daemon that has it, or give this one a runner.process.work_dir of its own",
        ),
        OpenError::Folder { .. } => (
            Kind::Configuration,
            "check runner.process.work_dir and who may write there, or set conductor.enabled = false",
        ),
        OpenError::Kernel => (Kind::Failed, "set conductor.enabled = false"),
    };
    Report::new(kind, "jobs cannot be run here")
        .because(error)
        .hint(hint)
}

fn settings(config: &Config, holder: Holder) -> Settings {
    let conductor = &config.conductor;
    let leases = Leases {
        claimed: conductor.lease,
        running: conductor.run_lease,
        grace: config.runner.process.grace + RESCUE_MARGIN,
    };
    let is_shared = matches!(config.buffer.url, StoreUrl::Mysql(_));
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    Settings {
        holder,
        daemon: config.xmpp.jid.to_string(),
        slots: Some(conductor.slots)
            .filter(|slots| *slots > 0)
            .unwrap_or_else(cores),
        leases: is_shared.then_some(leases),
        limits: Limits {
            max_runs: conductor.max_runs,
            max_abandons: conductor.max_abandons,
            backoff: Backoff {
                first: conductor.retry_after,
                longest: conductor.retry_longest,
            },
        },
        patience: Patience {
            // The gate says so first.
            store: config.buffer.timeout * 2,
            runner: RUNNER_LIMIT,
            collect: COLLECT_LIMIT,
            stop: STOP_LIMIT,
        },
    }
}
