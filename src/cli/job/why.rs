//! `gristmill job why`: what jobs wait for, and when they are next looked at.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::json;

use crate::buffer::{ListFilter, Operations, StoreUrl, TaskBuffer};
use crate::config::Config;
use crate::daemon::SystemClock;
use crate::error::Report;
use crate::job::policy::Clock;
use crate::job::{Record, State};

use super::super::args::Why;
use super::super::output::Output;
use super::super::store::{self, Store};
use super::select;
use super::sentence::{self, InHand, Sentence, Surroundings};

/// No more jobs in hand than these are counted.
const MAX_COUNTED: u32 = 10_000;

/// A daemon that lives notes every minute that its breaker is open.
const SEEN_LATELY: SignedDuration = SignedDuration::from_mins(5);

/// So many jobs are told about unless `--limit` says otherwise.
const DEFAULT_LIMIT: u32 = 50;

pub(super) async fn run(arguments: Why, output: &mut Output) -> Result<(), Report> {
    let config = arguments.source.load()?.config;
    let store = store::for_reading(&config).await?;
    let records = if arguments.which.records.is_empty() {
        let limit = arguments.which.limit.unwrap_or(DEFAULT_LIMIT);
        let filter = select::list_filter(&arguments.which.filter, limit);
        store.ask(|store| store.list(&filter)).await?
    } else {
        select::named(&store, &arguments.which.records).await?
    };
    if records.is_empty() {
        output.note("no such jobs");
        return Ok(());
    }
    let around = surroundings(&config, &store).await?;
    for record in &records {
        show(
            record,
            &sentence::of(record, &around),
            arguments.json,
            output,
        )?;
    }
    Ok(())
}

async fn surroundings(
    config: &Config,
    store: &Store<dyn TaskBuffer>,
) -> Result<Surroundings, Report> {
    let operations = store::for_looking_on(config).await?;
    let mut drains = operations.ask(Operations::drains).await?;
    drains.retain(|drain| drain.on);
    let now = SystemClock.now();
    let mut breakers = operations.ask(Operations::breakers).await?;
    // What has not been seen for long is a daemon's that is gone.
    breakers.retain(|open| now.duration_since(open.seen) < SEEN_LATELY);
    Ok(Surroundings {
        now,
        daemon: config.xmpp.jid.to_string(),
        drains,
        breakers,
        in_hand: in_hand(store).await?,
        shared: matches!(config.buffer.url, StoreUrl::Mysql(_)),
    })
}

async fn in_hand(store: &Store<dyn TaskBuffer>) -> Result<InHand, Report> {
    let mut holders = BTreeSet::new();
    let mut jobs = 0;
    for state in [State::Claimed, State::Running] {
        let filter = ListFilter {
            state: Some(state.name().to_owned()),
            limit: MAX_COUNTED,
            owner: None,
            job_id: None,
            since: None,
        };
        let records = store.ask(|store| store.list(&filter)).await?;
        jobs += records.len() as u64;
        holders.extend(records.into_iter().filter_map(|record| record.holder));
    }
    Ok(InHand {
        jobs,
        holders: holders.len() as u64,
    })
}

fn show(
    record: &Record,
    sentence: &Sentence,
    json: bool,
    output: &mut Output,
) -> Result<(), Report> {
    if json {
        return output.json(&json!({
            "recordID": record.id.get(),
            "jobID": record.key.job_id.as_str(),
            "attempt": record.key.attempt.get(),
            "state": record.state.name(),
            "why": sentence.why,
            "next": sentence.next,
            "nextAt": sentence.next_at,
        }));
    }
    output.line(format_args!(
        "record {} (job {}) is {}: {}\n  looked at next: {}",
        record.id, record.key, record.state, sentence.why, sentence.next
    ))
}
