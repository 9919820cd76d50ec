//! How fast numbers grow.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::scrape::{Scrape, Series, Wanted};

/// A rate is that of the time before.
const WINDOW: Duration = Duration::from_mins(1);

/// So many steps are remembered: as many as a wide terminal shows.
const MAX_STEPS: usize = 200;

/// What the names of series that only grow end with.
const GROWING: [&str; 3] = ["_total", "_sum", "_count"];

const SECONDS_A_MINUTE: f64 = 60.0;

/// How fast numbers grew from scrape to scrape.
#[derive(Default)]
pub(super) struct Rates {
    last: Option<(Instant, Scrape)>,
    /// The newest last.
    steps: VecDeque<Step>,
}

/// From one scrape to the next.
struct Step {
    ended: Instant,
    took: Duration,
    /// What grew, and by how much.
    grown: BTreeMap<Series, f64>,
}

impl Step {
    fn grown(&self, wanted: Wanted) -> f64 {
        let grown = self.grown.iter().filter(|(series, _)| wanted.is(series));
        grown.map(|(_, by)| by).sum()
    }
}

impl Rates {
    pub(super) fn add(&mut self, at: Instant, scrape: &Scrape) {
        let last = self.last.replace((at, scrape.clone()));
        let Some((began, before)) = last.filter(|(began, _)| *began < at) else {
            return;
        };
        let growing = scrape
            .iter()
            .filter(|((name, _), _)| GROWING.iter().any(|end| name.ends_with(end)));
        let grown = growing.filter_map(|(series, value)| {
            // What is less than before began anew from nothing, as did what was not there.
            let from = before.of(series).filter(|before| *before <= value);
            let by = value - from.unwrap_or(0.0);
            (by > 0.0).then(|| (series.clone(), by))
        });
        self.steps.push_back(Step {
            ended: at,
            took: at - began,
            grown: grown.collect(),
        });
        if self.steps.len() > MAX_STEPS {
            self.steps.pop_front();
        }
    }

    /// By how much it grew in the last minute; `None`: nobody has looked twice.
    pub(super) fn a_minute(&self, wanted: Wanted) -> Option<f64> {
        let (grown, took) = self.lately(wanted)?;
        Some(grown * SECONDS_A_MINUTE / took)
    }

    /// How one grew by another: `sum` over `count` is a mean. `None`: nothing was counted.
    pub(super) fn ratio(&self, sum: Wanted, count: Wanted) -> Option<f64> {
        let ((sum, _), (count, _)) = (self.lately(sum)?, self.lately(count)?);
        (count > 0.0).then(|| sum / count)
    }

    /// By how much it grew a minute, step by step, the newest last.
    pub(super) fn history(&self, wanted: Wanted) -> Vec<f64> {
        let steps = self.steps.iter();
        steps
            .map(|step| step.grown(wanted) * SECONDS_A_MINUTE / step.took.as_secs_f64())
            .collect()
    }

    /// By how much it grew lately, and in how many seconds.
    fn lately(&self, wanted: Wanted) -> Option<(f64, f64)> {
        let newest = self.steps.back()?.ended;
        let steps = self
            .steps
            .iter()
            .filter(|step| newest - step.ended < WINDOW);
        let sums = steps.fold((0.0, 0.0), |(grown, took), step| {
            (grown + step.grown(wanted), took + step.took.as_secs_f64())
        });
        Some(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLS: Wanted = Wanted("gristmill_calls_total", &[]);

    fn scrape(lines: &str) -> Scrape {
        Scrape::read(&format!("gristmill_build_info{{version=\"1\"}} 1\n{lines}")).unwrap()
    }

    fn calls(number: u32) -> Scrape {
        scrape(&format!(
            "gristmill_calls_total{{call=\"getStatus\"}} {number}\n"
        ))
    }

    fn rates(scrapes: &[(u64, Scrape)]) -> Rates {
        let (began, mut rates) = (Instant::now(), Rates::default());
        for (second, scrape) in scrapes {
            rates.add(began + Duration::from_secs(*second), scrape);
        }
        rates
    }

    #[track_caller]
    fn same(left: Option<f64>, right: f64) {
        assert!(
            left.is_some_and(|left| (left - right).abs() < 1e-9),
            "{left:?}, not {right}"
        );
    }

    #[test]
    fn a_rate_takes_two_looks() {
        assert_eq!(rates(&[]).a_minute(CALLS), None);
        assert_eq!(rates(&[(0, calls(7))]).a_minute(CALLS), None);
        same(
            rates(&[(0, calls(7)), (2, calls(10))]).a_minute(CALLS),
            90.0,
        );
        same(rates(&[(0, calls(7)), (2, calls(7))]).a_minute(CALLS), 0.0);
    }

    #[test]
    fn a_daemon_that_was_restarted_counts_from_nothing() {
        let rates = rates(&[(0, calls(1_000)), (10, calls(1_010)), (20, calls(5))]);
        same(rates.a_minute(CALLS), 45.0);
        assert_eq!(rates.history(CALLS), [60.0, 30.0]);
    }

    #[test]
    fn what_was_not_there_before_has_grown() {
        let rates = rates(&[(0, scrape("")), (60, calls(3))]);
        same(rates.a_minute(CALLS), 3.0);
    }

    #[test]
    fn what_is_older_than_a_minute_is_history() {
        let rates = rates(&[
            (0, calls(0)),
            (60, calls(600)),
            (120, calls(600)),
            (180, calls(630)),
        ]);
        same(rates.a_minute(CALLS), 30.0);
        assert_eq!(rates.history(CALLS), [600.0, 0.0, 30.0]);
    }

    #[test]
    fn a_mean_is_of_what_was_counted_lately() {
        let times = |sum: f64, count: u32| scrape(&format!("x_sum {sum}\nx_count {count}\n"));
        let (sum, count) = (Wanted("x_sum", &[]), Wanted("x_count", &[]));
        let slow = rates(&[(0, times(5.0, 10)), (2, times(5.5, 14))]);
        same(slow.ratio(sum, count), 0.125);
        assert_eq!(
            rates(&[(0, times(1.0, 1)), (2, times(1.0, 1))]).ratio(sum, count),
            None
        );
    }

    #[test]
    fn no_more_is_remembered_than_a_terminal_shows() {
        let scrapes: Vec<_> = (0..300).map(|at| (at, calls(1))).collect();
        assert_eq!(rates(&scrapes).history(CALLS).len(), MAX_STEPS);
    }
}
