//! Logs: to the journal with their fields, or to standard error in the configured form.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::panic;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, registry};

use crate::config::{Log, LogFormat};
use crate::daemon::{JournalLayer, JournalSocket, LogQueue};
use crate::error::{Code, Report};

/// Crates that print passwords and payloads below level info.
const TALKATIVE: [&str; 4] = ["tokio_xmpp", "xmpp_parsers", "sasl", "mysql_async"];

/// Logging that has begun. When it ends, what is queued is written, if it is read soon.
pub(super) struct Logging {
    filter: Handle<Targets, Registry>,
    queue: LogQueue,
}

/// Changes the level of the log.
pub(super) type SetLevel = Box<dyn Fn(Level) + Send + Sync>;

impl Logging {
    /// What changes the level from now on.
    pub(super) fn set_level(&self) -> SetLevel {
        let filter = self.filter.clone();
        // It fails only when logging has ended.
        Box::new(move |level| drop(filter.reload(targets(level))))
    }

    /// The lines on their way out.
    pub(super) fn queue(&self) -> &LogQueue {
        &self.queue
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.queue.flush();
    }
}

/// Starts logging; once in a process.
pub(super) fn start(log: Log) -> Result<Logging, Report> {
    let (filter, handle) = reload::Layer::new(targets(log.level));
    let journal = crate::config::logs_to_journal()
        .then(JournalSocket::open)
        .and_then(Result::ok);
    let has_journal = journal.is_some();
    let queue = match journal {
        Some(journal) => LogQueue::start(journal),
        None => stderr_queue(),
    };
    let queue = queue.map_err(|error| {
        Report::new(Code::SystemRefuses, "no thread to write the log").because(error)
    })?;
    let stderr = || layer().with_writer(queue.clone());
    let lines = match log.format {
        _ if has_journal => JournalLayer::new(queue.clone()).boxed(),
        LogFormat::Json => stderr().json().boxed(),
        LogFormat::Text => {
            let colours = io::stderr().is_terminal() && crate::config::colours_are_welcome();
            stderr().with_ansi(colours).boxed()
        }
    };
    let started = registry().with(filter).with(lines).try_init();
    started
        .map_err(|error| Report::new(Code::Internal, "logging cannot be started").because(error))?;
    // The hook of the standard library writes to standard error itself, and waits for its reader.
    panic::set_hook(Box::new(|panicked| tracing::error!("{panicked}")));
    Ok(Logging {
        filter: handle,
        queue,
    })
}

/// To standard error without its lock, which others would wait for.
fn stderr_queue() -> io::Result<LogQueue> {
    let stderr = io::stderr().as_fd().try_clone_to_owned()?;
    LogQueue::start(File::from(stderr))
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
