//! `gristmill capture`: requests and replies of a running daemon, as files for `replay --expect`.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::capture::{Control, Order, Progress};
use crate::config::Config;
use crate::daemon::SystemClock;
use crate::error::{Code, Report};
use crate::job::policy::Clock;

use super::args;
use super::note::note;
use super::output::Output;

/// How long a daemon that runs may take to hear an order.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) async fn run(command: args::Capture, output: &mut Output) -> Result<(), Report> {
    match command {
        args::Capture::On { folder, source } => {
            let folder = absolute(&folder)?;
            order(&source.load()?.config, Some(folder), output).await
        }
        args::Capture::Off { source } => order(&source.load()?.config, None, output).await,
        args::Capture::Status { source, json } => status(&source.load()?.config, json, output),
    }
}

/// A folder's path, wherever the daemon was started.
pub(super) fn absolute(folder: &Path) -> Result<PathBuf, Report> {
    std::path::absolute(folder).map_err(|error| {
        Report::new(
            Code::FolderName,
            format!("{:?} is no folder", folder.display()),
        )
        .because(error)
    })
}

async fn order(
    config: &Config,
    folder: Option<PathBuf>,
    output: &mut Output,
) -> Result<(), Report> {
    let control = Control::at(&config.capture.control);
    let order = Order {
        folder,
        by: note(None).who,
        since: SystemClock.now(),
    };
    control
        .give(&order)
        .map_err(|error| unusable(config, error))?;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let progress = control
            .progress()
            .map_err(|error| unusable(config, error))?;
        if let Some(progress) = progress.filter(|one| one.heard == Some(order.since)) {
            return heard(&progress, output);
        }
        sleep(LOOK_EVERY).await;
    }
    output.note("no daemon has heard it yet; one that starts with this configuration will");
    Ok(())
}

fn heard(progress: &Progress, output: &mut Output) -> Result<(), Report> {
    if let Some(why) = &progress.ended {
        let report = Report::new(
            Code::CaptureFailed,
            format!("the daemon cannot capture: {why}"),
        );
        return Err(report.hint("name a new folder, in one that the daemon's user may write to"));
    }
    output.note(match &progress.folder {
        Some(folder) => format!(
            "the daemon captures to {}; `gristmill capture off` ends it",
            folder.display()
        ),
        None => "the daemon captures nothing".to_owned(),
    });
    Ok(())
}

fn status(config: &Config, json: bool, output: &mut Output) -> Result<(), Report> {
    let control = Control::at(&config.capture.control);
    let order = control.order().map_err(|error| unusable(config, error))?;
    let progress = control
        .progress()
        .map_err(|error| unusable(config, error))?;
    if json {
        return output.json(&json!({ "order": order, "progress": progress }));
    }
    match &order {
        Some(Order {
            folder: Some(folder),
            by,
            since,
        }) => output.line(format_args!(
            "wanted since {since} by {by}: {}",
            folder.display()
        ))?,
        Some(Order { by, since, .. }) => output.line(format_args!("ended {since} by {by}"))?,
        None => output.line("nobody has ordered a capture")?,
    }
    let Some(Progress {
        folder,
        captured,
        bytes,
        dropped,
        ended,
        ..
    }) = progress
    else {
        return Ok(());
    };
    let state = match (folder, ended) {
        (Some(folder), _) => format!("captures to {}", folder.display()),
        (None, Some(why)) => format!("captures no more: {why}"),
        (None, None) => "captures nothing".to_owned(),
    };
    output.line(format_args!(
        "the daemon {state}; {captured} exchange(s), {bytes} bytes, {dropped} dropped"
    ))
}

fn unusable(config: &Config, error: Error) -> Report {
    let path = config.capture.control.display();
    let hint = match error.kind() {
        ErrorKind::PermissionDenied => "ask as the daemon's user, or as root",
        _ => "check capture.control; the daemon's user must be able to write there",
    };
    Report::new(Code::CaptureControl, format!("{path}: cannot be used"))
        .because(error)
        .hint(hint)
}
