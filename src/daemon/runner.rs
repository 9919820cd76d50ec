//! The runner: in the daemon's process, or in one of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use super::{Manager, Reload, SystemClock};
use crate::config::{self, Config};
use crate::error::{Code, Report};
use crate::runner::cgroup::Wanted;
use crate::runner::process::{KeepLimits, KeepWork, Limits, OpenError, ProcessRunner, Settings};
use crate::runner::remote::{self, ConnectError};
use crate::runner::socket::{self, PlaceError, Service, Users};
use crate::vitals::Pulse;

/// Our own program, also where it was replaced since this process began.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// The loop that waits for the daemon turns at least so often.
const PULSE_LIMIT: Duration = Duration::from_secs(30);

/// Runs jobs for the daemon that comes to the socket, until `shutdown`. What runs then goes on, and
/// is found again by the next start. Reads no secret.
pub async fn serve_runner(
    config: &Config,
    manager: &Manager,
    reload: Reload,
    shutdown: CancellationToken,
) -> Result<(), Report> {
    if config.runner.in_process {
        let what = "runner.in_process is true: the daemon runs the jobs itself";
        let hint = "set runner.in_process = false, for the daemon and for the runner";
        return Err(Report::new(Code::RunnerNotWanted, what).hint(hint));
    }
    let place = &config.runner.socket;
    let allowed = user_ids("runner.allow_users", &config.runner.allow_users)?;
    let users = match &*allowed {
        [] => Users::ourselves(),
        allowed => Users::with_root(allowed.iter().copied()),
    };
    let runner = open(&config.runner.process)?;
    let listener = socket::listen(place).map_err(|error| place_report(&error))?;
    let holder = runner.holder().to_owned();
    tracing::info!(socket = %place.display(), %holder, "the runner of gristmill {} starts", env!("CARGO_PKG_VERSION"));
    let folder = Some(runner.folder().clone());
    let runner = Arc::new(runner);
    let service = Service {
        runner: runner.clone(),
        holder,
        folder,
        users,
    };
    let pulses = [Pulse::new("runner", PULSE_LIMIT)];
    let [pulse] = pulses.clone();
    manager.tell(&[
        NotifyState::Ready,
        NotifyState::Status("serving its daemon"),
    ]);
    let aside = async {
        tokio::join!(
            manager.feed(&pulses),
            reload.run_runner(&runner, manager, &shutdown)
        )
    };
    tokio::select! {
        () = socket::serve(listener, service, pulse, shutdown.clone()) => (),
        _ = aside => (),
    }
    manager.tell(&[NotifyState::Stopping]);
    Ok(())
}

/// How the daemon reaches a runner in a process of its own.
pub(super) fn link_settings(runner: &config::Runner) -> Result<remote::Settings, Report> {
    let users = match &runner.user {
        Some(user) => Users::with_root(user_ids("runner.user", [user])?),
        None => Users::ourselves(),
    };
    Ok(remote::Settings {
        socket: runner.socket.clone(),
        users,
    })
}

fn user_ids<'a>(
    key: &str,
    names: impl IntoIterator<Item = &'a String>,
) -> Result<Vec<u32>, Report> {
    let ids = names.into_iter().map(|name| socket::user_id(name));
    let ids: Result<_, _> = ids.collect();
    ids.map_err(|error| {
        Report::new(Code::UserUnknown, format!("{key}: {error}"))
            .hint("name a user that `getent passwd` shows, or give the user's number")
    })
}

/// Asks the runner who it is, or looks whether one could work here; changes nothing.
pub async fn try_runner(config: &Config) -> Result<(), Report> {
    if !config.conductor.enabled {
        return Ok(());
    }
    if config.runner.in_process {
        return look_at_folders(&config.runner.process);
    }
    let settings = link_settings(&config.runner)?;
    let probed = remote::probe(&settings).await;
    probed
        .map(drop)
        .map_err(|error| probe_report(config, &error))
}

fn look_at_folders(process: &config::Process) -> Result<(), Report> {
    if let Some(folder) = process.transformations.iter().find(|path| !path.is_dir()) {
        let what = format!("{}: there is no such folder", folder.display());
        let hint = "make it and put your programs there, or correct runner.process.transformations";
        return Err(Report::new(Code::ProgramsMissing, what).hint(hint));
    }
    match ProcessRunner::look(&process.work_dir) {
        // The daemon that has it has tried it.
        Ok(()) | Err(OpenError::InUse { .. }) => Ok(()),
        Err(error) => Err(runner_report(&error)),
    }
}

fn place_report(error: &PlaceError) -> Report {
    let (code, hint) = match error {
        PlaceError::InUse(_) => (
            Code::SocketInUse,
            "stop that runner, or give this one a runner.socket and a runner.process.work_dir of its own",
        ),
        PlaceError::NoSocket(_) => (
            Code::SocketUnusable,
            "take it away, or choose another runner.socket",
        ),
        PlaceError::OpenFolder(_) => (
            Code::SocketUnusable,
            "chown it to the runner's user and chmod 750 it; systemd does so for RuntimeDirectory=",
        ),
        PlaceError::Unusable { .. } => (
            Code::SocketUnusable,
            "check runner.socket and who may write in its folder",
        ),
    };
    Report::new(code, "the runner cannot listen")
        .because(error)
        .hint(hint)
}

fn probe_report(config: &Config, error: &ConnectError) -> Report {
    let socket = config.runner.socket.display();
    let hint = match error {
        ConnectError::Unreachable(_) => {
            "start `gristmill runner`; is runner.socket the same for both, and may this user go there?"
        }
        ConnectError::Impostor(_) => "set runner.user to the user that the runner runs as",
        ConnectError::Stranger(_) => "add the daemon's user to runner.allow_users of the runner",
        ConnectError::Protocol(_) => "install the same gristmill for both, and restart both",
        ConnectError::Busy | ConnectError::Mute(_) => "look at the runner's log",
    };
    Report::new(Code::RunnerAway, format!("{socket}: no runner"))
        .because(error)
        .hint(hint)
}

/// The runner of local processes; takes their folder.
pub(super) fn open(process: &config::Process) -> Result<ProcessRunner, Report> {
    for folder in &process.transformations {
        if !folder.is_dir() {
            let folder = folder.display();
            tracing::warn!(%folder, "runner.process.transformations: there is no such folder; no job is started until it is there");
        }
    }
    let settings = process_settings(process);
    ProcessRunner::open(settings, Arc::new(SystemClock)).map_err(|error| runner_report(&error))
}

/// How jobs run.
pub(super) fn process_settings(process: &config::Process) -> Settings {
    Settings {
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
        keep: KeepLimits {
            age: process.keep_for,
            bytes: u64::try_from(process.keep_size).unwrap_or(u64::MAX),
            number: process.keep_number.into(),
        },
        retry_exit_codes: process.retry_exit_codes.clone(),
        limits: run_limits(&process.limits),
        cgroup: match &process.cgroup {
            config::Cgroup::Auto => Wanted::Own,
            config::Cgroup::Off => Wanted::Off,
            config::Cgroup::At(path) => Wanted::At(path.clone()),
        },
    }
}

fn run_limits(limits: &config::Limits) -> Limits {
    let bytes = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
    Limits {
        memory: bytes(limits.memory),
        cpu_time: limits.cpu_time,
        processes: limits.processes,
        file_size: bytes(limits.file_size),
        output_size: bytes(limits.output_size),
        folder_size: bytes(limits.folder_size),
    }
}

fn runner_report(error: &OpenError) -> Report {
    let (code, hint) = match error {
        OpenError::InUse { .. } => (
            Code::WorkDirInUse,
            "stop the daemon or the runner that has it, or give this one a runner.process.work_dir of its own",
        ),
        OpenError::Nameless { .. } => (
            Code::HolderMissing,
            "put the file back: one line, the holder that `gristmill job show` names of a job in its runs/; or move runs/ away once none of them lives (pgrep -l gristmill-run)",
        ),
        OpenError::Folder { .. } => (
            Code::WorkDirUnusable,
            "check runner.process.work_dir and who may write there, or set conductor.enabled = false",
        ),
        OpenError::Kernel => (Code::KernelTooOld, "set conductor.enabled = false"),
    };
    Report::new(code, "jobs cannot be run here")
        .because(error)
        .hint(hint)
}
