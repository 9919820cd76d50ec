//! The daemon's conductor: what it is given, and what is said where it cannot work.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::truth::TruthWhileThere;
use super::{RunnerTruth, SystemClock, runner};
use crate::bridge::Truth;
use crate::buffer::{Gate, Holder, StoreUrl};
use crate::conductor::{self, Breaker, Counters, Leases, Patience, Settings, Tools};
use crate::config::Config;
use crate::error::{Code, Report};
use crate::job::policy::Backoff;
use crate::job::{Limits, RunsFolder};
use crate::runner::Runner;
use crate::runner::remote::{Link, RemoteRunner};
use crate::vitals::Pulse;
use crate::windmill;

/// What a rescuer waits for beyond the grace that programs have: that the machine is busy.
const RESCUE_MARGIN: Duration = Duration::from_secs(20);

/// How long the runner may take to answer.
const RUNNER_LIMIT: Duration = Duration::from_secs(40);

/// How long it may take to read all that a run left behind.
const COLLECT_LIMIT: Duration = Duration::from_hours(1);

/// How long the conductor may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// How soon a runner is tried again that does not take the store's runs.
const REFUSED_AGAIN: Duration = Duration::from_secs(10);

/// A conductor that is ready to begin.
pub(super) struct Conducting {
    config: Config,
    gate: Arc<Gate>,
    draining: Arc<AtomicBool>,
    counters: Arc<Counters>,
    slots: Arc<AtomicUsize>,
    pulse: Pulse,
    breaker: Arc<Breaker>,
    place: Place,
}

/// Where the runner is.
#[derive(Clone)]
enum Place {
    /// In this process.
    Here(Arc<dyn Runner>, Host),
    /// In another one, which may come and go.
    There(Link),
}

/// Whose claims are held, and where the runs are.
#[derive(Clone)]
struct Host {
    holder: Holder,
    folder: Option<RunsFolder>,
}

/// Why a conductor ended before it was asked to.
enum Ended {
    InOrder,
    /// The runner does not take this store's runs.
    Refused(conductor::Failure),
    /// Another daemon conducts under our name.
    Crowded,
}

impl Conducting {
    /// Takes the runner's folder, or begins to look for the runner. `None`: no jobs are run here.
    pub(super) fn prepare(
        config: &Config,
        gate: &Arc<Gate>,
        draining: Arc<AtomicBool>,
        slots: Arc<AtomicUsize>,
    ) -> Result<Option<Self>, Report> {
        if !config.conductor.enabled {
            return Ok(None);
        }
        let place = if config.runner.in_process {
            let runner = runner::open(&config.runner.process)?;
            let holder = holder(runner.holder()).ok_or_else(|| {
                let work_dir = config.runner.process.work_dir.display();
                let what = format!("{work_dir}/holder: no name can be that long");
                Report::new(Code::HolderName, what)
                    .hint("take the file away while no job is claimed")
            })?;
            let folder = Some(runner.folder().clone());
            Place::Here(Arc::new(runner), Host { holder, folder })
        } else {
            Place::There(Link::start(runner::link_settings(&config.runner)?))
        };
        Ok(Some(Self {
            config: config.clone(),
            gate: gate.clone(),
            draining,
            slots,
            counters: Arc::default(),
            pulse: Pulse::new("conductor", pulse_limit(config)),
            breaker: Arc::default(),
            place,
        }))
    }

    /// What it tells of itself.
    pub(super) fn vitals(&self) -> conductor::Vitals {
        let place = self.place.clone();
        conductor::Vitals {
            pulse: self.pulse.clone(),
            counters: self.counters.clone(),
            breaker: self.breaker.clone(),
            has_runner: Arc::new(move || match &place {
                Place::Here(..) => true,
                Place::There(link) => link.runner_now().is_some(),
            }),
        }
    }

    /// What fixJobs asks.
    pub(super) fn truth(&self) -> Arc<dyn Truth> {
        let (config, gate) = (self.config.clone(), self.gate.clone());
        // Where another process may conduct under our name, its claims are not ours to judge.
        let (shared, counters) = (is_shared(&config), self.counters.clone());
        let is_alone = move || !shared || counters.conducting.get() > 0;
        let of = move |runner, holder| runner_truth(&config, &gate, runner, holder);
        match &self.place {
            Place::Here(runner, host) => {
                let (runner, holder) = (runner.clone(), host.holder.clone());
                Arc::new(TruthWhileThere(Box::new(move || {
                    is_alone().then(|| of(runner.clone(), holder.clone()))
                })))
            }
            Place::There(link) => {
                let link = link.clone();
                Arc::new(TruthWhileThere(Box::new(move || {
                    let runner = link.runner_now()?;
                    let holder = holder(runner.holder())?;
                    is_alone().then(|| of(Arc::new(runner), holder))
                })))
            }
        }
    }

    /// Conducts until `shutdown`.
    pub(super) async fn run(self, shutdown: CancellationToken) -> Result<(), Report> {
        match &self.place {
            Place::Here(runner, host) => loop {
                let (runner, host) = (runner.clone(), host.clone());
                match self.conduct(runner, host, shutdown.clone()).await? {
                    Ended::InOrder => return Ok(()),
                    Ended::Refused(failure) => return Err(refused(failure)),
                    Ended::Crowded => self.wait_to_try_again(&shutdown).await,
                }
            },
            Place::There(link) => loop {
                let runner = tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return Ok(()),
                    runner = self.pulse.while_waiting(link.runner()) => runner,
                };
                self.conduct_there(runner, &shutdown).await?;
            },
        }
    }

    /// Conducts as long as this runner, or none, is in its place. Another one has other runs.
    async fn conduct_there(
        &self,
        runner: RemoteRunner,
        shutdown: &CancellationToken,
    ) -> Result<(), Report> {
        let stop = shutdown.child_token();
        let Some(holder) = holder(runner.holder()) else {
            tracing::error!("the runner's name is too long to hold claims with; jobs wait");
            tokio::select! {
                () = shutdown.cancelled() => (),
                () = self.pulse.while_waiting(runner.replaced()) => (),
            }
            return Ok(());
        };
        let folder = runner.folder().cloned();
        let host = Host { holder, folder };
        let mut conducting = pin!(self.conduct(Arc::new(runner.clone()), host, stop.clone()));
        let ended = tokio::select! {
            ended = &mut conducting => ended,
            () = runner.replaced() => {
                tracing::warn!("another runner is in the place of the one before; what that one runs, it alone can tell");
                stop.cancel();
                conducting.await
            }
        };
        match ended? {
            Ended::InOrder => return Ok(()),
            Ended::Refused(failure) => {
                tracing::error!(%failure, "the runner does not take this store's jobs; they wait");
            }
            Ended::Crowded => (),
        }
        self.wait_to_try_again(shutdown).await;
        Ok(())
    }

    async fn wait_to_try_again(&self, shutdown: &CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => (),
            () = self.pulse.while_waiting(sleep(REFUSED_AGAIN)) => (),
        }
    }

    async fn conduct(
        &self,
        runner: Arc<dyn Runner>,
        host: Host,
        shutdown: CancellationToken,
    ) -> Result<Ended, Report> {
        let was_crowded = self.counters.crowded.get() > 0;
        let tools = Tools {
            claims: self.gate.clone(),
            runner,
            read_job: Arc::new(|payload| windmill::read_job(payload).map_err(|reason| reason.text)),
            clock: Arc::new(SystemClock),
            boot_clock: Arc::new(SystemClock),
            dice: Arc::new(rand::random),
            bell: self.gate.bell(),
            draining: self.draining.clone(),
            counters: self.counters.clone(),
            pulse: self.pulse.clone(),
            breaker: self.breaker.clone(),
        };
        let settings = Settings {
            slots: self.slots.clone(),
            folder: host.folder,
            ..settings(&self.config, host.holder)
        };
        match conductor::run(tools, settings, shutdown).await {
            Ok(()) => Ok(Ended::InOrder),
            Err(failure @ conductor::Failure::Broken(_)) => Err(broken(failure)),
            Err(failure @ conductor::Failure::Refused(_)) => Ok(Ended::Refused(failure)),
            Err(failure @ conductor::Failure::Crowded(_)) => {
                if !was_crowded {
                    tracing::error!("{}", crowded(&self.config, failure));
                }
                Ok(Ended::Crowded)
            }
        }
    }
}

fn holder(name: &str) -> Option<Holder> {
    Holder::new(name.to_owned())
}

fn runner_truth(
    config: &Config,
    gate: &Arc<Gate>,
    runner: Arc<dyn Runner>,
    holder: Holder,
) -> RunnerTruth {
    let settings = settings(config, holder);
    RunnerTruth {
        claims: gate.clone(),
        runner,
        clock: Arc::new(SystemClock),
        holder: settings.holder,
        daemon: settings.daemon,
        limits: settings.limits,
        others_lapse: settings.leases.is_some(),
    }
}

fn refused(failure: conductor::Failure) -> Report {
    Report::new(Code::OtherStore, "jobs cannot be run here")
        .because(failure)
        .hint("give this daemon a new runner.process.work_dir, or the store that it had before")
}

fn crowded(config: &Config, failure: conductor::Failure) -> Report {
    let work_dir = config.runner.process.work_dir.display();
    let hint = format!(
        "stop one of both, then take `holder` and `runs` out of the folder that is a copy; ours is {work_dir}"
    );
    Report::new(Code::HolderTwice, "no jobs are run here")
        .because(failure)
        .hint(hint)
}

/// A bug of ours: the daemon ends, and whoever started it starts it again.
pub(super) fn broken(error: impl std::error::Error) -> Report {
    Report::new(Code::PartBroken, "jobs are run no more").because(error)
}

/// One turn of the loop may wait for the runner and, after it, for the store.
fn pulse_limit(config: &Config) -> Duration {
    RUNNER_LIMIT + config.buffer.timeout * 8
}

/// Jobs at a time.
pub(super) fn slots(config: &Config) -> usize {
    match config.conductor.slots {
        0 => thread::available_parallelism().map_or(1, usize::from),
        slots => slots,
    }
}

/// Whether other daemons may use the store.
fn is_shared(config: &Config) -> bool {
    matches!(config.buffer.url, StoreUrl::Mysql(_))
}

fn settings(config: &Config, holder: Holder) -> Settings {
    let conductor = &config.conductor;
    let leases = Leases {
        claimed: conductor.lease,
        running: conductor.run_lease,
        grace: config.runner.process.grace + RESCUE_MARGIN,
    };
    Settings {
        holder,
        folder: None,
        daemon: config.xmpp.jid.to_string(),
        slots: Arc::new(slots(config).into()),
        leases: is_shared(config).then_some(leases),
        limits: Limits {
            max_runs: conductor.max_runs,
            max_abandons: conductor.max_abandons,
            backoff: Backoff {
                first: conductor.retry_after,
                longest: conductor.retry_longest,
            },
        },
        patience: Patience {
            // The gate says so first.
            store: config.buffer.timeout * 2,
            runner: RUNNER_LIMIT,
            collect: COLLECT_LIMIT,
            stop: STOP_LIMIT,
        },
    }
}

#[cfg(test)]
mod tests;
