//! The configuration read again, while running.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use toml::{Table, Value};
use tracing::Level;

use super::{
    Manager, assignment, bridge_settings, conducting, listening_owners, runner, supervisors,
};
use crate::bridge::Bridge;
use crate::buffer::Gate;
use crate::config::{Config, Loaded, Process};
use crate::error::{Code, Report};
use crate::runner::process::ProcessRunner;
use crate::xmpp;

/// What changes while running; every other key needs a restart.
const LIVE: [&str; 8] = [
    "supervisor",
    "bridge.jobs_wanted",
    "bridge.wanted_when_unable",
    "bridge.max_jobs_per_request",
    "bridge.receipts",
    "bridge.max_age",
    "conductor.slots",
    "log.level",
];

/// What changes in a runner of its own; its other keys need a restart. A section: every key of it.
const RUNNER_LIVE: [&str; 10] = [
    "runner.process.transformations",
    "runner.process.timeout",
    "runner.process.grace",
    "runner.process.keep_work",
    "runner.process.keep_for",
    "runner.process.keep_size",
    "runner.process.keep_number",
    "runner.process.retry_exit_codes",
    "runner.process.limits.",
    "log.level",
];

/// What a runner reads of the configuration.
const RUNNERS: [&str; 2] = ["runner.", "log."];

/// Reads the configuration again.
type Load = Box<dyn Fn() -> Result<Loaded, Report> + Send + Sync>;

/// Changes the level of the log.
type SetLevel = Box<dyn Fn(Level) + Send + Sync>;

/// Reads the configuration again whenever it is asked to.
pub struct Reload {
    hangups: Signal,
    load: Load,
    set_level: SetLevel,
    /// What holds by now: as it was at the start, but for what has changed since.
    config: Config,
    /// As it was at the start.
    tree: Table,
}

/// The parts of the daemon that can change while running.
pub(super) struct Live {
    pub bridge: Arc<Bridge>,
    pub gate: Arc<Gate>,
    pub supervisors: watch::Sender<Vec<xmpp::Supervisor>>,
    pub slots: Arc<AtomicUsize>,
}

impl Reload {
    /// On SIGHUP. `loaded`: what the daemon starts with.
    pub fn on_hangup(loaded: Loaded, load: Load, set_level: SetLevel) -> Result<Self, Report> {
        let hangups = signal(SignalKind::hangup()).map_err(|error| {
            Report::new(Code::SystemRefuses, "signals cannot be listened to").because(error)
        })?;
        Ok(Self {
            hangups,
            load,
            set_level,
            config: loaded.config,
            tree: loaded.tree,
        })
    }

    /// Changes a daemon, until `stop`.
    pub(super) async fn run(mut self, live: Live, manager: &Manager, stop: &CancellationToken) {
        while self.is_asked(manager, stop).await {
            let reloaded = self.reload(&live).await;
            tell_outcome(reloaded, manager);
        }
    }

    /// Changes a runner in a process of its own, until `stop`.
    pub(super) async fn run_runner(
        mut self,
        runner: &ProcessRunner,
        manager: &Manager,
        stop: &CancellationToken,
    ) {
        while self.is_asked(manager, stop).await {
            let reloaded = self.reload_runner(runner);
            tell_outcome(reloaded, manager);
        }
    }

    /// Waits for the next wish; `false`: there is to be none any more.
    async fn is_asked(&mut self, manager: &Manager, stop: &CancellationToken) -> bool {
        tokio::select! {
            () = stop.cancelled() => return false,
            _ = self.hangups.recv() => {}
        }
        manager.tell_reloading();
        true
    }

    /// Runs that live keep the limits that they began with.
    fn reload_runner(&mut self, runner: &ProcessRunner) -> Result<(), Report> {
        let new = (self.load)()?;
        let now = &self.config.runner.process;
        let process = Process {
            work_dir: now.work_dir.clone(),
            cgroup: now.cgroup.clone(),
            ..new.config.runner.process
        };
        runner.reconfigure(runner::process_settings(&process));
        (self.set_level)(new.config.log.level);
        let keys = pending(&self.tree, &new.tree, &RUNNER_LIVE);
        let of_runner = |key: &&String| RUNNERS.iter().any(|section| key.starts_with(section));
        for key in keys.iter().filter(of_runner) {
            tracing::warn!(key, "changed, and needs a restart");
        }
        Ok(())
    }

    async fn reload(&mut self, live: &Live) -> Result<(), Report> {
        let new = (self.load)()?;
        let config = adopt(&self.config, &new.config);
        let peers = supervisors(&config)?;
        self.assign_owners(&config, live).await?;
        live.bridge.reconfigure(bridge_settings(&config));
        live.supervisors.send_replace(peers);
        live.slots
            .store(conducting::slots(&config), Ordering::Relaxed);
        (self.set_level)(config.log.level);
        for key in pending(&self.tree, &new.tree, &LIVE) {
            tracing::warn!(key, "changed, and needs a restart");
        }
        let listening = |config| BTreeSet::from_iter(listening_owners(config));
        if listening(&self.config) != listening(&new.config) {
            tracing::warn!(
                key = "supervisor.notify",
                "whose owner is told of changes unasked has changed, and needs a restart"
            );
        }
        self.config = config;
        Ok(())
    }

    /// A supervisor that gets another owner, or is none any more, would not find its jobs.
    async fn assign_owners(&self, config: &Config, live: &Live) -> Result<(), Report> {
        let assignment = assignment(config)?;
        if assignment == super::assignment(&self.config)? {
            return Ok(());
        }
        let taken = assignment.take_effect(&*live.gate).await;
        taken.map_err(|error| super::store_report(&config.buffer.url, &error))
    }
}

fn tell_outcome(reloaded: Result<(), Report>, manager: &Manager) {
    match reloaded {
        Ok(()) => tracing::info!("the configuration was read again"),
        Err(report) => {
            tracing::error!(%report, "the configuration stays as it is: the new one cannot be used");
        }
    }
    manager.tell(&[sd_notify::NotifyState::Ready]);
}

/// What holds, with what can change while running.
fn adopt(current: &Config, new: &Config) -> Config {
    let mut config = current.clone();
    config.supervisor.clone_from(&new.supervisor);
    config.bridge.jobs_wanted = new.bridge.jobs_wanted;
    config.bridge.wanted_when_unable = new.bridge.wanted_when_unable;
    config.bridge.max_jobs_per_request = new.bridge.max_jobs_per_request;
    config.bridge.receipts = new.bridge.receipts;
    config.bridge.max_age = new.bridge.max_age;
    config.conductor.slots = new.conductor.slots;
    config.log.level = new.log.level;
    config
}

/// The keys that differ and do not change while running.
fn pending(started: &Table, new: &Table, live: &[&str]) -> Vec<String> {
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    flatten("", started, &mut before);
    flatten("", new, &mut after);
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let differ = |key: &&&String| before.get(**key) != after.get(**key);
    let keys = keys.iter().filter(differ);
    let is_live = |key: &str| {
        let mut live = live.iter();
        live.any(|live| key == *live || (live.ends_with('.') && key.starts_with(live)))
    };
    let keys = keys.filter(|key| !is_live(key));
    keys.map(|key| (*key).clone()).collect()
}

fn flatten(prefix: &str, table: &Table, into: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let key = format!("{prefix}{key}");
        match value {
            Value::Table(table) => flatten(&format!("{key}."), table, into),
            value => {
                into.insert(key, value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_restart_is_named() {
        let table = |text: &str| text.parse::<Table>().unwrap();
        let before = table("[a]\nx = 1\ny = 2\n[a.b]\nz = [1]\n[log]\nlevel = \"info\"\n");
        let after = table("[a]\nx = 1\nw = 2\n[a.b]\nz = [2]\n[log]\nlevel = \"debug\"\n");
        assert_eq!(pending(&before, &after, &LIVE), ["a.b.z", "a.w", "a.y"]);
        assert_eq!(
            pending(&before, &after, &["a.b.", "a.w"]),
            ["a.y", "log.level"]
        );
        assert!(pending(&before, &before, &LIVE).is_empty());
    }

    #[test]
    fn what_is_live_is_a_key() {
        // A key without a default value stands behind a bare `#`.
        let defaults = crate::config::DEFAULTS.lines().map(|line| {
            let key = line.strip_prefix('#');
            key.filter(|key| !key.starts_with(' ')).unwrap_or(line)
        });
        let defaults = defaults.collect::<Vec<_>>().join("\n");
        let mut keys = BTreeMap::new();
        flatten("", &defaults.parse::<Table>().unwrap(), &mut keys);
        let live = LIVE
            .iter()
            .chain(&RUNNER_LIVE)
            .filter(|key| **key != "supervisor");
        for live in live {
            assert!(keys.keys().any(|key| key.starts_with(live)), "{live}");
        }
    }
}
