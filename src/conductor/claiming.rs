//! The loop that everything begins in: claims as many jobs as there are free slots.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::breaker::Allowance;
use super::context::Context;
use super::holding::{Holding, Origin, Tenure};
use super::life::Life;
use super::presence::Attendance;
use super::settling::{Errand, Settler};
use super::survey::{Found, Surveyor};
use super::{Failure, Settings, Tools, breaker, keeping, noting, orders, renewal, settling, tasks};
use crate::buffer::{BufferError, ClaimRequest, Claimed, Lease};
use crate::job::RunKey;
use crate::runner::RunError;

/// How soon is seen what other processes changed in the store.
const POLL: Duration = Duration::from_millis(500);

/// How often all claims are looked over, where there are no leases.
const SURVEY_EVERY: Duration = Duration::from_secs(10);

/// How soon they are looked over after a claim whose answer was lost.
const SURVEY_SOON: Duration = Duration::from_secs(1);

/// The tasks of a conductor.
pub(super) struct Conductor {
    context: Arc<Context>,
    errands: Option<mpsc::Receiver<Errand>>,
    surveyor: Surveyor,
    attendance: Attendance,
    /// One for each holding.
    lives: JoinSet<()>,
    /// Which holding a task is for.
    keys: BTreeMap<Id, RunKey>,
    /// Runs that a bug of ours failed.
    broken: BTreeMap<RunKey, u32>,
    /// Whether the last claim filled every slot, so that there may be more.
    hungry: bool,
    survey_at: Instant,
}

impl Conductor {
    pub fn new(tools: Tools, settings: Settings) -> Self {
        let (settler, errands) = Settler::new();
        let context = Arc::new(Context::new(settings, tools, settler));
        Self {
            surveyor: Surveyor::new(context.clone()),
            attendance: Attendance::new(context.clone()),
            context,
            errands: Some(errands),
            lives: JoinSet::new(),
            keys: BTreeMap::new(),
            broken: BTreeMap::new(),
            hungry: false,
            survey_at: Instant::now(),
        }
    }

    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Failure> {
        let mut services = self.start_services();
        let ended = tokio::select! {
            biased;
            ended = services.join_next() => Err(Failure::Broken(match ended {
                Some(Err(error)) => error.to_string(),
                _ => "a task ended".to_owned(),
            })),
            ended = self.conduct(&shutdown) => ended,
        };
        self.context.counters().conducting.set(0);
        self.leave().await;
        services.shutdown().await;
        ended
    }

    /// The tasks that every claim needs.
    fn start_services(&mut self) -> JoinSet<()> {
        let mut services = JoinSet::new();
        if let Some(errands) = self.errands.take() {
            tasks::spawn(
                &mut services,
                settling::settle(self.context.clone(), errands),
            );
        }
        if let Some(leases) = self.context.settings.leases {
            let renewal = renewal::keep_renewing(self.context.clone(), leases);
            tasks::spawn(&mut services, renewal);
        }
        self.context.breaker().begin();
        tasks::spawn(&mut services, breaker::keep_looking(self.context.clone()));
        tasks::spawn(&mut services, noting::keep_noting(self.context.clone()));
        tasks::spawn(&mut services, keeping::keep_tending(self.context.clone()));
        services
    }

    async fn conduct(&mut self, shutdown: &CancellationToken) -> Result<(), Failure> {
        if !self.serve_store(shutdown).await? || !self.be_alone(shutdown).await? {
            return Ok(());
        }
        self.context.counters().conducting.set(1);
        if !self.find_what_was_left(shutdown).await {
            return Ok(());
        }
        let mut polls = interval(POLL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let bell = self.context.tools.bell.clone();
        loop {
            self.context.tools.pulse.turn();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                // First what is seldom: what is frequent would leave it no turn.
                _ = polls.tick() => {
                    self.attendance.keep().await?;
                    orders::follow(&self.context).await;
                    self.context.tools.pulse.turn();
                    self.claim().await?;
                }
                () = sleep_until(self.survey_at) => self.survey().await,
                Some(ended) = self.lives.join_next_with_id(), if !self.lives.is_empty() => {
                    self.end(ended)?;
                    if self.hungry {
                        self.claim().await?;
                    }
                }
                () = bell.notified() => {
                    self.claim().await?;
                    orders::follow(&self.context).await;
                }
            }
        }
    }

    /// Has the runner serve this store: it may still have runs of another one, and their keys are
    /// no names here. `false`: asked to stop.
    async fn serve_store(&self, shutdown: &CancellationToken) -> Result<bool, Failure> {
        let mut failures = 0;
        loop {
            if let Ok(store) = self.context.claims.store_id().await
                && self.promise().await.is_ok()
            {
                match self.context.runner.serve(&store).await {
                    Ok(()) => return Ok(true),
                    Err(RunError::Permanent(why)) => return Err(Failure::Refused(why)),
                    Err(error) => tracing::warn!(%error, "the runner does not serve the store yet"),
                }
            }
            failures += 1;
            if !self.wait_to_ask_again(failures, shutdown).await {
                return Ok(false);
            }
        }
    }

    /// Waits until no other process can conduct under our name. `false`: asked to stop.
    async fn be_alone(&mut self, shutdown: &CancellationToken) -> Result<bool, Failure> {
        let mut failures = 0;
        loop {
            self.context.tools.pulse.turn();
            if self.attendance.begin().await? {
                return Ok(true);
            }
            failures += 1;
            if !self.wait_to_ask_again(failures, shutdown).await {
                return Ok(false);
            }
        }
    }

    /// Notes in the store which lengths this holder lives by: a rescuer may have shorter ones.
    async fn promise(&self) -> Result<(), BufferError> {
        match self.context.settings.leases {
            Some(leases) => {
                let holder = &self.context.settings.holder;
                self.context.claims.promise(holder, leases).await
            }
            None => Ok(()),
        }
    }

    /// Adopts what an earlier process left. Nothing is claimed before. `false`: asked to stop.
    async fn find_what_was_left(&mut self, shutdown: &CancellationToken) -> bool {
        let mut failures = 0;
        loop {
            self.context.tools.pulse.turn();
            if let Some(found) = self.surveyor.look().await {
                self.take_up(found, true);
                self.survey_at = Instant::now() + self.survey_every();
                return true;
            }
            failures += 1;
            if !self.wait_to_ask_again(failures, shutdown).await {
                return false;
            }
        }
    }

    /// `false`: asked to stop.
    async fn wait_to_ask_again(&self, failures: u32, shutdown: &CancellationToken) -> bool {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => false,
            () = tokio::time::sleep(self.context.wait_after(failures)) => true,
        }
    }

    async fn survey(&mut self) {
        let found = self.surveyor.look().await;
        self.survey_at = Instant::now()
            + match found {
                Some(_) => self.survey_every(),
                None => SURVEY_SOON,
            };
        if let Some(found) = found {
            self.take_up(found, false);
        }
    }

    fn survey_every(&self) -> Duration {
        let leases = self.context.settings.leases;
        leases.map_or(SURVEY_EVERY, |leases| leases.claimed / 3)
    }

    fn take_up(&mut self, found: Found, at_start: bool) {
        for run in found.strays {
            tracing::info!(%run, "a run without a claim is ended");
            let life = self.hold(Holding::new(run, Origin::Stray, Tenure::default()));
            self.begin(run, async move {
                life.bury().await;
            });
        }
        for lease in found.ours {
            self.resume(lease, at_start);
        }
    }

    fn resume(&mut self, lease: Lease, at_start: bool) {
        let key = RunKey {
            record: lease.id,
            token: lease.token,
        };
        let life = self.hold(Holding::new(key, Origin::Found, Tenure::default()));
        self.begin(key, life.resume(lease, at_start));
    }

    /// Claims as many jobs as there are free slots, and begins with them.
    async fn claim(&mut self) -> Result<(), Failure> {
        while let Some(ended) = self.lives.try_join_next_with_id() {
            self.end(ended)?;
        }
        let slots = self.context.settings.slots.load(Ordering::Relaxed);
        let busy = self.context.holdings.count();
        let free = slots.saturating_sub(busy);
        self.context.counters().slots.set(slots);
        self.context.counters().busy_slots.set(busy);
        let draining = self.context.tools.draining.load(Ordering::Relaxed);
        self.hungry = !draining;
        if free == 0 || draining || !self.context.runner.is_there() {
            return Ok(());
        }
        let allowance = self.context.breaker().allowance();
        let (most, pass_over) = match allowance {
            Allowance::Nothing => return Ok(()),
            Allowance::One { but } => (1, but),
            Allowance::AnyNumber => (free, None),
        };
        let sent = self.context.since_boot();
        let request = ClaimRequest {
            holder: self.context.settings.holder.clone(),
            most: u32::try_from(most).unwrap_or(u32::MAX),
            pass_over,
            now: self.context.tools.clock.now(),
        };
        let Ok(claimed) = self.context.claims.claim(request).await else {
            // It may have been done: the survey finds what nobody heard of.
            self.survey_at = self.survey_at.min(Instant::now() + SURVEY_SOON);
            return Ok(());
        };
        if allowance != Allowance::AnyNumber {
            let tried = claimed.first().map(|claimed| claimed.id);
            self.context.breaker().tries(tried);
        }
        self.hungry = claimed.len() >= free;
        for claimed in claimed {
            self.begin_claimed(claimed, sent);
        }
        Ok(())
    }

    fn begin_claimed(&mut self, claimed: Claimed, sent: Duration) {
        self.context.counters().claimed.add_one();
        let key = RunKey {
            record: claimed.id,
            token: claimed.token,
        };
        let before = self.context.holdings.of_record(claimed.id);
        let mut tenure = Tenure::default();
        tenure.show(sent);
        let life = self.hold(Holding::new(key, Origin::Claimed, tenure));
        self.begin(key, life.begin(claimed, before));
    }

    fn hold(&self, holding: Arc<Holding>) -> Life {
        self.context.holdings.add(holding.clone());
        Life {
            context: self.context.clone(),
            holding,
        }
    }

    fn begin(&mut self, key: RunKey, life: impl Future<Output = ()> + Send + 'static) {
        let task = tasks::spawn(&mut self.lives, life);
        self.keys.insert(task.id(), key);
    }

    /// One of the lives is over. A panic fails its run; a second one is no accident.
    fn end(&mut self, ended: Result<(Id, ()), JoinError>) -> Result<(), Failure> {
        let (id, error) = match ended {
            Ok((id, ())) => (id, None),
            Err(error) => (error.id(), Some(error)),
        };
        let Some(key) = self.keys.remove(&id) else {
            return Ok(());
        };
        let (Some(error), Some(holding)) = (error, self.context.holdings.get(key)) else {
            self.broken.remove(&key);
            self.context.holdings.remove(key);
            self.context.breaker().over(key.record);
            return Ok(());
        };
        self.context.counters().panics.add_one();
        tracing::error!(run = %key, %error, "a bug of ours fails a run");
        let times = self.broken.entry(key).or_default();
        *times += 1;
        if *times > 1 {
            return Err(Failure::Broken(error.to_string()));
        }
        let context = self.context.clone();
        self.begin(key, Life { context, holding }.fail(error.to_string()));
        Ok(())
    }

    /// What has not started goes back; what has ended is settled; for a while.
    async fn leave(&mut self) {
        for holding in self.context.holdings.claimed() {
            holding.recall.cancel();
        }
        self.context.leave.cancel();
        let all = async { while self.lives.join_next().await.is_some() {} };
        let limit = self.context.settings.patience.stop;
        if timeout(limit, all).await.is_err() {
            tracing::warn!("not everything was settled in time; the next start does it");
        }
        self.lives.shutdown().await;
    }
}
