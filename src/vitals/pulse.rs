//! Whether a loop still turns.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
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
    /// The loops that it stands for; `None`: it is that of one.
    members: Option<Mutex<Vec<Weak<Turning>>>>,
}

impl Turning {
    fn new(name: &'static str, limit: Duration) -> Self {
        Self {
            name,
            limit,
            begun: Instant::now(),
            last: AtomicU64::new(0),
            members: None,
        }
    }

    fn age(&self) -> Duration {
        let last = self.last.load(Ordering::Relaxed).saturating_sub(1);
        let last = self.begun + Duration::from_millis(last);
        last.elapsed()
    }
}

impl Pulse {
    /// Of a loop that has not turned yet, and from now on is to turn at least once in `limit`.
    #[must_use]
    pub fn new(name: &'static str, limit: Duration) -> Self {
        Self(Arc::new(Turning::new(name, limit)))
    }

    /// Of a group of loops, which all are to turn: none yet, see [`member`](Self::member).
    #[must_use]
    pub fn group(name: &'static str, limit: Duration) -> Self {
        Self(Arc::new(Turning {
            members: Some(Mutex::default()),
            ..Turning::new(name, limit)
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

    /// Whether it has ever turned; a group has, for its loops come and go.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.members.is_some() || self.0.last.load(Ordering::Relaxed) > 0
    }

    /// How long ago it turned last, or was to begin; of a group the loop that turned longest ago.
    #[must_use]
    pub fn age(&self) -> Duration {
        let Some(members) = &self.0.members else {
            return self.0.age();
        };
        let members = members.lock().unwrap_or_else(PoisonError::into_inner);
        let living = members.iter().filter_map(Weak::upgrade);
        let ages = living.map(|member| member.age());
        ages.max().unwrap_or_default()
    }

    /// Whether it turned within its limit.
    #[must_use]
    pub fn is_turning(&self) -> bool {
        self.age() <= self.0.limit
    }

    /// Of one more loop of a group, until the last clone of what is returned is dropped.
    #[must_use]
    pub fn member(&self) -> Self {
        let member = Self::new(self.0.name, self.0.limit);
        if let Some(members) = &self.0.members {
            let mut members = members.lock().unwrap_or_else(PoisonError::into_inner);
            members.retain(|member| member.strong_count() > 0);
            members.push(Arc::downgrade(&member.0));
        }
        member
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
    async fn one_of_several_loops_that_does_not_turn_is_seen_until_it_ends() {
        let pulse = Pulse::group("mills", LIMIT);
        advance(LIMIT * 2).await;
        assert!(pulse.has_begun() && pulse.is_turning());
        let (first, second) = (pulse.member(), pulse.member());
        for _ in 0..3 {
            advance(LIMIT / 2).await;
            first.turn();
        }
        assert!(!pulse.is_turning());
        second.turn();
        assert!(pulse.is_turning());
        advance(LIMIT * 2).await;
        first.turn();
        assert!(!pulse.is_turning());
        drop(second);
        assert!(pulse.is_turning());
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
