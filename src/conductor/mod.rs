//! The conductor: claims ready jobs, has a runner run them, settles the outcome.
//!
//! ```text
//! claiming ─▶ life ─▶ start ─▶ watching ─▶ settling        one task for each claim
//!    │  ▲
//!    │  └ bell, poll, a slot that became free; the breaker lets it, or not
//!    ├ orders: kills, lost claims, draining                twice a second
//!    └ survey: what a crash left, here or elsewhere        at the start, then now and then
//! renewal                                                  a task of its own
//! breaker: whether the host is fit to start jobs           a task of its own
//! presence: is this the only one of its name?              before all else, then every two seconds
//! ```
//!
//! What it never does: start a run without a committed claim; start a second run of a job while
//! one of its runs lives; give a verdict while the store is away.

mod breaker;
mod claiming;
mod context;
mod counters;
mod holding;
mod keeping;
mod lapse;
mod life;
mod noting;
mod orders;
mod patience;
mod presence;
mod renewal;
mod settling;
mod start;
mod survey;
mod tasks;
mod watching;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::buffer::{Claims, Holder};
use crate::job::policy::{BootClock, Clock};
use crate::job::{JobSpec, Limits, RunsFolder};
use crate::runner::Runner;
use crate::vitals::Pulse;

pub use crate::buffer::Leases;
pub use breaker::{Breaker, Unfit};
pub use counters::{Counters, Outcomes};

/// Reads a stored job; else a sentence that says what is wrong with it.
pub type ReadJob = Arc<dyn Fn(&str) -> Result<JobSpec, String> + Send + Sync>;

/// All of the world that a conductor touches.
#[derive(Clone)]
pub struct Tools {
    /// The store.
    pub claims: Arc<dyn Claims>,
    /// What runs the jobs.
    pub runner: Arc<dyn Runner>,
    /// Reads a stored job.
    pub read_job: ReadJob,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// What run's leases are measured by.
    pub boot_clock: Arc<dyn BootClock>,
    /// Numbers in 0..1.
    pub dice: Arc<dyn Fn() -> f64 + Send + Sync>,
    /// Rings when a job or a wish to kill was stored.
    pub bell: Arc<Notify>,
    /// Written here: whether nothing new is claimed.
    pub draining: Arc<AtomicBool>,
    /// Written here: what happened.
    pub counters: Arc<Counters>,
    /// Turned by the loop that claims.
    pub pulse: Pulse,
    /// Open while the host is not fit to start jobs.
    pub breaker: Arc<Breaker>,
}

/// What a conductor tells of itself.
#[derive(Clone)]
pub struct Vitals {
    /// Of the loop that claims.
    pub pulse: Pulse,
    /// What happened.
    pub counters: Arc<Counters>,
    /// Whether there is a runner.
    pub has_runner: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Open while the host is not fit to start jobs.
    pub breaker: Arc<Breaker>,
}

impl Vitals {
    /// Whether jobs can be started, as far as is known.
    #[must_use]
    pub fn can_start(&self) -> bool {
        (self.has_runner)() && self.breaker.unfit().is_none()
    }
}

/// What the configuration says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Under which name claims are held.
    pub holder: Holder,
    /// Where its runs are, and locked; `None`: not known.
    pub folder: Option<RunsFolder>,
    /// The daemon's name where operators drain it.
    pub daemon: String,
    /// Jobs at a time; may change while running.
    pub slots: Arc<AtomicUsize>,
    /// How long claims last. `None`: the store has one daemon, on one machine, so that a look at
    /// the run tells whether it lives, and time tells nothing.
    pub leases: Option<Leases>,
    /// How often a job is tried.
    pub limits: Limits,
    /// How long others may take to answer.
    pub patience: Patience,
}

/// How long others may take to answer.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The store.
    pub store: Duration,
    /// The runner.
    pub runner: Duration,
    /// The runner, where it reads all that a run left behind.
    pub collect: Duration,
    /// Everybody, once the conductor is asked to stop.
    pub stop: Duration,
}

/// Why a conductor ended that nobody had asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A part of it panicked: a bug of ours.
    #[error("a part of the conductor broke: {0}")]
    Broken(String),
    /// The runner does not take this store's runs.
    #[error("{0}")]
    Refused(String),
    /// Another process, of this daemon, conducts under our holder's name.
    #[error("the daemon {0} conducts under the name of our folder of runs")]
    Crowded(String),
}

/// Conducts until `shutdown`. Then claims that have not started go back; what runs goes on, and is
/// found again by the next start.
pub async fn run(
    tools: Tools,
    settings: Settings,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    claiming::Conductor::new(tools, settings)
        .run(shutdown)
        .await
}

#[cfg(test)]
mod tests;
