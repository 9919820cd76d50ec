//! `gristmill migrate`: the store's schema, brought up to date by hand.

use serde_json::json;

use crate::buffer;
use crate::daemon;
use crate::error::Report;

use super::args::Migrate;
use super::output::Output;

pub(super) async fn run(arguments: Migrate, output: &mut Output) -> Result<(), Report> {
    let config = arguments.source.load()?.config;
    let options = daemon::store_options(&config.buffer)?;
    let url = &config.buffer.url;
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
