//! All that the screen shows, and where each number comes from.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::daemon::Daemon;
use super::holdings::{Held, Holdings};
use super::rates::Rates;
use super::scrape::{Scrape, Wanted};
use crate::cli::job::present::one_line;
use crate::config::{Config, Supervisor};
use crate::daemon::SystemClock;
use crate::http::Listen;
use crate::job::State;
use crate::job::policy::Clock;

/// All that the screen shows.
pub(super) struct Board {
    /// Who the daemon is to supervisors.
    pub(super) jid: String,
    /// Where it is asked.
    pub(super) listen: Listen,
    /// How often.
    pub(super) interval: Duration,
    /// The JIDs of each owner, as configured.
    pub(super) supervisors: BTreeMap<String, Vec<String>>,
    pub(super) daemon: Daemon,
    pub(super) holdings: Holdings,
    pub(super) rates: Rates,
    pub(super) now: Timestamp,
}

/// An owner and what is counted of it; `None`: not known.
pub(super) struct Owner {
    pub(super) name: String,
    pub(super) jids: String,
    pub(super) calls: Option<f64>,
    pub(super) calls_a_minute: Option<f64>,
    /// Calls that were answered with a fault.
    pub(super) faults: Option<f64>,
    /// Calls that wait.
    pub(super) queue: Option<f64>,
    pub(super) jobs: Option<f64>,
    pub(super) jobs_a_minute: Option<f64>,
    /// Jobs that were not taken.
    pub(super) refused: Option<f64>,
    pub(super) unfinished: Option<u64>,
}

const CALLS: &str = "gristmill_owner_calls_total";
const QUEUE: &str = "gristmill_queue_length";
const JOBS: &str = "gristmill_jobs_received_total";

impl Board {
    pub(super) fn new(config: &Config, interval: Duration) -> Self {
        let mut supervisors = BTreeMap::<_, Vec<_>>::new();
        for Supervisor { jid, owner, .. } in &config.supervisor {
            let jid = jid.to_string();
            let owner = owner.clone().unwrap_or_else(|| jid.clone());
            supervisors.entry(owner).or_default().push(one_line(&jid));
        }
        Self {
            jid: config.xmpp.jid.to_string(),
            listen: config.http.listen.clone(),
            interval,
            supervisors,
            daemon: Daemon::Asked,
            holdings: Holdings::Asked,
            rates: Rates::default(),
            now: SystemClock.now(),
        }
    }

    /// The daemon was looked at.
    pub(super) fn hear(&mut self, daemon: Daemon) {
        if let Daemon::Here(heard) = &daemon {
            self.rates.add(heard.at, &heard.scrape);
        }
        self.daemon = daemon;
    }

    pub(super) fn scrape(&self) -> Option<&Scrape> {
        self.daemon.scrape()
    }

    pub(super) fn held(&self) -> Option<&Held> {
        match &self.holdings {
            Holdings::Here(held) => Some(held),
            Holdings::Asked | Holdings::Away(_) => None,
        }
    }

    /// What the daemon says; `None`: it does not say.
    pub(super) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.scrape()?.value(Wanted(name, labels))
    }

    /// How many jobs are in each state: the daemon's word, else the store's.
    pub(super) fn jobs(&self) -> Option<Vec<(&'static str, u64)>> {
        let mut states = State::ALL.map(State::name).to_vec();
        states.dedup();
        let counted = |state| self.value("gristmill_jobs", &[("state", state)]);
        let told = states
            .iter()
            .map(|state| Some((*state, whole(counted(state)?))));
        told.collect::<Option<Vec<_>>>().or_else(|| {
            let census = self.held()?.census.as_ref()?;
            let counts = states.iter().map(|state| (*state, census.count(&[state])));
            Some(counts.collect())
        })
    }

    /// How long the job that waits longest is ready; zero: none waits.
    pub(super) fn oldest_ready(&self) -> Option<Duration> {
        let told = self.value("gristmill_oldest_ready_job_age_seconds", &[]);
        let told = told.and_then(|age| Duration::try_from_secs_f64(age).ok());
        told.or_else(|| {
            let since = self.held()?.census.as_ref()?.oldest_ready;
            let age = since.map(|since| self.now.duration_since(since).unsigned_abs());
            Some(age.unwrap_or_default())
        })
    }

    /// Those who are configured, and whoever else the daemon or the store knows.
    pub(super) fn owners(&self) -> Vec<Owner> {
        let mut names: BTreeSet<&str> = self.supervisors.keys().map(String::as_str).collect();
        for name in [CALLS, QUEUE, JOBS] {
            names.extend(
                self.scrape()
                    .into_iter()
                    .flat_map(|scrape| scrape.labels(name, "owner")),
            );
        }
        let unfinished = self.held().map(|held| &held.unfinished);
        names.extend(
            unfinished
                .into_iter()
                .flat_map(|held| held.keys().map(String::as_str)),
        );
        names.into_iter().map(|name| self.owner(name)).collect()
    }

    fn owner(&self, name: &str) -> Owner {
        let owner = ("owner", name);
        let counted = |series, outcome| self.count(series, &[owner, ("outcome", outcome)]);
        let calls = self.count(CALLS, &[owner]);
        let jids = self.supervisors.get(name).map(|jids| jids.join(", "));
        let held = self.held().map(|held| &held.unfinished);
        let refused = ["refused", "conflict"].map(|outcome| counted(JOBS, outcome));
        Owner {
            name: one_line(name),
            jids: jids.unwrap_or_else(|| "no supervisor has it".to_owned()),
            calls,
            calls_a_minute: self.rates.a_minute(Wanted(CALLS, &[owner])),
            faults: calls
                .zip(counted(CALLS, "answered"))
                .map(|(all, good)| all - good),
            queue: self.value(QUEUE, &[owner]),
            jobs: counted(JOBS, "stored"),
            jobs_a_minute: self
                .rates
                .a_minute(Wanted(JOBS, &[owner, ("outcome", "stored")])),
            refused: refused.into_iter().sum(),
            unfinished: held.map(|held| held.get(name).copied().unwrap_or_default()),
        }
    }

    /// What the daemon has counted; what it has not met yet is none.
    fn count(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let scrape = self.scrape()?;
        Some(scrape.value(Wanted(name, labels)).unwrap_or_default())
    }
}

/// A count that came as a number with a point.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is negative or too large becomes the nearest that can be"
)]
pub(super) fn whole(number: f64) -> u64 {
    number.round() as u64
}
