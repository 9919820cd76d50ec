//! The claims and runs in this conductor's hands.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Leases;
use crate::job::{RecordId, RunKey, Token};
use crate::runner::Heard;

/// One claim, or the run of one that has ended, in this conductor's hands.
pub(super) struct Holding {
    pub key: RunKey,
    /// How it came here.
    pub origin: Origin,
    /// Somebody wished the job killed.
    pub kill: CancellationToken,
    /// The claim is not ours any more.
    pub lost: CancellationToken,
    /// If it has not started yet, it goes back.
    pub recall: CancellationToken,
    /// Nothing of its run lives, and nobody deals with it any more.
    pub done: CancellationToken,
    /// How long the run may live. Locked while the runner is told, so that an older word never
    /// comes after a newer one.
    pub tenure: tokio::sync::Mutex<Tenure>,
    /// What the runner keeps of it is being dropped.
    pub forgotten: CancellationToken,
    /// Up to where what its run says of itself is kept; `None`: the runner knows.
    heard: Mutex<Option<Heard>>,
    /// Its run should have ended, and lives.
    unending: AtomicBool,
}

/// How a claim came into these hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It was made just now.
    Claimed,
    /// The store had it under our name.
    Found,
    /// The claim has ended, only its run is left.
    Stray,
}

/// How long a claim is known to be ours. All times are since boot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tenure {
    /// When the latest request was sent that showed the store that its holder lives: whoever
    /// waits for it to lapse began to wait after that.
    pub shown: Option<Duration>,
    /// Whether its start is committed.
    pub running: bool,
    /// Whether the runner was asked to start it.
    pub with_runner: bool,
    /// Whether the runner knows the latest deadline.
    pub told: bool,
}

impl Tenure {
    /// The store was shown, by a request sent at this time, that the holder lives.
    pub fn show(&mut self, sent: Duration) {
        self.shown = self.shown.max(Some(sent));
        self.told = false;
    }

    /// When the run must have ended unless its claim is renewed. `None`: not known yet.
    pub fn deadline(&self, leases: &Leases) -> Option<Duration> {
        self.shown.map(|shown| shown + self.length(leases))
    }

    /// Whether it is time to renew: a third of the lease is over, or the runner does not know of
    /// the last renewal.
    pub fn is_due(&self, leases: &Leases, now: Duration) -> bool {
        let third = self.length(leases) / 3;
        let untold = self.with_runner && !self.told;
        untold || self.shown.is_none_or(|shown| now >= shown + third)
    }

    fn length(&self, leases: &Leases) -> Duration {
        if self.running {
            leases.running
        } else {
            leases.claimed
        }
    }
}

impl Holding {
    pub fn new(key: RunKey, origin: Origin, tenure: Tenure) -> Arc<Self> {
        Arc::new(Self {
            key,
            origin,
            kill: CancellationToken::new(),
            lost: CancellationToken::new(),
            recall: CancellationToken::new(),
            done: CancellationToken::new(),
            tenure: tokio::sync::Mutex::new(tenure),
            forgotten: CancellationToken::new(),
            heard: Mutex::default(),
            unending: AtomicBool::default(),
        })
    }

    /// Whether its run should have ended, and lives.
    pub fn set_unending(&self, is_so: bool) {
        self.unending.store(is_so, Ordering::Relaxed);
    }

    /// Up to where what its run says of itself is kept.
    pub fn heard(&self) -> Option<Heard> {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is kept up to here.
    pub fn keep_heard(&self, heard: Heard) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(heard);
    }
}

/// All of them, in the order of their keys.
#[derive(Default)]
pub(super) struct Holdings(Mutex<BTreeMap<RunKey, Arc<Holding>>>);

impl Holdings {
    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<RunKey, Arc<Holding>>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn count(&self) -> usize {
        self.with(|all| all.len())
    }

    /// How many runs should have ended, and live.
    pub fn unending(&self) -> usize {
        let is_so = |holding: &&Arc<Holding>| holding.unending.load(Ordering::Relaxed);
        self.with(|all| all.values().filter(is_so).count())
    }

    pub fn get(&self, key: RunKey) -> Option<Arc<Holding>> {
        self.with(|all| all.get(&key).cloned())
    }

    /// Those of which the claim is ours, as far as is known.
    pub fn claimed(&self) -> Vec<Arc<Holding>> {
        let ours = |holding: &&Arc<Holding>| {
            holding.origin != Origin::Stray && !holding.lost.is_cancelled()
        };
        self.with(|all| all.values().filter(ours).cloned().collect())
    }

    /// Those that the runner has started, as far as is known.
    pub async fn started(&self) -> Vec<Arc<Holding>> {
        let mut started = Vec::new();
        for holding in self.claimed() {
            if holding.tenure.lock().await.running {
                started.push(holding);
            }
        }
        started
    }

    /// Those of one record: at most one of them is not on its way out.
    pub fn of_record(&self, record: RecordId) -> Vec<Arc<Holding>> {
        let key = |token| RunKey { record, token };
        let range = key(Token(0))..=key(Token(u64::MAX));
        self.with(|all| {
            all.range(range)
                .map(|(_, holding)| holding.clone())
                .collect()
        })
    }

    pub fn add(&self, holding: Arc<Holding>) {
        self.with(|all| all.insert(holding.key, holding));
    }

    pub fn remove(&self, key: RunKey) {
        if let Some(holding) = self.with(|all| all.remove(&key)) {
            holding.done.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASES: Leases = Leases {
        claimed: Duration::from_secs(30),
        running: Duration::from_mins(15),
        grace: Duration::from_secs(10),
    };

    #[test]
    fn a_deadline_counts_from_the_latest_word_to_the_store() {
        let mut tenure = Tenure::default();
        assert_eq!(tenure.deadline(&LEASES), None);
        tenure.show(Duration::from_secs(100));
        tenure.show(Duration::from_secs(90));
        assert_eq!(tenure.deadline(&LEASES), Some(Duration::from_secs(130)));
        tenure.running = true;
        assert_eq!(tenure.deadline(&LEASES), Some(Duration::from_secs(1000)));
    }

    #[test]
    fn a_claim_is_renewed_after_a_third_of_its_lease() {
        let mut tenure = Tenure::default();
        assert!(tenure.is_due(&LEASES, Duration::ZERO));
        tenure.show(Duration::from_secs(100));
        assert!(!tenure.is_due(&LEASES, Duration::from_secs(109)));
        assert!(tenure.is_due(&LEASES, Duration::from_secs(110)));
        tenure.running = true;
        assert!(!tenure.is_due(&LEASES, Duration::from_secs(110)));
        tenure.with_runner = true;
        assert!(tenure.is_due(&LEASES, Duration::from_secs(101)), "untold");
    }
}
