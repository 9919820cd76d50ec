//! What all tasks of a conductor share.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::breaker::{Breaker, Fault};
use super::holding::Holdings;
use super::patience::{PatientClaims, PatientRunner};
use super::settling::Settler;
use super::{Counters, Settings, Tools};
use crate::buffer::Claims;
use crate::job::policy::Backoff;
use crate::runner::Runner;

/// How long to wait before a question is repeated that was not answered.
const ASK_AGAIN: Backoff = Backoff {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(5),
};

/// What all tasks of a conductor share.
pub(super) struct Context {
    pub settings: Settings,
    pub tools: Tools,
    /// The tools' store, with time limits.
    pub claims: Arc<dyn Claims>,
    /// The tools' runner, with time limits.
    pub runner: Arc<dyn Runner>,
    pub settler: Settler,
    pub holdings: Holdings,
    /// The conductor stops: no run is started, none is waited for, no question repeated.
    pub leave: CancellationToken,
}

impl Context {
    pub fn new(settings: Settings, tools: Tools, settler: Settler) -> Self {
        let (patience, counters) = (settings.patience, tools.counters.clone());
        let claims = PatientClaims {
            claims: tools.claims.clone(),
            patience,
            counters: counters.clone(),
        };
        let runner = PatientRunner {
            runner: tools.runner.clone(),
            patience,
            counters,
        };
        Self {
            settings,
            claims: Arc::new(claims),
            runner: Arc::new(runner),
            tools,
            settler,
            holdings: Holdings::default(),
            leave: CancellationToken::new(),
        }
    }

    pub fn counters(&self) -> &Counters {
        &self.tools.counters
    }

    pub fn breaker(&self) -> &Breaker {
        &self.tools.breaker
    }

    /// A fault of the host's, seen just now.
    pub fn fault(&self, why: String) -> Fault {
        Fault {
            why,
            at: self.tools.clock.now(),
            dice: self.dice(),
        }
    }

    pub fn since_boot(&self) -> Duration {
        self.tools.boot_clock.since_boot()
    }

    pub fn dice(&self) -> f64 {
        (self.tools.dice)()
    }

    /// Waits before a question is asked again that was not answered for the `failures`th time (from
    /// 1). `false`: it shall not be asked again, for the conductor stops.
    pub async fn pause(&self, failures: u32) -> bool {
        tokio::select! {
            biased;
            () = self.leave.cancelled() => false,
            () = sleep(self.wait_after(failures)) => true,
        }
    }

    /// How long to wait after so many failures.
    pub fn wait_after(&self, failures: u32) -> Duration {
        ASK_AGAIN.wait(failures, self.dice())
    }
}
