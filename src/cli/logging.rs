//! Logs: to the journal with their fields, or to standard error in the configured form.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, registry};

use crate::config::{Log, LogFormat};
use crate::error::{Code, Report};

/// Crates that print passwords and payloads below level info.
const TALKATIVE: [&str; 4] = ["tokio_xmpp", "xmpp_parsers", "sasl", "mysql_async"];

/// Logging that has begun.
pub(super) struct Logging(Handle<Targets, Registry>);

impl Logging {
    /// From now on, from this level on.
    pub(super) fn set_level(&self, level: Level) {
        // It fails only when logging has ended.
        let _ = self.0.reload(targets(level));
    }
}

/// Starts logging; once in a process.
pub(super) fn start(log: Log) -> Result<Logging, Report> {
    let (filter, handle) = reload::Layer::new(targets(log.level));
    let journal = crate::config::logs_to_journal()
        .then(tracing_journald::layer)
        .and_then(Result::ok);
    let stderr = || layer().with_writer(std::io::stderr);
    let lines = match (journal, log.format) {
        (Some(journal), _) => journal.boxed(),
        (None, LogFormat::Json) => stderr().json().boxed(),
        (None, LogFormat::Text) => {
            let colours = std::io::stderr().is_terminal() && crate::config::colours_are_welcome();
            stderr().with_ansi(colours).boxed()
        }
    };
    let started = registry().with(filter).with(lines).try_init();
    started
        .map_err(|error| Report::new(Code::Internal, "logging cannot be started").because(error))?;
    Ok(Logging(handle))
}

fn targets(level: Level) -> Targets {
    let cap = LevelFilter::from_level(level.min(Level::INFO));
    let targets = Targets::new().with_default(level);
    let targets = targets.with_targets(TALKATIVE.map(|target| (target, cap)));
    targets.with_target("refinery_core", level.min(Level::WARN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_twice_is_a_bug_of_ours() {
        let log = Log {
            level: Level::ERROR,
            format: LogFormat::Text,
        };
        // Another test of this process may have been first.
        let _ = start(log);
        let again = start(log).map(drop).unwrap_err();
        assert_eq!(again.code, Code::Internal);
    }
}
