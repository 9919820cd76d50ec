//! How long things take.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the classes that durations are counted in, in milliseconds; one more class
/// takes what is longer.
pub const BOUNDS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000];

/// Durations, counted by class.
#[derive(Debug, Default)]
pub struct Times {
    classes: [AtomicU64; BOUNDS.len()],
    longer: AtomicU64,
    sum_us: AtomicU64,
}

/// What was counted so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Timed {
    /// Upper bound of each class in seconds, and how many fell into it and no smaller one.
    pub classes: Vec<(f64, u64)>,
    /// How many were longer than every bound.
    pub longer: u64,
    /// All together.
    pub sum: Duration,
}

impl Times {
    /// Counts one.
    pub fn add(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let class = BOUNDS.partition_point(|bound| bound * 1_000 < micros);
        let class = self.classes.get(class).unwrap_or(&self.longer);
        class.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(micros, Ordering::Relaxed);
    }

    /// What was counted so far.
    #[must_use]
    pub fn read(&self) -> Timed {
        let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let seconds = |bound: u64| Duration::from_millis(bound).as_secs_f64();
        let classes = BOUNDS.into_iter().zip(&self.classes);
        Timed {
            classes: classes
                .map(|(bound, class)| (seconds(bound), get(class)))
                .collect(),
            longer: get(&self.longer),
            sum: Duration::from_micros(get(&self.sum_us)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_smallest_class_that_holds_it() {
        let times = Times::default();
        for millis in [0, 1, 2, 3, 10_000, 10_001] {
            times.add(Duration::from_millis(millis));
        }
        let read = times.read();
        let counted: Vec<_> = read.classes.iter().map(|(_, count)| *count).collect();
        assert_eq!(counted, [2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(read.longer, 1);
        assert_eq!(read.sum, Duration::from_millis(20_007));
    }
}
