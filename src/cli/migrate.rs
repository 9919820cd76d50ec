//! `gristmill migrate`: the store's schema, brought up to date by hand; and an older copy of the
//! store, accepted.

use serde_json::json;

use crate::buffer::{self, Restored};
use crate::config::Config;
use crate::daemon;
use crate::error::Report;

use super::args::Migrate;
use super::output::Output;

pub(super) async fn run(arguments: Migrate, output: &mut Output) -> Result<(), Report> {
    let config = arguments.source.load()?.config;
    let options = daemon::store_options(&config.buffer)?;
    let url = &config.buffer.url;
    if arguments.accept_restored {
        return accept_restored(&config, arguments.json, output).await;
    }
    let steps = if arguments.plan {
        buffer::plan(url, &options).await
    } else {
        buffer::migrate(url, &options).await
    };
    let steps = steps.map_err(|error| daemon::store_report(url, &error))?;
    for step in &steps {
        if arguments.json {
            output.json(&json!({ "version": step.version, "name": step.name }))?;
        } else {
            output.line(format_args!("{}  {}", step.version, step.name))?;
        }
    }
    output.note(match (steps.len(), arguments.plan) {
        (0, _) => format!("{url}: the schema is up to date"),
        (pending, true) => format!("{url}: {pending} step(s) to take"),
        (taken, false) => format!("{url}: {taken} step(s) taken"),
    });
    Ok(())
}

async fn accept_restored(config: &Config, json: bool, output: &mut Output) -> Result<(), Report> {
    let (url, options) = (&config.buffer.url, daemon::checked_store_options(config)?);
    let accepted = buffer::accept_restored(url, &options).await;
    let accepted = accepted.map_err(|error| daemon::store_report(url, &error))?;
    if json {
        return output.json(&json!({
            "accepted_at": accepted.accepted_at.to_string(),
            "copy_at": accepted.copy_at.to_string(),
            "known_at": accepted.known_at.to_string(),
            "first_lost": accepted.first_lost,
            "next_id": accepted.next_id,
        }));
    }
    output.line(format_args!("{url}: {}", loss(&accepted)))
}

/// What may be missing in a copy that was accepted.
pub(super) fn loss(copy: &Restored) -> String {
    let Restored {
        accepted_at,
        copy_at,
        known_at,
        first_lost,
        next_id,
    } = copy;
    format!(
        "an older copy was accepted at {accepted_at}; what was stored or changed between {copy_at} \
         and {known_at} may be lost: jobs with records from {first_lost} on, below {next_id}, and \
         outcomes of older ones, which may run again"
    )
}
