//! `gristmill drain` and `undrain`: whether daemons take anything new.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::buffer::{Drain, Operations};
use crate::config::Config;
use crate::daemon::SystemClock;
use crate::error::Report;
use crate::job::policy::Clock;

use super::args;
use super::job::present::time_and_age;
use super::note::note;
use super::output::Output;
use super::store::{self, Store};

/// What is said of a drain that is for every daemon.
const EVERY_DAEMON: &str = "every daemon of this store";

pub(super) async fn drain(arguments: args::Drain, output: &mut Output) -> Result<(), Report> {
    let config = arguments.source.load()?.config;
    if arguments.list {
        let store = store::for_looking_on(&config).await?;
        return list(&store, arguments.json, output).await;
    }
    let store = store::for_operating(&config).await?;
    let wanted = Drain {
        daemon: (!arguments.all).then(|| name(&config)),
        on: true,
        note: note(arguments.reason),
        since: SystemClock.now(),
    };
    store.ask(|store| store.set_drain(wanted.clone())).await?;
    let who = whose(&wanted);
    output.note(format_args!(
        "{who} drains: within a second nothing new is taken, and supervisors hear that no job is \
         wanted; what runs goes on to its end. `gristmill undrain{}` ends it",
        if arguments.all { " --all" } else { "" }
    ));
    if arguments.json {
        list(&store, true, output).await?;
    }
    Ok(())
}

pub(super) async fn undrain(arguments: args::Undrain, output: &mut Output) -> Result<(), Report> {
    let config = arguments.source.load()?.config;
    let store = store::for_operating(&config).await?;
    let wanted = Drain {
        daemon: (!arguments.all).then(|| name(&config)),
        on: false,
        note: note(arguments.reason),
        since: SystemClock.now(),
    };
    store.ask(|store| store.set_drain(wanted.clone())).await?;
    let left = store.ask(Operations::drains).await?;
    let still = left
        .iter()
        .find(|drain| drain.on && holds_back(drain, &wanted));
    match still {
        Some(drain) => output.note(format_args!(
            "nothing new is taken yet: {}; {} ends that",
            told(drain, SystemClock.now()),
            match drain.daemon {
                None => "`gristmill undrain --all`",
                Some(_) => "`gristmill undrain`, with its configuration,",
            }
        )),
        None => output.note(format_args!("{} takes jobs again", whose(&wanted))),
    }
    if arguments.json {
        print(left.iter().filter(|drain| drain.on), true, output)?;
    }
    Ok(())
}

async fn list(
    store: &Store<dyn Operations>,
    json: bool,
    output: &mut Output,
) -> Result<(), Report> {
    let drains = store.ask(Operations::drains).await?;
    if !drains.iter().any(|drain| drain.on) {
        output.note("no daemon drains");
    }
    print(drains.iter(), json, output)
}

fn print<'a>(
    drains: impl Iterator<Item = &'a Drain>,
    json: bool,
    output: &mut Output,
) -> Result<(), Report> {
    for drain in drains {
        if json {
            output.json(&drain_json(drain))?;
        } else {
            output.line(told(drain, SystemClock.now()))?;
        }
    }
    Ok(())
}

/// The daemon's name among the drains.
fn name(config: &Config) -> String {
    config.xmpp.jid.to_string()
}

/// Whether a drain keeps that from working which somebody wants to work again.
fn holds_back(drain: &Drain, wanted: &Drain) -> bool {
    drain.daemon.is_none() || wanted.daemon.is_none() || drain.daemon == wanted.daemon
}

/// Whose drain it is.
fn whose(drain: &Drain) -> &str {
    drain.daemon.as_deref().unwrap_or(EVERY_DAEMON)
}

/// Who drains or works again, since when, by whom and why; also for `job why`.
pub(super) fn told(drain: &Drain, now: Timestamp) -> String {
    let since = time_and_age(drain.since, now);
    let reason = drain.note.reason.as_deref().unwrap_or("no reason given");
    format!(
        "{} {} since {since}, by {}: {reason}",
        whose(drain),
        if drain.on { "drains" } else { "works again" },
        drain.note.who
    )
}

fn drain_json(drain: &Drain) -> Value {
    json!({
        "daemon": drain.daemon,
        "drains": drain.on,
        "since": drain.since,
        "by": drain.note.who,
        "reason": drain.note.reason,
    })
}
