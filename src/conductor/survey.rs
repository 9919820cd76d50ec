//! Looks over all claims that are held: finds ours that we know nothing of, runs without a claim,
//! and others' claims that have lapsed.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::context::Context;
use super::lapse::LapseWatch;
use crate::buffer::{Advanced, Change, Holder, Lease};
use crate::job::{Fence, RunKey, Step};

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
}

impl Surveyor {
    pub fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            lapses: LapseWatch::default(),
            foreign: BTreeSet::new(),
        }
    }

    /// Looks once; `None`: the store or the runner did not answer. No claim may be on its way
    /// meanwhile, else it would be taken for one that nobody knows of.
    pub async fn look(&mut self) -> Option<Found> {
        let asked = Instant::now();
        let leases = self.context.claims.leases().await.ok()?;
        let answered = Instant::now();
        let runs = self.context.runner.runs().await.ok()?;
        let holder = self.context.settings.holder.clone();
        let (own, others): (Vec<_>, Vec<_>) =
            leases.into_iter().partition(|lease| lease.holder == holder);
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

    async fn look_at_others(&mut self, others: &[Lease], asked: Instant, answered: Instant) {
        let Some(leases) = self.context.settings.leases else {
            return self.warn_of(others);
        };
        let lapsed = self.lapses.observe(others, &leases, asked, answered);
        if !lapsed.is_empty() {
            self.rescue(lapsed).await;
        }
    }

    /// One store, one machine, one daemon: nobody else can hold a claim, so nobody here knows how
    /// to tell whether its run lives.
    fn warn_of(&mut self, others: &[Lease]) {
        for holder in others.iter().map(|lease| &lease.holder) {
            if self.foreign.insert(holder.as_str().to_owned()) {
                tracing::warn!(%holder, "jobs are claimed under another name; is runner.process.work_dir the one that they were claimed with? They are left alone");
            }
        }
    }

    /// Where this fails, the next survey finds the same.
    async fn rescue(&self, lapsed: Vec<Lease>) {
        let changes = lapsed.iter().map(|lease| self.abandon(lease)).collect();
        let Ok(answers) = self.context.settler.advance(changes).await else {
            return;
        };
        for (lease, answer) in lapsed.iter().zip(answers) {
            if let Advanced::Done(state) = answer {
                self.context.counters().rescued.add_one();
                tracing::warn!(record = %lease.id, holder = %lease.holder, %state, "a claim had lapsed");
            }
        }
    }

    fn abandon(&self, lease: &Lease) -> Change {
        Change {
            id: lease.id,
            fence: Fence {
                token: lease.token,
                renewal: Some(lease.renewal),
            },
            step: Step::Abandon,
            dice: self.context.dice(),
            reason: Some(lapse_reason(&lease.holder)),
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

fn lapse_reason(holder: &Holder) -> String {
    format!("its holder {holder} was not heard of for a whole lease")
}
