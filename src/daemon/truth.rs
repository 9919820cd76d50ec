//! What fixJobs asks: what became of the jobs that are held, as far as this daemon's runner knows.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use tokio::time::sleep;

use crate::bridge::{Finding, Truth};
use crate::buffer::{AdvanceRequest, Advanced, Change, Claims, Holder};
use crate::job::policy::Clock;
use crate::job::{Fence, Limits, Record, RunKey, State, Step};
use crate::runner::{RunState, Runner};

/// How often it is looked whether the conductor has settled a run that has ended, and how many
/// times.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOKS: u32 = 5;

/// Holds records against the runner of this daemon.
pub struct RunnerTruth {
    /// Where the claims are.
    pub claims: Arc<dyn Claims>,
    /// What runs the jobs.
    pub runner: Arc<dyn Runner>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Under which name this daemon holds claims.
    pub holder: Holder,
    /// The daemon's name where operators drain it.
    pub daemon: String,
    /// How often a job is tried.
    pub limits: Limits,
    /// Whether others' claims lapse and are rescued: then those that are there hold.
    pub others_lapse: bool,
}

/// Knows something while there is a runner that can be asked.
pub(super) struct TruthWhileThere(pub(super) Box<dyn Fn() -> Option<RunnerTruth> + Send + Sync>);

#[async_trait]
impl Truth for TruthWhileThere {
    async fn look_again(&self, held: &[Record]) -> Vec<Finding> {
        match (self.0)() {
            Some(truth) => truth.look_again(held).await,
            None => vec![Finding::Unclear; held.len()],
        }
    }
}

#[async_trait]
impl Truth for RunnerTruth {
    async fn look_again(&self, held: &[Record]) -> Vec<Finding> {
        join_all(held.iter().map(|record| self.look_at(record))).await
    }
}

impl RunnerTruth {
    async fn look_at(&self, record: &Record) -> Finding {
        if record.holder.as_deref() != Some(self.holder.as_str()) {
            return if self.others_lapse {
                Finding::Right
            } else {
                Finding::Unclear
            };
        }
        let run = RunKey {
            record: record.id,
            token: record.token,
        };
        match self.runner.look_up(run).await {
            Ok(RunState::Alive) => Finding::Right,
            // It is about to start.
            Ok(RunState::NeverStarted | RunState::Gone) if record.state == State::Claimed => {
                Finding::Right
            }
            Ok(RunState::NeverStarted | RunState::Gone) => self.abandon(run).await,
            Ok(RunState::Ended) => self.see_settled(run).await,
            Err(error) => {
                tracing::warn!(%run, %error, "nobody can say what became of a run");
                Finding::Unclear
            }
        }
    }

    /// It ran, and the runner has nothing of it. The fence keeps a claim that has ended meanwhile
    /// as it is.
    async fn abandon(&self, run: RunKey) -> Finding {
        let change = Change {
            id: run.record,
            fence: Fence {
                token: run.token,
                renewal: None,
            },
            step: Step::Abandon,
            dice: rand::random(),
            reason: Some("its run has vanished".to_owned()),
            report: None,
        };
        let request = AdvanceRequest {
            changes: vec![change],
            limits: self.limits,
            now: self.clock.now(),
        };
        match self.claims.advance(request).await.as_deref() {
            Ok([Advanced::Done(_) | Advanced::Stale(_)]) => Finding::Corrected,
            _ => Finding::Unclear,
        }
    }

    /// The conductor settles what has ended; it only has to be waited for.
    async fn see_settled(&self, run: RunKey) -> Finding {
        let claim = [(run.record, run.token)];
        for _ in 0..LOOKS {
            let orders = self.claims.orders(&self.holder, &self.daemon, &claim);
            if orders.await.is_ok_and(|orders| orders.lost == claim) {
                return Finding::Corrected;
            }
            sleep(LOOK_EVERY).await;
        }
        Finding::Unclear
    }
}
