//! The ledger of keys whose storing is in flight or in doubt.
//!
//! A key enters before the store is asked. It leaves when the outcome is known and every look-up
//! that began before that has ended: whatever the interleaving, a look-up that found a key absent
//! while it was being stored still sees it here.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::StoreRequest;
use crate::job::{Attempt, JobId, JobKey, Owner};

/// What is being stored or in doubt may hold so many bytes of memory, and how much one request
/// counts at least.
const MAX_BYTES: usize = 64 << 20;
const MIN_REQUEST_BYTES: usize = 64 << 10;

/// The keys that are being stored.
#[derive(Default)]
pub(super) struct Ledger(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Grows with each look-up and each settled request.
    clock: u64,
    /// When the look-ups that still run began, and how many at each time.
    lookups: BTreeMap<u64, usize>,
    /// How often each attempt of each job is in the ledger.
    keys: HashMap<Owner, HashMap<JobId, Vec<Attempt>>>,
    bytes: usize,
    /// Known outcomes that a look-up may have missed, by when they became known.
    settled: BTreeMap<u64, Entry>,
}

struct Entry {
    owner: Owner,
    keys: Vec<JobKey>,
}

/// One request in the ledger. If this is dropped without [`Pending::settle`], nobody knows the
/// outcome and its keys stay in doubt.
pub(super) struct Pending {
    ledger: Arc<Ledger>,
    entry: Entry,
    bytes: usize,
}

/// A look-up that runs.
pub(super) struct LookingUp<'a> {
    ledger: &'a Ledger,
    began: u64,
}

impl Ledger {
    /// Enters a request's keys; `None`: too much is in doubt already.
    pub fn enter(self: &Arc<Self>, request: &StoreRequest) -> Option<Pending> {
        let payloads: usize = request.jobs.iter().map(|job| job.payload.len()).sum();
        let bytes = payloads.max(MIN_REQUEST_BYTES);
        let entry = Entry {
            owner: request.owner.clone(),
            keys: request.jobs.iter().map(|job| job.key.clone()).collect(),
        };
        let mut inner = self.lock();
        if inner.bytes > 0 && inner.bytes + bytes > MAX_BYTES {
            return None;
        }
        inner.bytes += bytes;
        let jobs = inner.keys.entry(entry.owner.clone()).or_default();
        for key in &entry.keys {
            jobs.entry(key.job_id.clone())
                .or_default()
                .push(key.attempt);
        }
        drop(inner);
        Some(Pending {
            ledger: self.clone(),
            entry,
            bytes,
        })
    }

    /// Says that a look-up begins.
    pub fn look_up(&self) -> LookingUp<'_> {
        let mut inner = self.lock();
        let began = inner.tick();
        *inner.lookups.entry(began).or_default() += 1;
        LookingUp {
            ledger: self,
            began,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LookingUp<'_> {
    /// For each key, asked after the store was: whether its storing was in flight or in doubt at
    /// any time since the look-up began. An attempt of `None` stands for all.
    pub fn in_doubt<'k>(
        &self,
        owner: &Owner,
        keys: impl Iterator<Item = (&'k JobId, Option<Attempt>)>,
    ) -> Vec<bool> {
        let inner = self.ledger.lock();
        let jobs = inner.keys.get(owner);
        let is_pending = |(job_id, asked): (&JobId, Option<Attempt>)| {
            let attempts = jobs.and_then(|jobs| jobs.get(job_id));
            attempts.is_some_and(|attempts| asked.is_none_or(|asked| attempts.contains(&asked)))
        };
        keys.map(is_pending).collect()
    }
}

impl Drop for LookingUp<'_> {
    fn drop(&mut self) {
        let mut inner = self.ledger.lock();
        if let Some(count) = inner.lookups.get_mut(&self.began) {
            *count -= 1;
            if *count == 0 {
                inner.lookups.remove(&self.began);
            }
        }
        inner.forget_settled();
    }
}

impl Pending {
    /// The outcome is known.
    pub fn settle(self) {
        let mut inner = self.ledger.lock();
        inner.bytes -= self.bytes;
        let at = inner.tick();
        inner.settled.insert(at, self.entry);
        inner.forget_settled();
    }
}

impl Inner {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn forget_settled(&mut self) {
        let oldest = self.lookups.keys().next().copied().unwrap_or(u64::MAX);
        let kept = self.settled.split_off(&oldest);
        for entry in std::mem::replace(&mut self.settled, kept).into_values() {
            self.leave(&entry);
        }
    }

    fn leave(&mut self, entry: &Entry) {
        let Some(jobs) = self.keys.get_mut(&entry.owner) else {
            return;
        };
        for key in &entry.keys {
            let Some(attempts) = jobs.get_mut(&key.job_id) else {
                continue;
            };
            if let Some(place) = attempts.iter().position(|attempt| *attempt == key.attempt) {
                attempts.swap_remove(place);
            }
            if attempts.is_empty() {
                jobs.remove(&key.job_id);
            }
        }
        if jobs.is_empty() {
            self.keys.remove(&entry.owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::NewJob;
    use crate::job::{ContentHash, State};
    use jiff::Timestamp;

    fn job_id(name: &str) -> JobId {
        JobId::new(name).unwrap()
    }

    fn request(name: &str, bytes: usize) -> StoreRequest {
        StoreRequest {
            owner: Owner::new("o").unwrap(),
            jobs: vec![NewJob {
                key: JobKey {
                    job_id: job_id(name),
                    attempt: Attempt::FIRST,
                },
                content: ContentHash([0; 32]),
                priority: 0,
                state: State::Ready,
                payload: "x".repeat(bytes),
            }],
            refusals: Vec::new(),
            sent_at: Timestamp::MAX,
            prompt_until: None,
            now: Timestamp::UNIX_EPOCH,
        }
    }

    fn doubts(look_up: &LookingUp<'_>, name: &str, attempt: Option<Attempt>) -> bool {
        let owner = Owner::new("o").unwrap();
        look_up.in_doubt(&owner, std::iter::once((&job_id(name), attempt)))[0]
    }

    #[test]
    fn a_key_is_in_doubt_until_it_is_settled() {
        let ledger = Arc::new(Ledger::default());
        let pending = ledger.enter(&request("1", 0)).unwrap();
        let look_up = ledger.look_up();
        assert!(doubts(&look_up, "1", None));
        assert!(doubts(&look_up, "1", Some(Attempt::FIRST)));
        assert!(!doubts(&look_up, "1", Attempt::new(2)));
        assert!(!doubts(&look_up, "2", None));
        drop(look_up);
        pending.settle();
        assert!(!doubts(&ledger.look_up(), "1", None));
        assert!(ledger.lock().keys.is_empty());
    }

    #[test]
    fn a_look_up_sees_what_was_stored_while_it_ran() {
        let ledger = Arc::new(Ledger::default());
        let look_up = ledger.look_up();
        // Here the store is read; the key is absent. Then, before the answer is judged:
        ledger.enter(&request("1", 0)).unwrap().settle();
        let later = ledger.look_up();
        assert!(doubts(&look_up, "1", None));
        drop(look_up);
        drop(later);
        assert!(!doubts(&ledger.look_up(), "1", None));
        assert!(ledger.lock().settled.is_empty());
    }

    #[test]
    fn one_of_two_requests_keeps_the_key_in_doubt() {
        let ledger = Arc::new(Ledger::default());
        let (first, second) = (
            ledger.enter(&request("1", 0)),
            ledger.enter(&request("1", 0)),
        );
        first.unwrap().settle();
        assert!(doubts(&ledger.look_up(), "1", None));
        second.unwrap().settle();
        assert!(!doubts(&ledger.look_up(), "1", None));
    }

    #[test]
    fn an_outcome_that_nobody_learns_stays_in_doubt() {
        let ledger = Arc::new(Ledger::default());
        drop(ledger.enter(&request("1", 0)));
        assert!(doubts(&ledger.look_up(), "1", None));
    }

    #[test]
    fn what_is_in_doubt_is_bounded() {
        let ledger = Arc::new(Ledger::default());
        let large = ledger.enter(&request("large", MAX_BYTES + 1)).unwrap();
        assert!(ledger.enter(&request("1", 0)).is_none());
        large.settle();
        let small: Vec<_> = (0..MAX_BYTES / MIN_REQUEST_BYTES)
            .map(|n| ledger.enter(&request(&n.to_string(), 1)).unwrap())
            .collect();
        assert!(ledger.enter(&request("1", 0)).is_none());
        drop(small);
    }
}
