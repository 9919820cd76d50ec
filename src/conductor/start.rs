//! From a claim to a run that has started, or to why there is none.

use std::sync::Arc;

use futures::future::join_all;

use super::holding::Holding;
use super::life::{Life, Word};
use crate::buffer::Claimed;
use crate::job::{RunOrder, Step};
use crate::runner::{RunError, RunState};

impl Life {
    /// What to start; `None`: the claim has found another end.
    pub(super) async fn prepare(
        &self,
        claimed: Claimed,
        before: Vec<Arc<Holding>>,
    ) -> Option<RunOrder> {
        let step = tokio::select! {
            biased;
            () = self.holding.lost.cancelled() => return None,
            step = self.wait_for_turn(before) => step,
        };
        if let Some(step) = step {
            self.settle(vec![Word::new(step, None)]).await;
            return None;
        }
        match (self.context.tools.read_job)(&claimed.payload) {
            Ok(spec) => Some(RunOrder {
                key: self.key(),
                number: claimed.runs.saturating_add(1),
                spec,
                lease_until: None,
            }),
            Err(why) => {
                let reason = format!("the stored job cannot be read: {why}");
                self.settle(vec![Word::new(Step::Trash, reason)]).await;
                None
            }
        }
    }

    /// Waits until no earlier run of the job lives; else what to do instead of starting.
    async fn wait_for_turn(&self, before: Vec<Arc<Holding>>) -> Option<Step> {
        let gone = join_all(before.iter().map(|earlier| earlier.done.cancelled()));
        tokio::select! {
            biased;
            () = self.holding.kill.cancelled() => Some(Step::Cancel),
            () = self.holding.recall.cancelled() => Some(Step::GiveBack),
            _ = gone => None,
        }
    }

    /// Has the run started; `false`: nothing runs, and the claim has found another end.
    pub(super) async fn start(&self, order: &RunOrder) -> bool {
        let Some(order) = self.with_lease(order).await else {
            let reason = "the claim was not renewed in time to start".to_owned();
            self.settle(vec![Word::new(Step::GiveBack, reason)]).await;
            return false;
        };
        let record = self.key().record;
        let started = self.context.runner.start(&order).await;
        let (step, why) = match started {
            Ok(()) => {
                self.context.breaker().went_well(record);
                return true;
            }
            Err(RunError::Permanent(why)) => (Step::Trash, why),
            // Nothing is wrong with the job, so it is not counted among its troubles.
            Err(RunError::Away(why)) => (Step::GiveBack, why),
            Err(RunError::Host(why)) => (self.host_failed(&why), why),
            Err(RunError::Transient(why)) => (Step::Abandon, why),
            Err(RunError::InDoubt(why)) => match self.look_up().await {
                Some(RunState::NeverStarted | RunState::Gone) => {
                    // Counted, for nothing tells whose fault it was; but not with all jobs at once.
                    self.host_failed(&why);
                    (Step::Abandon, why)
                }
                Some(_) => {
                    self.context.breaker().went_well(record);
                    return true;
                }
                None => return false,
            },
        };
        self.settle(vec![Word::new(step, why)]).await;
        false
    }

    /// The host failed the start: the job goes back uncounted, unless it is the only one.
    fn host_failed(&self, why: &str) -> Step {
        self.context.counters().host_faults.add_one();
        let fault = self.context.fault(why.to_owned());
        if self.context.breaker().failed(self.key().record, fault) {
            Step::GiveBack
        } else {
            Step::Abandon
        }
    }

    /// The order with the end of the lease; `None`: it is over by now.
    async fn with_lease(&self, order: &RunOrder) -> Option<RunOrder> {
        let mut tenure = self.holding.tenure.lock().await;
        tenure.with_runner = true;
        tenure.told = true;
        let Some(leases) = &self.context.settings.leases else {
            return Some(order.clone());
        };
        let deadline = tenure.deadline(leases)?;
        (self.context.since_boot() < deadline).then(|| RunOrder {
            lease_until: Some(deadline),
            ..order.clone()
        })
    }
}
