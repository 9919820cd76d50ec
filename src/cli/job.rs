//! `gristmill job`: what the store holds, for operators. Reads beside a running daemon.

use std::sync::Arc;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use jiff::{Timestamp, Unit};
use serde_json::{Value, json};

use crate::buffer::{self, BufferError, Dossier, ListFilter, Lookup, TaskBuffer};
use crate::config::Config;
use crate::daemon::{self, SystemClock};
use crate::error::{Kind, Report};
use crate::job::policy::Clock;
use crate::job::{Level, Record, RecordId};

use super::args::{Job, List, Since};
use super::output::Output;

pub(super) async fn run(command: Job, output: &mut Output) -> Result<(), Report> {
    match command {
        Job::List(arguments) => list(arguments, output).await,
        Job::Show {
            record,
            source,
            json,
        } => {
            let config = source.load()?.config;
            let dossier = find(&config, record).await?;
            if json {
                return output.json(&dossier_json(&dossier));
            }
            show(&dossier, output)
        }
    }
}

async fn list(arguments: List, output: &mut Output) -> Result<(), Report> {
    let config = arguments.source.load()?.config;
    let now = SystemClock.now();
    let filter = ListFilter {
        owner: arguments.owner,
        job_id: arguments.job_id,
        state: arguments.state,
        since: arguments.since.map(|since| match since {
            Since::Time(time) => time,
            Since::Age(age) => now.checked_sub(age).unwrap_or(Timestamp::MIN),
        }),
        limit: arguments.limit,
    };
    let records = open(&config).await?.list(&filter).await;
    let records = records.map_err(|error| unanswered(&config, error))?;
    if arguments.json {
        return records
            .iter()
            .try_for_each(|record| output.json(&record_json(record)));
    }
    if records.is_empty() {
        output.note("no such jobs");
        return Ok(());
    }
    let cut_off = records.len() == usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    output.line(table(&records))?;
    if cut_off {
        output.note("there may be more: --limit says how many are listed");
    }
    Ok(())
}

fn table(records: &[Record]) -> Table {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header([
        "RECORD", "JOB", "ATTEMPT", "OWNER", "STATE", "SINCE", "REASON",
    ]);
    for record in records {
        table.add_row([
            record.id.to_string(),
            record.key.job_id.to_string(),
            record.key.attempt.to_string(),
            record.owner.to_string(),
            record.state.to_string(),
            to_the_second(record.since),
            record.reason.clone().unwrap_or_default(),
        ]);
    }
    table
}

async fn find(config: &Config, record: u64) -> Result<Dossier, Report> {
    let missing = || {
        let what = format!("{}: there is no record {record}", config.buffer.url);
        Report::new(Kind::NotFound, what).hint("`gristmill job list` shows what there is")
    };
    let id = RecordId::new(record).ok_or_else(missing)?;
    let found = open(config).await?.show(id).await;
    match found.map_err(|error| unanswered(config, error))? {
        Lookup::Found(dossier) => Ok(dossier),
        Lookup::Absent => Err(missing()),
        Lookup::Unreachable => {
            let what = format!(
                "{}: the row of record {record} cannot be read",
                config.buffer.url
            );
            Err(Report::new(Kind::Failed, what).hint("look at it with the store's own client"))
        }
    }
}

fn show(dossier: &Dossier, output: &mut Output) -> Result<(), Report> {
    let record = &dossier.record;
    let reason = record.reason.as_deref().unwrap_or("-");
    let kill = record
        .kill_requested_at
        .map_or("-".to_owned(), to_the_second);
    let lines = [
        ("record", record.id.to_string()),
        ("job", record.key.job_id.to_string()),
        ("attempt", record.key.attempt.to_string()),
        ("owner", record.owner.to_string()),
        ("state", record.state.to_string()),
        ("since", to_the_second(record.since)),
        ("reason", reason.to_owned()),
        ("priority", record.priority.to_string()),
        ("accepted", to_the_second(record.accepted_at)),
        ("kill wished", kill),
        ("content", record.content.to_string()),
    ];
    for (name, value) in lines {
        output.line(format_args!("{name:<12} {value}"))?;
    }
    output.line("")?;
    for event in &dossier.events {
        let (at, level) = (to_the_second(event.at), level(event.level));
        output.line(format_args!(
            "{at}  {level:<7}  {}  {}",
            event.code, event.text
        ))?;
    }
    if !dossier.events.is_empty() {
        output.line("")?;
    }
    output.line(
        dossier
            .payload
            .as_deref()
            .unwrap_or("the job's XML has been purged"),
    )
}

fn dossier_json(dossier: &Dossier) -> Value {
    let events = dossier.events.iter().map(|event| {
        json!({
            "at": event.at, "level": level(event.level), "code": event.code, "text": event.text,
        })
    });
    let events = events.collect::<Vec<_>>();
    json!({ "record": record_json(&dossier.record), "events": events, "xml": dossier.payload })
}

fn record_json(record: &Record) -> Value {
    json!({
        "recordID": record.id.get(),
        "jobID": record.key.job_id.as_str(),
        "attempt": record.key.attempt.get(),
        "owner": record.owner.as_str(),
        "state": record.state.name(),
        "since": record.since,
        "reason": record.reason,
        "priority": record.priority,
        "acceptedAt": record.accepted_at,
        "killRequestedAt": record.kill_requested_at,
        "content": record.content.to_string(),
    })
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Event => "event",
        Level::Warning => "warning",
        Level::Error => "error",
    }
}

fn to_the_second(time: Timestamp) -> String {
    time.round(Unit::Second).unwrap_or(time).to_string()
}

async fn open(config: &Config) -> Result<Arc<dyn TaskBuffer>, Report> {
    let options = daemon::store_options(&config.buffer)?;
    let url = &config.buffer.url;
    let opened = buffer::open_for_reading(url, &options).await;
    opened.map_err(|error| daemon::store_report(url, &error))
}

fn unanswered(config: &Config, error: BufferError) -> Report {
    let what = format!("{}: no answer", config.buffer.url);
    Report::new(Kind::Unreachable, what).because(error)
}
