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
    let due = store.ask(|store| store.count_purgeable(&purge)).await?;
    let purged = if arguments.dry_run {
        0
    } else {
        purge_all(&store, &purge, due).await?
    };
    if arguments.json {
        output.json(&json!({ "before": purge.before, "due": due, "purged": purged }))?;
    }
    let ended = format!("that ended before {}", to_the_second(purge.before));
    output.note(if arguments.dry_run {
        format!("{} {ended} would be purged", count(due, "job"))
    } else {
        format!(
            "{} {ended} purged: their keys and final words stay",
            count(purged, "job")
        )
    });
    Ok(())
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
