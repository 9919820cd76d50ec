//! `gristmill job output`: what a job's present or last run has written, as it stands in the
//! runner's folder of work.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::buffer::{Dossier, TaskBuffer};
use crate::config::Config;
use crate::error::{Code, Report};
use crate::job::command::Stream;
use crate::job::{JobSpec, Record, RunKey, State};
use crate::runner::process::{Written, written};
use crate::windmill;

use super::super::args::JobOutput;
use super::super::output::Output;
use super::super::store::{self, Store};

/// How much is read at a time, in bytes.
const CHUNK: usize = 64 * 1024;

/// How often a followed file is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How often the store is asked whether a followed run goes on.
const ASK_AGAIN: Duration = Duration::from_millis(500);

pub(super) async fn run(arguments: JobOutput, output: &mut Output) -> Result<(), Report> {
    let config = arguments.source.load()?.config;
    let store = store::for_reading(&config).await?;
    let stream = if arguments.stderr {
        Stream::Stderr
    } else {
        Stream::Stdout
    };
    let written = if arguments.follow {
        begun(&config, &store, &arguments, stream, output).await?
    } else {
        let dossier = dossier(&store, &arguments).await?;
        let written = find(&config, &dossier, stream)?;
        written.ok_or_else(|| nothing_there(&config, &dossier.record))?
    };
    let mut file = match written.open() {
        Ok(file) => file,
        Err(error) => return Err(unreadable(&written, error)),
    };
    copy(&mut file, &written, output)?;
    if arguments.follow {
        follow(&mut file, &written, &store, &arguments, output).await?;
    }
    Ok(())
}

async fn dossier(store: &Store<dyn TaskBuffer>, arguments: &JobOutput) -> Result<Dossier, Report> {
    let dossier = store.ask(|store| store.show(arguments.record)).await?;
    store.found(arguments.record, dossier)
}

/// Where the present or last run writes; `None`: no run of the job has left a folder here.
fn find(config: &Config, dossier: &Dossier, stream: Stream) -> Result<Option<Written>, Report> {
    let record = &dossier.record;
    let work_dir = &config.runner.process.work_dir;
    let spec = spec(dossier)?;
    written(work_dir, record.id, stream, &spec).map_err(|error| cannot_be_read(work_dir, error))
}

/// The job's own names for its files stand in its XML.
fn spec(dossier: &Dossier) -> Result<JobSpec, Report> {
    let id = dossier.record.id;
    let Some(xml) = &dossier.payload else {
        let what = format!("record {id} has been purged, and what it wrote with it");
        return Err(Report::new(Code::Purged, what));
    };
    windmill::read_job(xml).map_err(|reason| {
        let what = format!("the XML of record {id} cannot be read: {}", reason.text);
        Report::new(Code::JobUnreadable, what)
    })
}

/// Waits for a run's beginning, where none of them has left anything yet and one is to come.
async fn begun(
    config: &Config,
    store: &Store<dyn TaskBuffer>,
    arguments: &JobOutput,
    stream: Stream,
    output: &Output,
) -> Result<Written, Report> {
    let mut told = false;
    loop {
        let dossier = dossier(store, arguments).await?;
        let record = &dossier.record;
        let written = find(config, &dossier, stream)?;
        // Of a job that is in hand, only the present run counts.
        let in_hand = matches!(record.state, State::Claimed | State::Running);
        match written {
            Some(written) if !in_hand || written.run.token == record.token => return Ok(written),
            None if record.state.is_final() => return Err(nothing_there(config, record)),
            _ if !told => {
                output.note(format_args!(
                    "it is {}; waiting for its start",
                    record.state
                ));
                told = true;
            }
            _ => {}
        }
        sleep(ASK_AGAIN).await;
    }
}

/// Shows what is written until the run is over, and then the rest.
async fn follow(
    file: &mut File,
    written: &Written,
    store: &Store<dyn TaskBuffer>,
    arguments: &JobOutput,
    output: &mut Output,
) -> Result<(), Report> {
    loop {
        let asked = Instant::now();
        let goes_on = is_on(&dossier(store, arguments).await?.record, written.run);
        copy(file, written, output)?;
        if !goes_on {
            return Ok(());
        }
        while asked.elapsed() < ASK_AGAIN {
            sleep(LOOK_AGAIN).await;
            copy(file, written, output)?;
        }
    }
}

/// Whether a record is in hand under this very claim.
fn is_on(record: &Record, run: RunKey) -> bool {
    matches!(record.state, State::Claimed | State::Running) && record.token == run.token
}

/// Copies what is there from where the last copy ended.
fn copy(file: &mut File, written: &Written, output: &mut Output) -> Result<(), Report> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = match file.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(written, error)),
        };
        output.bytes(chunk.get(..read).unwrap_or_default())?;
    }
}

fn nothing_there(config: &Config, record: &Record) -> Report {
    let (id, state) = (record.id, record.state);
    let work_dir = config.runner.process.work_dir.display();
    if record.token.0 == 0 {
        let what = format!("record {id} is {state} and was never started");
        let report = Report::new(Code::NeverStarted, what);
        return report.hint(format!("`gristmill job why {id}` says what it waits for"));
    }
    let what = format!("no run of record {id} has a folder below {work_dir}");
    Report::new(Code::NoRunFolder, what).hint(match &record.holder {
        Some(holder) => format!("it is in the hands of {holder}: ask on that machine"),
        None => "runner.process.keep_work says which folders stay after a run, on the machine \
                 that ran it"
            .to_owned(),
    })
}

fn unreadable(written: &Written, error: std::io::Error) -> Report {
    cannot_be_read(&written.path, error)
}

fn cannot_be_read(path: &Path, error: std::io::Error) -> Report {
    let what = format!("{}: cannot be read", path.display());
    match error.kind() {
        ErrorKind::NotFound => Report::new(Code::OutputGone, what).because(error),
        ErrorKind::PermissionDenied => Report::new(Code::OutputUnreadable, what).because(error).hint(
            "it is the runner's: ask as its user, as one of its group where its umask is 027, or as root",
        ),
        _ => Report::new(Code::OutputUnreadable, what).because(error),
    }
}
