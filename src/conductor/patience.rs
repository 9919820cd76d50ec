//! Time limits on what is asked of the store and of the runner; what they do not answer is counted.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use super::{Counters, Patience};
use crate::buffer::{
    AdvanceRequest, Advanced, BufferError, ClaimRequest, Claimed, Claims, Holder, Lease, Leases,
    OpenBreaker, Orders, Presence, ProgressReport, Renewed, Seen,
};
use crate::job::{RecordId, RunKey, RunOrder, RunReport, StoreId, Token};
use crate::runner::{Heard, Kept, News, RunError, RunState, Runner};

/// The end of a run is waited for in rounds of this length, with a look at it after each.
const ENDED_ROUND: Duration = Duration::from_mins(1);

/// A look whether the host is fit takes no longer: that one hangs is an answer, too.
const READY_LIMIT: Duration = Duration::from_secs(10);

/// A store that answers in time.
pub(super) struct PatientClaims {
    pub claims: Arc<dyn Claims>,
    pub patience: Patience,
    pub counters: Arc<Counters>,
}

/// A runner that answers in time.
pub(super) struct PatientRunner {
    pub runner: Arc<dyn Runner>,
    pub patience: Patience,
    pub counters: Arc<Counters>,
}

impl PatientClaims {
    async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, BufferError>>,
    ) -> Result<T, BufferError> {
        let limit = self.patience.store;
        let late = |_| BufferError::Unreachable(format!("no answer within {limit:?}"));
        let answer = timeout(limit, question).await.map_err(late).flatten();
        if let Err(error) = &answer {
            self.counters.store_away.add_one();
            tracing::debug!(%error, "the store did not answer");
        }
        answer
    }
}

#[async_trait]
impl Claims for PatientClaims {
    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claimed>, BufferError> {
        self.ask(self.claims.claim(request)).await
    }

    async fn advance(&self, request: AdvanceRequest) -> Result<Vec<Advanced>, BufferError> {
        self.ask(self.claims.advance(request)).await
    }

    async fn renew(&self, claims: &[(RecordId, Token)]) -> Result<Vec<Renewed>, BufferError> {
        self.ask(self.claims.renew(claims)).await
    }

    async fn report(&self, report: ProgressReport) -> Result<bool, BufferError> {
        self.ask(self.claims.report(report)).await
    }

    async fn promise(&self, holder: &Holder, leases: Leases) -> Result<(), BufferError> {
        self.ask(self.claims.promise(holder, leases)).await
    }

    async fn note_breaker(
        &self,
        holder: &Holder,
        open: Option<&OpenBreaker>,
    ) -> Result<(), BufferError> {
        self.ask(self.claims.note_breaker(holder, open)).await
    }

    async fn appear(&self, presence: &Presence) -> Result<Option<Seen>, BufferError> {
        self.ask(self.claims.appear(presence)).await
    }

    async fn store_id(&self) -> Result<StoreId, BufferError> {
        self.ask(self.claims.store_id()).await
    }

    async fn purged(&self, records: &[RecordId]) -> Result<Vec<RecordId>, BufferError> {
        self.ask(self.claims.purged(records)).await
    }

    async fn leases(&self) -> Result<Vec<Lease>, BufferError> {
        self.ask(self.claims.leases()).await
    }

    async fn orders(
        &self,
        holder: &Holder,
        daemon: &str,
        claims: &[(RecordId, Token)],
    ) -> Result<Orders, BufferError> {
        self.ask(self.claims.orders(holder, daemon, claims)).await
    }
}

impl PatientRunner {
    async fn ask<T>(
        &self,
        limit: Duration,
        question: impl Future<Output = Result<T, RunError>>,
    ) -> Result<T, RunError> {
        let late = |_| RunError::InDoubt(format!("no answer within {limit:?}"));
        let answer = timeout(limit, question).await.map_err(late).flatten();
        if let Err(error) = &answer {
            self.counters.runner_away.add_one();
            tracing::debug!(%error, "the runner did not answer");
        }
        answer
    }
}

#[async_trait]
impl Runner for PatientRunner {
    async fn serve(&self, store: &StoreId) -> Result<(), RunError> {
        self.ask(self.patience.runner, self.runner.serve(store))
            .await
    }

    fn is_there(&self) -> bool {
        self.runner.is_there()
    }

    async fn ready(&self) -> Result<(), RunError> {
        let limit = self.patience.runner.min(READY_LIMIT);
        self.ask(limit, self.runner.ready()).await
    }

    async fn start(&self, order: &RunOrder) -> Result<(), RunError> {
        let question = self.runner.start(order);
        self.ask(self.patience.runner, question).await
    }

    async fn look_up(&self, run: RunKey) -> Result<RunState, RunError> {
        let question = self.runner.look_up(run);
        self.ask(self.patience.runner, question).await
    }

    async fn ended(&self, run: RunKey) -> Result<(), RunError> {
        loop {
            if let Ok(answer) = timeout(ENDED_ROUND, self.runner.ended(run)).await {
                return answer;
            }
            if self.look_up(run).await? != RunState::Alive {
                return Ok(());
            }
        }
    }

    async fn renew(&self, run: RunKey, lease_until: Option<Duration>) -> Result<(), RunError> {
        let question = self.runner.renew(run, lease_until);
        self.ask(self.patience.runner, question).await
    }

    async fn stop(&self, run: RunKey) -> Result<(), RunError> {
        let question = self.runner.stop(run);
        self.ask(self.patience.runner, question).await
    }

    async fn collect(&self, run: RunKey) -> Result<RunReport, RunError> {
        let question = self.runner.collect(run);
        self.ask(self.patience.collect, question).await
    }

    async fn news(&self, run: RunKey, heard: Option<Heard>) -> Result<News, RunError> {
        let question = self.runner.news(run, heard);
        self.ask(self.patience.runner, question).await
    }

    async fn runs(&self) -> Result<Vec<RunKey>, RunError> {
        let question = self.runner.runs();
        self.ask(self.patience.runner, question).await
    }

    async fn forget(&self, run: RunKey, failed: bool) -> Result<(), RunError> {
        let question = self.runner.forget(run, failed);
        self.ask(self.patience.runner, question).await
    }

    async fn tend_kept(&self, purged: &[RecordId]) -> Result<Kept, RunError> {
        let question = self.runner.tend_kept(purged);
        self.ask(self.patience.runner, question).await
    }
}
