//! Numbers in few columns.

use std::time::Duration;

use jiff::SignedDuration;

use crate::cli::job::present::span;

/// What is not known.
pub(super) const UNKNOWN: &str = "-";

/// Numbers from here on are shown with a unit; below, in full.
const LONG: f64 = 100_000.0;

const UNITS: [(f64, &str); 3] = [(1e9, "G"), (1e6, "M"), (1e3, "k")];

/// A count, in at most six columns.
pub(super) fn count(number: Option<f64>) -> String {
    number.map_or_else(|| UNKNOWN.to_owned(), known)
}

fn known(number: f64) -> String {
    let unit = UNITS
        .iter()
        .find(|(unit, _)| number >= LONG && number >= *unit);
    unit.map_or_else(
        || format!("{number:.0}"),
        |(unit, name)| format!("{:.1}{name}", number / unit),
    )
}

/// How often a minute; what is rare has a digit behind the point.
pub(super) fn rate(rate: Option<f64>) -> String {
    match rate {
        Some(rate) if rate > 0.0 && rate < 10.0 => format!("{rate:.1}"),
        rate => count(rate),
    }
}

/// How long something is so, in one unit.
pub(super) fn age(age: Duration) -> String {
    span(SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX))
}

/// A time that is given by people: `2s`, `0.5s`.
pub(super) fn seconds(time: Duration) -> String {
    format!("{}s", time.as_secs_f64())
}

/// How long machines take.
pub(super) fn latency(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.1} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let counts = [0.0, 99_999.0, 123_456.0, 12_345_678.0, 4e9].map(|n| count(Some(n)));
        assert_eq!(counts, ["0", "99999", "123.5k", "12.3M", "4.0G"]);
        let rates = [None, Some(0.0), Some(0.25), Some(59.6), Some(600.0)].map(rate);
        assert_eq!(rates, ["-", "0", "0.2", "60", "600"]);
        assert_eq!(age(Duration::from_secs(301)), "5m");
        assert_eq!(seconds(Duration::from_millis(500)), "0.5s");
        assert_eq!(seconds(Duration::from_secs(2)), "2s");
        assert_eq!(
            (latency(0.001_24), latency(1.5)),
            ("1.2 ms".to_owned(), "1.5 s".to_owned())
        );
    }
}
