//! Claims and settlements with runs that take no time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gristmill::buffer::{AdvanceRequest, Advanced, Change, ClaimRequest, Claimed, Claims, Holder};
use gristmill::job::policy::Backoff;
use gristmill::job::{Fence, Limits, RunReport, State, Step, Verdict};
use jiff::Timestamp;

const LIMITS: Limits = Limits {
    max_runs: 3,
    max_abandons: 5,
    backoff: Backoff {
        first: Duration::from_secs(10),
        longest: Duration::from_mins(10),
    },
};

/// So many workers share these jobs; each has one at a time, and tells how it ended while it asks
/// for the next.
pub async fn one_each(store: &Arc<dyn Claims>, workers: usize, jobs: usize) {
    let left = Arc::new(AtomicUsize::new(jobs));
    let tasks = (0..workers).map(|_| {
        let (store, left) = (store.clone(), left.clone());
        tokio::spawn(async move {
            let mut ended = Vec::new();
            loop {
                let next = async {
                    let take = |left: usize| left.checked_sub(1);
                    match left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
                        Ok(_) => claim(&*store, 1).await,
                        Err(_) => Vec::new(),
                    }
                };
                let (next, ()) = tokio::join!(next, settle(&*store, &ended));
                if next.is_empty() {
                    return;
                }
                ended = next;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

/// Claims these jobs, so many at a time.
pub async fn claim_lots(store: &Arc<dyn Claims>, lot: usize, jobs: usize) -> Vec<Vec<Claimed>> {
    let mut lots = Vec::new();
    for _ in 0..jobs / lot {
        let claimed = claim(&**store, lot).await;
        assert_eq!(claimed.len(), lot);
        lots.push(claimed);
    }
    lots
}

/// Settles what was claimed in lots.
pub async fn settle_lots(store: &Arc<dyn Claims>, lots: &[Vec<Claimed>]) {
    for lot in lots {
        settle(&**store, lot).await;
    }
}

async fn claim(store: &dyn Claims, most: usize) -> Vec<Claimed> {
    let request = ClaimRequest {
        holder: Holder::new("bench".to_owned()).unwrap(),
        most: u32::try_from(most).unwrap(),
        pass_over: None,
        now: Timestamp::now(),
    };
    store.claim(request).await.unwrap()
}

/// All of them started and succeeded.
async fn settle(store: &dyn Claims, claimed: &[Claimed]) {
    if claimed.is_empty() {
        return;
    }
    let request = AdvanceRequest {
        changes: claimed.iter().flat_map(run).collect(),
        limits: LIMITS,
        now: Timestamp::now(),
    };
    let changes = request.changes.len();
    let advanced = store.advance(request).await.unwrap();
    assert_eq!(advanced.len(), changes);
    assert_eq!(advanced.last(), Some(&Advanced::Done(State::Succeeded)));
}

fn run(claimed: &Claimed) -> [Change; 2] {
    let now = Timestamp::now();
    let started = Change {
        id: claimed.id,
        fence: Fence {
            token: claimed.token,
            renewal: None,
        },
        step: Step::Start,
        dice: 0.5,
        reason: None,
        report: None,
    };
    let succeeded = Change {
        step: Step::Succeed,
        report: Some(RunReport {
            verdict: Verdict::Succeeded,
            started_at: Some(now),
            ended_at: now,
            exit_code: Some(0),
            cpu: Duration::from_millis(1),
            peak_memory: 1 << 20,
            fault: None,
            outputs: Vec::new(),
        }),
        ..started.clone()
    };
    [started, succeeded]
}
