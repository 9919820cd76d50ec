//! `gristmill job show` and `events`: everything about one job.

use jiff::Timestamp;

use crate::buffer::Dossier;
use crate::daemon::SystemClock;
use crate::error::Report;
use crate::job::policy::Clock;
use crate::job::{Event, Record};

use super::super::args::One;
use super::super::output::Output;
use super::super::store;
use super::json;
use super::present::{level, lines, one_line, time_and_age, to_the_second};

pub(super) async fn run(arguments: One, output: &mut Output) -> Result<(), Report> {
    let dossier = find(&arguments).await?;
    if arguments.json {
        return output.json(&json::dossier(&dossier));
    }
    for (name, value) in facts(&dossier.record, SystemClock.now()) {
        output.line(format_args!("{name:<12} {}", one_line(&value)))?;
    }
    output.line("")?;
    for event in &dossier.events {
        output.line(event_line(event))?;
    }
    output.line("")?;
    let xml = dossier.payload.as_deref().map(lines);
    output.line(xml.as_deref().unwrap_or("the job's XML has been purged"))
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
        ("kill wished", record.kill_requested_at.map(time)),
        ("content", Some(record.content.to_string())),
    ];
    let said = facts
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name, value)));
    said.collect()
}

fn event_line(event: &Event) -> String {
    let (at, level) = (to_the_second(event.at), level(event.level));
    let (code, text) = (one_line(&event.code), one_line(&event.text));
    format!("{at}  {level:<7}  {code}  {text}")
}
