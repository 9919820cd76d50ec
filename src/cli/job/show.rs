//! `gristmill job show` and `events`: everything about one job.

use std::time::Duration;

use jiff::Timestamp;

use crate::buffer::Dossier;
use crate::daemon::SystemClock;
use crate::error::Report;
use crate::job::policy::Clock;
use crate::job::{Event, OutputFile, Progress, Record, RunFault, RunReport, State};

use super::super::args::One;
use super::super::output::Output;
use super::super::store;
use super::json;
use super::present::{exact_span, level, one_line, size, time_and_age, to_the_second};

pub(super) async fn run(arguments: One, output: &mut Output) -> Result<(), Report> {
    let dossier = find(&arguments).await?;
    if arguments.json {
        return output.json(&json::dossier(&dossier));
    }
    for (name, value) in facts(&dossier.record, SystemClock.now()) {
        output.line(format_args!("{name:<13} {}", one_line(&value)))?;
    }
    output.line("")?;
    for event in &dossier.events {
        output.line(event_line(event))?;
    }
    output.line("")?;
    let xml = dossier.payload.as_deref();
    output.line(xml.unwrap_or("the job's XML has been purged"))
}

pub(super) async fn events(arguments: One, output: &mut Output) -> Result<(), Report> {
    let dossier = find(&arguments).await?;
    for event in &dossier.events {
        if arguments.json {
            output.json(&json::event(event))?;
        } else {
            output.line(event_line(event))?;
        }
    }
    Ok(())
}

async fn find(arguments: &One) -> Result<Dossier, Report> {
    let config = arguments.source.load()?.config;
    let store = store::for_reading(&config).await?;
    let dossier = store.ask(|store| store.show(arguments.record)).await?;
    store.found(arguments.record, dossier)
}

/// What is known of a record, in the order in which it is asked for. What says nothing is left
/// out.
fn facts(record: &Record, now: Timestamp) -> Vec<(&'static str, String)> {
    let time = |time| time_and_age(time, now);
    let result = record.result.as_deref();
    let facts = [
        ("record", Some(record.id.to_string())),
        ("job", Some(record.key.job_id.to_string())),
        ("attempt", Some(record.key.attempt.to_string())),
        ("owner", Some(record.owner.to_string())),
        ("priority", Some(record.priority.to_string())),
        ("accepted", Some(time(record.accepted_at))),
        ("state", Some(record.state.to_string())),
        ("since", Some(time(record.since))),
        ("reason", record.reason.clone()),
        ("due", record.due_at.map(time)),
        ("failed runs", Some(record.runs.to_string())),
        ("abandons", Some(record.abandons.to_string())),
        ("held by", record.holder.clone()),
        (
            "claim",
            (record.token.0 > 0).then(|| record.token.to_string()),
        ),
        (
            "running since",
            record
                .started_at
                .filter(|_| record.state == State::Running)
                .map(time),
        ),
        ("progress", record.progress.as_ref().map(progress)),
        ("kill wished", record.kill_requested_at.map(time)),
        (
            "told",
            record
                .told
                .then(|| "its supervisor knows its final word".to_owned()),
        ),
        ("content", Some(record.content.to_string())),
        ("last run", result.map(|run| run.verdict.name().to_owned())),
        (
            "exit code",
            result
                .and_then(|run| run.exit_code)
                .map(|code| code.to_string()),
        ),
        ("started", result.and_then(|run| run.started_at).map(time)),
        ("ended", result.map(|run| time(run.ended_at))),
        ("took", result.and_then(took)),
        ("CPU", result.map(|run| exact_span(run.cpu))),
        ("peak memory", result.map(|run| size(run.peak_memory))),
        (
            "error",
            result.and_then(|run| run.fault.as_ref()).map(fault),
        ),
    ];
    let said = facts
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name, value)));
    let outputs = result.into_iter().flat_map(|run| &run.outputs);
    said.chain(outputs.map(|file| ("output", output_file(file))))
        .collect()
}

fn progress(progress: &Progress) -> String {
    let percent = f64::from(progress.permille) / 10.0;
    format!("{percent} % {}", progress.words)
}

fn took(run: &RunReport) -> Option<String> {
    let took = run.ended_at.duration_since(run.started_at?);
    Duration::try_from(took).ok().map(exact_span)
}

fn fault(fault: &RunFault) -> String {
    format!("{}: {}", fault.code, fault.text)
}

fn output_file(file: &OutputFile) -> String {
    let (name, size) = (&file.logical_name, size(file.size));
    format!("{name} ({size}, SHA-256 {})", file.sha256_hex())
}

fn event_line(event: &Event) -> String {
    let (at, level) = (to_the_second(event.at), level(event.level));
    let (code, text) = (one_line(&event.code), one_line(&event.text));
    format!("{at}  {level:<7}  {code}  {text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Verdict;

    use super::super::list::tests::{NOW, at, record};

    #[test]
    fn what_a_run_left_behind_is_shown() {
        let run = RunReport {
            verdict: Verdict::Failed,
            started_at: Some(at(NOW - 3_725)),
            ended_at: at(NOW),
            exit_code: Some(65),
            cpu: Duration::from_millis(1_500),
            peak_memory: 3 << 20,
            fault: Some(RunFault {
                code: "exit-status".to_owned(),
                text: "the program ended with exit code 65".to_owned(),
            }),
            outputs: vec![OutputFile {
                logical_name: "hits.root".to_owned(),
                size: 2_048,
                sha256: [0xab; 32],
            }],
        };
        let record = Record {
            result: Some(Box::new(run)),
            ..record(State::Failed)
        };
        let facts = facts(&record, at(NOW));
        let value = |name| {
            let fact = facts.iter().find(|(fact, _)| *fact == name);
            fact.map(|(_, value)| value.as_str()).unwrap()
        };
        assert_eq!(value("exit code"), "65");
        assert_eq!(value("took"), "1 h 2 min 5 s");
        assert_eq!(value("CPU"), "1.50 s");
        assert_eq!(value("peak memory"), "3.0 MiB");
        assert_eq!(
            value("error"),
            "exit-status: the program ended with exit code 65"
        );
        assert!(value("output").starts_with("hits.root (2.0 KiB, SHA-256 abab"));
        assert!(!facts.iter().any(|(name, _)| *name == "held by"));
    }
}
