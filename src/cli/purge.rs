//! `gristmill purge`: drops what is kept of jobs that ended long ago, lot by lot.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::json;
use tokio::time::sleep;

use crate::buffer::{Operations, Purge};
use crate::daemon::SystemClock;
use crate::error::Report;
use crate::job::policy::Clock;

use super::args;
use super::job::present::{count, to_the_second};
use super::output::Output;
use super::store::{self, Store};

/// Records in one transaction: few enough that nobody else waits for it.
const LOT: u32 = 200;

/// The pause after each lot, in which others have the store for themselves.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn run(arguments: args::Purge, output: &mut Output) -> Result<(), Report> {
    let config = arguments.source.load()?.config;
    let store = store::for_operating(&config).await?;
    let before = SystemClock.now().checked_sub(arguments.older_than);
    let purge = Purge {
        states: arguments.state,
        before: before.unwrap_or(Timestamp::MIN),
        lot: LOT,
    };
    let horizon = config.buffer.keep_keys.horizon(SystemClock.now());
    let keys = horizon.map(|horizon| Purge {
        before: horizon.min(purge.before),
        ..purge.clone()
    });
    let due = store.ask(|store| store.count_purgeable(&purge)).await?;
    let purged = if arguments.dry_run {
        0
    } else {
        purge_all(&store, &purge, due).await?
    };
    let walked = match &keys {
        Some(keys) => walk_keys(&store, keys, arguments.dry_run).await?,
        None => Keys::default(),
    };
    if arguments.json {
        output.json(&json!({
            "before": purge.before, "due": due, "purged": purged,
            "keys_before": keys.as_ref().map(|keys| keys.before),
            "keys_due": walked.due, "keys_dropped": walked.dropped,
        }))?;
    }
    let ended = |purge: &Purge| format!("that ended before {}", to_the_second(purge.before));
    let jobs = |number| format!("{} {}", count(number, "job"), ended(&purge));
    output.note(if arguments.dry_run {
        format!("{} would be purged", jobs(due))
    } else {
        format!("{} purged: their keys and final words stay", jobs(purged))
    });
    if let Some(keys) = keys {
        let ended = ended(&keys);
        output.note(if arguments.dry_run {
            format!(
                "{} of jobs {ended} would be dropped",
                count(walked.due, "key")
            )
        } else {
            format!("{} of jobs {ended} dropped", count(walked.dropped, "key"))
        });
    }
    Ok(())
}

/// What was found of old keys.
#[derive(Default)]
struct Keys {
    due: u64,
    dropped: u64,
}

async fn walk_keys(
    store: &Store<dyn Operations>,
    purge: &Purge,
    dry_run: bool,
) -> Result<Keys, Report> {
    let mut keys = Keys::default();
    let mut after = None;
    loop {
        let lot = store.ask(|store| store.old_keys(purge, after)).await?;
        keys.due += lot.records.len() as u64;
        if !dry_run && !lot.records.is_empty() {
            let dropped = store.ask(|store| store.drop_keys(purge, &lot.records));
            keys.dropped += dropped.await?;
            sleep(PAUSE).await;
        }
        if lot.next.is_none() {
            return Ok(keys);
        }
        after = lot.next;
    }
}

async fn purge_all(store: &Store<dyn Operations>, purge: &Purge, due: u64) -> Result<u64, Report> {
    let progress = progress(due);
    let mut purged = 0;
    loop {
        let lot = store.ask(|store| store.purge(purge)).await;
        let lot = lot.map_err(|report| {
            report.hint(format!(
                "{} purged before that; run it again for the rest",
                count(purged, "job")
            ))
        })?;
        if lot == 0 {
            break;
        }
        purged += lot;
        progress.inc(lot);
        sleep(PAUSE).await;
    }
    progress.finish_and_clear();
    Ok(purged)
}

fn progress(due: u64) -> ProgressBar {
    if due <= u64::from(LOT) || !Output::is_watched() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(due);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} jobs, {eta} to go") {
        bar.set_style(style);
    }
    bar
}
