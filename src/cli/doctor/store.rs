//! The store: whether it answers, its schema, and its clock.

use std::time::Instant;

use crate::bridge;
use crate::buffer::{self, Options, Step, StoreUrl};
use crate::cli::migrate::loss;
use crate::config::Config;
use crate::daemon::{self, SystemClock};
use crate::error::{Code, Report};
use crate::job::policy::Clock;

use super::clock::compare;
use super::finding::Finding;

const STORE: &str = "store";
const SCHEMA: &str = "schema";
const CLOCK: &str = "clock";
const COPY: &str = "copy";

pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let url = &config.buffer.url;
    let unanswered = |report| vec![Finding::of_report(STORE, &report)];
    let options = match daemon::store_options(&config.buffer) {
        Ok(options) => options,
        Err(report) => return unanswered(report),
    };
    let began = Instant::now();
    let steps = match buffer::plan(url, &options).await {
        Ok(steps) => steps,
        Err(error) => return unanswered(daemon::store_report(url, &error)),
    };
    let answered = if steps.is_empty() {
        ask(url, &options).await
    } else {
        Ok(())
    };
    match answered {
        Ok(()) => {
            let milliseconds = began.elapsed().as_millis();
            let store = Finding::ok(STORE, format!("{url} answers ({milliseconds} ms)"));
            let mut findings = vec![store, schema(&steps), clock(config, &options).await];
            if steps.is_empty() {
                findings.extend(copy(config).await);
            }
            findings
        }
        Err(report) => unanswered(report),
    }
}

async fn ask(url: &StoreUrl, options: &Options) -> Result<(), Report> {
    let store = buffer::open_for_reading(url, options).await;
    let store = store.map_err(|error| daemon::store_report(url, &error))?;
    store.ping().await.map_err(|error| {
        Report::new(Code::StoreMute, format!("{url}: no answer")).because(error)
    })?;
    store.try_write(false).await.map_err(|error| {
        let report = Report::new(Code::StoreTrouble, format!("{url} takes no writes"));
        let hint = "it answers questions, and no job can be taken or run until it takes writes";
        report.because(error).hint(hint)
    })
}

fn schema(steps: &[Step]) -> Finding {
    let what = match steps {
        [] => return Finding::ok(SCHEMA, "is up to date"),
        [first, ..] if first.version == 1 => "is not there yet".to_owned(),
        steps => format!("lacks {} step(s)", steps.len()),
    };
    let remedy = "`gristmill serve` brings it up to date at start, as does `gristmill migrate`";
    Finding::warning(SCHEMA, what, remedy)
}

/// Whether it is an older copy of what was answered from. One that was accepted is told of with what
/// it may lack; a warning for as long as nothing is answered `rejected` because of it.
async fn copy(config: &Config) -> Option<Finding> {
    let url = &config.buffer.url;
    let options = match daemon::checked_store_options(config) {
        Ok(options) => options,
        Err(report) => return Some(Finding::of_report(COPY, &report)),
    };
    let copy = match buffer::restored(url, &options).await {
        Ok(copy) => copy?,
        Err(error) => return Some(Finding::of_report(COPY, &daemon::store_report(url, &error))),
    };
    let until = copy.accepted_at + bridge::rejections_are_kept(config.bridge.max_age);
    if SystemClock.now() > until {
        return Some(Finding::ok(COPY, loss(&copy)));
    }
    let remedy = format!("until {until} jobs that are not there are answered `unknown`");
    Some(Finding::warning(COPY, loss(&copy), remedy))
}

async fn clock(config: &Config, options: &Options) -> Finding {
    let before = SystemClock.now();
    match buffer::store_time(&config.buffer.url, options).await {
        Ok(None) => Finding::ok(CLOCK, "the store has this machine's"),
        Ok(Some(there)) => compare(CLOCK, "the store's", before, there, SystemClock.now()),
        Err(error) => Finding::of_report(CLOCK, &daemon::store_report(&config.buffer.url, &error)),
    }
}
