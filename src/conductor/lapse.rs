//! When another holder's claim has lapsed: when it was seen without a change for a whole lease and
//! the grace, on a clock that nobody sets.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::Leases;
use crate::buffer::Lease;
use crate::job::{RecordId, State, Token};

/// What was seen of others' claims, and since when without a change.
#[derive(Default)]
pub(super) struct LapseWatch(BTreeMap<RecordId, Sighting>);

/// All that changes when a claim's holder shows that it lives.
type Marks = (Token, u64, State);

struct Sighting {
    marks: Marks,
    since: Instant,
}

impl LapseWatch {
    /// A holder's claims are judged by the longer of its lengths and ours.
    ///
    /// Takes note of all claims of others, as they stood at some time between `asked` and
    /// `answered`, and gives those that have lapsed. What is not seen any more is forgotten.
    pub fn observe(
        &mut self,
        leases: &[Lease],
        lengths: &Leases,
        asked: Instant,
        answered: Instant,
    ) -> Vec<Lease> {
        let mut former = std::mem::take(&mut self.0);
        let mut lapsed = Vec::new();
        for lease in leases {
            let marks = (lease.token, lease.renewal, lease.state);
            let known = former.remove(&lease.id);
            let since = match known.filter(|known| known.marks == marks) {
                Some(known) => known.since,
                None => answered,
            };
            self.0.insert(lease.id, Sighting { marks, since });
            let lengths = lease
                .promised
                .map_or(*lengths, |promised| lengths.longer(promised));
            let length = match lease.state {
                State::Running => lengths.running,
                _ => lengths.claimed,
            };
            if asked.saturating_duration_since(since) >= length + lengths.grace {
                lapsed.push(lease.clone());
            }
        }
        lapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Holder;
    use std::time::Duration;

    const LENGTHS: Leases = Leases {
        claimed: Duration::from_secs(30),
        running: Duration::from_mins(15),
        grace: Duration::from_secs(10),
    };

    fn lease(renewal: u64, state: State) -> Lease {
        Lease {
            id: RecordId::new(1).unwrap(),
            token: Token(1),
            renewal,
            state,
            holder: Holder::new("other".to_owned()).unwrap(),
            promised: None,
        }
    }

    /// Whether it has lapsed when it is seen so at these seconds.
    fn lapses(sightings: &[(u64, u64, State)]) -> bool {
        let (mut watch, start) = (LapseWatch::default(), Instant::now());
        let mut lapsed = Vec::new();
        for (second, renewal, state) in sightings {
            let at = start + Duration::from_secs(*second);
            lapsed = watch.observe(&[lease(*renewal, *state)], &LENGTHS, at, at);
        }
        !lapsed.is_empty()
    }

    #[test]
    fn a_claim_lapses_after_a_lease_and_the_grace() {
        let claimed = State::Claimed;
        assert!(!lapses(&[(0, 0, claimed), (39, 0, claimed)]));
        assert!(lapses(&[(0, 0, claimed), (40, 0, claimed)]));
        assert!(!lapses(&[(0, 0, claimed), (40, 1, claimed)]));
        assert!(lapses(&[
            (0, 0, claimed),
            (40, 1, claimed),
            (80, 1, claimed)
        ]));
    }

    #[test]
    fn a_run_has_a_lease_of_its_own_from_its_start() {
        let (claimed, running) = (State::Claimed, State::Running);
        assert!(!lapses(&[
            (0, 0, claimed),
            (50, 0, running),
            (900, 0, running)
        ]));
        assert!(lapses(&[
            (0, 0, claimed),
            (50, 0, running),
            (960, 0, running)
        ]));
    }

    #[test]
    fn a_claim_lapses_by_the_longer_of_the_holders_lengths_and_ours() {
        let (mut watch, start) = (LapseWatch::default(), Instant::now());
        let seen = [Lease {
            promised: Some(Leases {
                claimed: Duration::from_secs(5),
                running: Duration::from_mins(30),
                grace: Duration::from_secs(20),
            }),
            ..lease(0, State::Running)
        }];
        let mut lapses = |second| {
            let at = start + Duration::from_secs(second);
            !watch.observe(&seen, &LENGTHS, at, at).is_empty()
        };
        assert!(!lapses(0));
        assert!(!lapses(1819));
        assert!(lapses(1820));
    }

    #[test]
    fn the_time_that_an_answer_took_does_not_count() {
        let (mut watch, start) = (LapseWatch::default(), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        let seen = [lease(0, State::Claimed)];
        watch.observe(&seen, &LENGTHS, at(0), at(5));
        assert!(watch.observe(&seen, &LENGTHS, at(44), at(60)).is_empty());
        assert!(!watch.observe(&seen, &LENGTHS, at(45), at(45)).is_empty());
    }
}
