//! Logs: to standard error, in the configured form.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};
use crate::error::{Kind, Report};

/// Crates that print passwords and payloads below level info.
const TALKATIVE: [&str; 4] = ["tokio_xmpp", "xmpp_parsers", "sasl", "mysql_async"];

/// Starts logging; once in a process.
pub(super) fn start(log: Log) -> Result<(), Report> {
    let cap = LevelFilter::from_level(log.level.min(Level::INFO));
    let targets = Targets::new().with_default(log.level);
    let targets = targets.with_targets(TALKATIVE.map(|target| (target, cap)));
    let targets = targets.with_target("refinery_core", log.level.min(Level::WARN));
    let registry = tracing_subscriber::registry().with(targets);
    let lines = layer().with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Json => registry.with(lines.json()).try_init(),
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal() && crate::config::colours_are_welcome();
            registry.with(lines.with_ansi(colours)).try_init()
        }
    };
    started.map_err(|error| Report::new(Kind::Bug, "logging cannot be started").because(error))
}
