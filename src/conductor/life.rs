//! What becomes of one claim, from the moment that it is ours until nothing is left of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::context::Context;
use super::holding::Holding;
use super::settling::leads_to;
use crate::buffer::{Advanced, Change, Claimed, Lease};
use crate::job::{Fence, RunKey, RunReport, State, Step};
use crate::runner::RunState;

/// A run that has not ended is told again to stop.
pub(super) const STOP_AGAIN: Duration = Duration::from_secs(30);

/// One claim's task.
#[derive(Clone)]
pub(super) struct Life {
    pub context: Arc<Context>,
    pub holding: Arc<Holding>,
}

/// What came of a change that was repeated until it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// The job is in this state now.
    Done(State),
    /// The claim had ended; nothing changed.
    Stale,
    /// Nobody knows: the conductor stops.
    Left,
}

/// One thing to say of the job.
pub(super) struct Word {
    pub step: Step,
    pub reason: Option<String>,
    pub report: Option<RunReport>,
}

impl Word {
    pub fn new(step: Step, reason: impl Into<Option<String>>) -> Self {
        Self {
            step,
            reason: reason.into(),
            report: None,
        }
    }
}

impl Life {
    pub fn key(&self) -> RunKey {
        self.holding.key
    }

    /// A claim that was just made. `before`: earlier runs of the same job that are not quite dead.
    pub async fn begin(self, claimed: Claimed, before: Vec<Arc<Holding>>) {
        if let Some(order) = self.prepare(claimed, before).await
            && self.start(&order).await
        {
            self.see_through(false).await;
        }
    }

    /// A claim of ours that we know nothing of. `at_start`: an earlier process of ours made it;
    /// else the answer to our own claim was lost.
    pub async fn resume(self, lease: Lease, at_start: bool) {
        let Some(state) = self.look_up().await else {
            return;
        };
        if matches!(state, RunState::Alive | RunState::Ended) {
            self.context.counters().adopted.add_one();
            self.holding.tenure.lock().await.with_runner = true;
        }
        match state {
            RunState::Alive => self.see_through(lease.state == State::Running).await,
            RunState::Ended => self.conclude(lease.state == State::Running).await,
            RunState::NeverStarted | RunState::Gone
                if lease.state == State::Claimed && !at_start =>
            {
                let why = "nobody heard that it was claimed";
                self.settle(vec![Word::new(Step::GiveBack, why.to_owned())])
                    .await;
            }
            RunState::NeverStarted | RunState::Gone => {
                let why = if lease.state == State::Running {
                    "its run is gone: nothing of it lives, and nothing tells what became of it"
                } else {
                    "the daemon ended before its run began, or the run is gone"
                };
                self.settle(vec![Word::new(Step::Abandon, why.to_owned())])
                    .await;
            }
        }
    }

    /// A run whose claim has ended: it must not live on. `false`: it may, for the conductor stops.
    pub async fn bury(&self) -> bool {
        let mut failures = 0;
        loop {
            let stopped = self.context.runner.stop(self.key()).await.is_ok();
            if stopped && self.ended_by(Instant::now() + STOP_AGAIN).await {
                self.forget(true).await;
                return true;
            }
            failures += 1;
            if !self.context.pause(failures).await {
                return false;
            }
        }
    }

    async fn ended_by(&self, limit: Instant) -> bool {
        tokio::select! {
            biased;
            ended = self.context.runner.ended(self.key()) => ended.is_ok(),
            () = self.context.leave.cancelled() => false,
            () = sleep_until(limit) => false,
        }
    }

    /// What a bug of ours leaves of a run: it fails.
    pub async fn fail(self, what: String) {
        if !self.bury().await {
            return;
        }
        let reason = format!("a bug in gristmill ended the run: {what}");
        let failed = Word::new(Step::Fail { retry: true }, reason);
        self.settle(vec![Word::new(Step::Start, None), failed])
            .await;
    }

    /// Where the run stands, asked until it is answered; `None`: the conductor stops.
    pub async fn look_up(&self) -> Option<RunState> {
        let mut failures = 0;
        loop {
            match self.context.runner.look_up(self.key()).await {
                Ok(state) => return Some(state),
                Err(error) => {
                    tracing::warn!(run = %self.key(), %error, "a run cannot be looked up");
                }
            }
            failures += 1;
            if !self.context.pause(failures).await {
                return None;
            }
        }
    }

    /// Says it until the store answers.
    pub async fn settle(&self, words: Vec<Word>) -> Settled {
        let Some(step) = words.last().map(|word| word.step) else {
            return Settled::Stale;
        };
        let changes: Vec<Change> = words.into_iter().map(|word| self.change(word)).collect();
        let (mut failures, mut doubted) = (0, false);
        loop {
            let why = match self.context.settler.advance(changes.clone()).await {
                Ok(answers) => match answers.last() {
                    Some(Advanced::Busy) => "somebody has its row locked".to_owned(),
                    answer => return self.judge(step, answer.copied(), doubted),
                },
                Err(error) => {
                    doubted = true;
                    error.to_string()
                }
            };
            tracing::debug!(run = %self.key(), why, ?step, "not settled yet");
            failures += 1;
            if !self.context.pause(failures).await {
                return Settled::Left;
            }
        }
    }

    fn change(&self, word: Word) -> Change {
        let RunKey { record, token } = self.key();
        Change {
            id: record,
            fence: Fence {
                token,
                renewal: None,
            },
            step: word.step,
            dice: self.context.dice(),
            reason: word.reason,
            report: word.report,
        }
    }

    fn judge(&self, step: Step, answer: Option<Advanced>, doubted: bool) -> Settled {
        let run = self.key();
        match answer {
            Some(Advanced::Done(state)) => self.done(step, state),
            Some(Advanced::Stale(state)) if doubted && leads_to(step, state) => {
                self.done(step, state)
            }
            Some(Advanced::Stale(_)) if step == Step::GiveBack => Settled::Stale,
            Some(Advanced::Stale(state)) => {
                self.context.counters().stale.add_one();
                tracing::warn!(%run, ?step, %state, "the claim had ended; what its run said changes nothing");
                Settled::Stale
            }
            Some(Advanced::Missing | Advanced::Busy) | None => {
                tracing::error!(%run, ?step, "the job's row is not there, or cannot be read");
                Settled::Stale
            }
        }
    }

    fn done(&self, step: Step, state: State) -> Settled {
        let counters = self.context.counters();
        match step {
            Step::Start => counters.started.add_one(),
            Step::GiveBack => counters.given_back.add_one(),
            Step::Abandon => counters.abandoned.add_one(),
            _ => counters.settled.add_one(),
        }
        if !matches!(step, Step::Start | Step::GiveBack) {
            counters.outcomes.count(state);
        }
        tracing::debug!(run = %self.key(), ?step, %state, "settled");
        Settled::Done(state)
    }

    /// Drops what the runner keeps. Where that fails, the next survey finds it.
    pub async fn forget(&self, failed: bool) {
        self.holding.forgotten.cancel();
        if let Err(error) = self.context.runner.forget(self.key(), failed).await {
            tracing::warn!(run = %self.key(), %error, "what a run left behind is not dropped yet");
        }
    }
}
