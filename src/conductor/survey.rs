//! Looks over all claims that are held: finds ours that we know nothing of, runs without a claim,
//! and others' claims that have lapsed.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::context::Context;
use super::holding::Holding;
use super::lapse::LapseWatch;
use crate::buffer::{Advanced, Change, Holder, Lease};
use crate::job::{Fence, RunKey, Step};
use crate::runner::RunState;

/// What a survey found that somebody must look after.
pub(super) struct Found {
    /// Claims of ours that nobody here knows of.
    pub ours: Vec<Lease>,
    /// Runs here whose claim has ended.
    pub strays: Vec<RunKey>,
}

/// What surveys remember.
pub(super) struct Surveyor {
    context: Arc<Context>,
    lapses: LapseWatch,
    /// Those that were warned about.
    foreign: BTreeSet<String>,
    /// Living runs without a folder that were warned about.
    vanished: BTreeSet<RunKey>,
}

impl Surveyor {
    pub fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            lapses: LapseWatch::default(),
            foreign: BTreeSet::new(),
            vanished: BTreeSet::new(),
        }
    }

    /// Looks once; `None`: the store or the runner did not answer. No claim may be on its way
    /// meanwhile, else it would be taken for one that nobody knows of.
    pub async fn look(&mut self) -> Option<Found> {
        let asked = Instant::now();
        let leases = self.context.claims.leases().await.ok()?;
        let answered = Instant::now();
        let started = self.context.holdings.started().await;
        let runs = self.context.runner.runs().await.ok()?;
        self.look_for_folders(&started, &runs);
        let holder = self.context.settings.holder.clone();
        // Where no other daemon can hold a claim, what has its folder here is ours by any name.
        let alone = self.context.settings.leases.is_none();
        let is_ours =
            |lease: &Lease| lease.holder == holder || (alone && runs.contains(&key(lease)));
        let (own, others): (Vec<_>, Vec<_>) = leases.into_iter().partition(is_ours);
        self.look_at_others(&others, asked, answered).await;
        let claimed: BTreeSet<_> = own.iter().map(key).collect();
        let unknown = |run: &RunKey| self.context.holdings.get(*run).is_none();
        let strays = runs
            .into_iter()
            .filter(|run| unknown(run) && !claimed.contains(run));
        Some(Found {
            strays: strays.collect(),
            ours: own
                .into_iter()
                .filter(|lease| unknown(&key(lease)))
                .collect(),
        })
    }

    /// `started` were known to run before the runner said which `runs` have a folder.
    fn look_for_folders(&mut self, started: &[Arc<Holding>], runs: &[RunKey]) {
        let is_gone = |holding: &&Arc<Holding>| {
            !runs.contains(&holding.key) && !holding.forgotten.is_cancelled()
        };
        let gone = started.iter().filter(is_gone);
        let gone: BTreeSet<_> = gone.map(|holding| holding.key).collect();
        for run in gone.difference(&self.vanished) {
            tracing::warn!(%run, "the folder of a living run is gone; what becomes of it will not be known, and it counts as lost when it has ended");
        }
        if gone.is_empty() && !self.vanished.is_empty() {
            tracing::info!("no living run is without its folder any more");
        }
        self.context.counters().vanished.set(gone.len());
        self.vanished = gone;
    }

    async fn look_at_others(&mut self, others: &[Lease], asked: Instant, answered: Instant) {
        let Some(leases) = self.context.settings.leases else {
            return self.look_for(others).await;
        };
        let lapsed = self.lapses.observe(others, &leases, asked, answered);
        self.rescue(lapsed, lapse_reason).await;
    }

    /// One store, one machine, one daemon: the holder of these claims is no more. A run that lives
    /// is left alone, for it may be in the folder of an earlier configuration.
    async fn look_for(&mut self, others: &[Lease]) {
        let mut lost = Vec::new();
        for lease in others {
            match self.context.runner.look_up(key(lease)).await {
                Ok(RunState::NeverStarted | RunState::Gone) => lost.push(lease.clone()),
                Ok(RunState::Alive | RunState::Ended) => self.warn_of(&lease.holder),
                Err(error) => {
                    tracing::warn!(run = %key(lease), %error, "a run cannot be looked up");
                }
            }
        }
        self.rescue(lost, loss_reason).await;
    }

    fn warn_of(&mut self, holder: &Holder) {
        if self.foreign.insert(holder.as_str().to_owned()) {
            tracing::warn!(%holder, "runs live that were claimed under another name; is runner.process.work_dir the one that they were claimed with? They are left alone until they have ended");
        }
    }

    /// Where this fails, the next survey finds the same.
    async fn rescue(&self, lapsed: Vec<Lease>, reason: fn(&Holder) -> String) {
        if lapsed.is_empty() {
            return;
        }
        let changes = lapsed.iter();
        let changes = changes.map(|lease| self.abandon(lease, reason(&lease.holder)));
        let changes = changes.collect();
        let Ok(answers) = self.context.settler.advance(changes).await else {
            return;
        };
        for (lease, answer) in lapsed.iter().zip(answers) {
            if let Advanced::Done(state) = answer {
                self.context.counters().rescued.add_one();
                let why = reason(&lease.holder);
                tracing::warn!(record = %lease.id, %state, why, "a claim is abandoned");
            }
        }
    }

    fn abandon(&self, lease: &Lease, reason: String) -> Change {
        Change {
            id: lease.id,
            fence: Fence {
                token: lease.token,
                renewal: Some(lease.renewal),
            },
            step: Step::Abandon,
            dice: self.context.dice(),
            reason: Some(reason),
            report: None,
        }
    }
}

fn key(lease: &Lease) -> RunKey {
    RunKey {
        record: lease.id,
        token: lease.token,
    }
}

fn loss_reason(holder: &Holder) -> String {
    format!("nothing of its run lives, and its holder {holder} has this store no more")
}

fn lapse_reason(holder: &Holder) -> String {
    format!("its holder {holder} was not heard of for a whole lease")
}
