//! Whether a loop still turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

/// A loop that waits turns so often within its limit.
const TURNS_IN_LIMIT: u32 = 10;

/// The sign of life of one loop. The loop turns it; others look at it.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Turning>);

#[derive(Debug)]
struct Turning {
    name: &'static str,
    limit: Duration,
    begun: Instant,
    /// Milliseconds from `begun` to the last turn, plus one; 0: it has not turned yet.
    last: AtomicU64,
}

impl Pulse {
    /// Of a loop that has not turned yet, and from now on is to turn at least once in `limit`.
    #[must_use]
    pub fn new(name: &'static str, limit: Duration) -> Self {
        Self(Arc::new(Turning {
            name,
            limit,
            begun: Instant::now(),
            last: AtomicU64::new(0),
        }))
    }

    /// The loop's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// The longest that may lie between two turns.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.0.limit
    }

    /// The loop turns.
    pub fn turn(&self) {
        let millis = self.0.begun.elapsed().as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        self.0
            .last
            .store(millis.saturating_add(1), Ordering::Relaxed);
    }

    /// Whether it has ever turned.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.last.load(Ordering::Relaxed) > 0
    }

    /// How long ago it turned last, or was to begin.
    #[must_use]
    pub fn age(&self) -> Duration {
        let last = self.0.last.load(Ordering::Relaxed).saturating_sub(1);
        let last = self.0.begun + Duration::from_millis(last);
        last.elapsed()
    }

    /// Whether it turned within its limit.
    #[must_use]
    pub fn is_turning(&self) -> bool {
        self.age() <= self.0.limit
    }

    /// Waits, and turns meanwhile: for a loop that waits long for work.
    pub async fn while_waiting<T>(&self, work: impl Future<Output = T>) -> T {
        let mut ticks = interval(self.0.limit / TURNS_IN_LIMIT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => {
                    self.turn();
                    return done;
                }
                _ = ticks.tick() => self.turn(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{advance, sleep};

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_turn_is_seen() {
        let pulse = Pulse::new("mill", LIMIT);
        assert!(!pulse.has_begun() && pulse.is_turning());
        advance(LIMIT * 2).await;
        assert!(!pulse.is_turning());
        pulse.turn();
        assert!(pulse.has_begun() && pulse.is_turning());
        advance(LIMIT).await;
        assert!(pulse.is_turning());
        advance(Duration::from_millis(2)).await;
        assert!(!pulse.is_turning());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_work_turns_all_the_same() {
        let pulse = Pulse::new("mill", LIMIT);
        let waiting = pulse.clone();
        let wait = tokio::spawn(async move { waiting.while_waiting(sleep(LIMIT * 5)).await });
        for _ in 0..5 {
            sleep(LIMIT * 9 / 10).await;
            assert!(pulse.is_turning(), "{:?}", pulse.age());
        }
        wait.await.unwrap();
    }
}
