//! `gristmill debug bundle`: what somebody who helps from afar wants to see, in one archive, without
//! secrets and without what jobs are made of. A bundle is wanted most when things are broken, so
//! whatever cannot be had is named, and the rest is made.

mod archive;
mod journal;
mod members;
mod settings;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::daemon::SystemClock;
use crate::error::{Code, Report};
use crate::job::policy::Clock;

use super::args::{Bundle, DebugCommand};
use super::output::Output;
use archive::WriteError;
use members::Member;

/// What is said of the whole archive.
const ABOUT: &str = "Made by `gristmill debug bundle`. It holds no password and nothing that jobs are made of: no \
programs, parameters, file names, outputs, events or reasons. It does hold JIDs, owners, record IDs, host names, \
addresses, users and paths.";

pub(super) async fn run(command: DebugCommand, output: &mut Output) -> Result<(), Report> {
    match command {
        DebugCommand::Bundle(arguments) => bundle(arguments, output).await,
    }
}

async fn bundle(arguments: Bundle, output: &mut Output) -> Result<(), Report> {
    let now = SystemClock.now();
    let name = format!("gristmill-debug-{}", now.strftime("%Y%m%dT%H%M%SZ"));
    let file = arguments.output;
    let file = file.unwrap_or_else(|| PathBuf::from(format!("{name}.tar.gz")));
    // Nobody waits half a minute to be told that.
    if file.symlink_metadata().is_ok() {
        return Err(taken(&file));
    }
    let members = members::gather(arguments.source.load()).await;
    let manifest = manifest(&members, now);
    archive::write(&file, &name, &manifest, &members, now)
        .map_err(|error| unwritten(&file, &error))?;
    for Member { name, content, .. } in &members {
        if let Err(why) = content {
            output.note(format_args!("without {name}: {why}"));
        }
    }
    if arguments.json {
        return output.json(&json!({ "file": file, "manifest": manifest }));
    }
    output.line(file.display())
}

/// What each member is, and why one is not there.
fn manifest(members: &[Member], now: Timestamp) -> Value {
    let told = members.iter().map(|member| {
        let (bytes, missing) = match &member.content {
            Ok(content) => (Some(content.len()), None),
            Err(why) => (None, Some(why)),
        };
        json!({ "name": member.name, "about": member.about, "bytes": bytes, "missing": missing })
    });
    json!({
        "about": ABOUT,
        "made": now,
        "by": format!("gristmill {}", env!("CARGO_PKG_VERSION")),
        "members": told.collect::<Vec<_>>(),
    })
}

fn taken(file: &Path) -> Report {
    let what = format!("{}: is there already", file.display());
    Report::new(Code::FileExists, what).hint("name another file with --output")
}

fn unwritten(file: &Path, error: &WriteError) -> Report {
    match error {
        WriteError::Exists => taken(file),
        WriteError::Failed(error) => {
            let what = format!("{}: cannot be written", file.display());
            let report = Report::new(Code::FileUnwritable, what).because(error);
            report.hint("name a file with --output, in a folder that you may write to")
        }
    }
}
