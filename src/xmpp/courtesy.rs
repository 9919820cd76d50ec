//! Answers to senders that are no supervisors: few, and last of all.
//!
//! A server limits what it takes from us. If each stranger's stanza had an answer, one of them
//! could fill the line with answers, and the supervisors' would wait behind those.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::{Duration, Instant};
use tokio_xmpp::Stanza;

use super::vitals::Vitals;

/// So many such answers may be sent at once after a quiet time.
const BURST: u32 = 20;

/// One more may be sent after each such time.
const ONE_EVERY: Duration = Duration::from_millis(500);

/// So many may wait for a line that is busy with others.
const MOST_WAITING: usize = 20;

/// Such answers on their way to the line.
pub(super) struct Courtesies {
    waiting: VecDeque<Stanza>,
    /// How many may be taken now.
    left: u32,
    /// When `left` was last made larger.
    refilled: Instant,
    vitals: Arc<Vitals>,
}

impl Courtesies {
    /// None yet; those that are dropped are counted in `vitals`.
    pub(super) fn new(vitals: Arc<Vitals>) -> Self {
        Self {
            waiting: VecDeque::new(),
            left: BURST,
            refilled: Instant::now(),
            vitals,
        }
    }

    /// Takes an answer, or drops it where there were too many.
    pub(super) fn push(&mut self, answer: Stanza) {
        self.refill();
        if self.left == 0 || self.waiting.len() >= MOST_WAITING {
            self.vitals.unanswered.add_one();
            return;
        }
        self.left -= 1;
        self.waiting.push_back(answer);
    }

    /// The next answer to send.
    pub(super) fn pop(&mut self) -> Option<Stanza> {
        self.waiting.pop_front()
    }

    fn refill(&mut self) {
        while self.left < BURST && self.refilled.elapsed() >= ONE_EVERY {
            self.left += 1;
            self.refilled += ONE_EVERY;
        }
        if self.left == BURST {
            self.refilled = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;
    use xmpp_parsers::presence::Presence;

    use super::*;

    fn taken(courtesies: &mut Courtesies, number: u32) -> usize {
        for _ in 0..number {
            courtesies.push(Presence::available().into());
        }
        std::iter::from_fn(|| courtesies.pop()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_a_burst_and_then_two_a_second() {
        let vitals = Arc::new(Vitals::default());
        let mut courtesies = Courtesies::new(vitals.clone());
        assert_eq!(taken(&mut courtesies, 130), 20);
        assert_eq!(vitals.unanswered.get(), 110);
        advance(Duration::from_secs(3)).await;
        assert_eq!(taken(&mut courtesies, 130), 6);
        advance(Duration::from_hours(1)).await;
        assert_eq!(taken(&mut courtesies, 130), 20);
        advance(Duration::from_millis(499)).await;
        assert_eq!(taken(&mut courtesies, 1), 0);
    }
}
