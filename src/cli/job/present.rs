//! How times, amounts and texts look to people.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp, Unit};

use super::super::shown::shown;

use crate::job::Level;

/// Units of an age, the largest first, in seconds.
const UNITS: [(i64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];

/// Units of an amount of bytes, the largest first.
const SIZES: [(u64, &str); 4] = [
    (1 << 40, "TiB"),
    (1 << 30, "GiB"),
    (1 << 20, "MiB"),
    (1 << 10, "KiB"),
];

/// How long ago, or in how long, in one unit.
pub(in crate::cli) fn age(time: Timestamp, now: Timestamp) -> String {
    let ahead = time.duration_since(now);
    if ahead.is_positive() {
        format!("in {}", span(ahead))
    } else {
        span(ahead.abs())
    }
}

/// The same in a sentence, with the time itself.
pub(in crate::cli) fn time_and_age(time: Timestamp, now: Timestamp) -> String {
    let age = age(time, now);
    let ago = if age.starts_with("in ") { "" } else { " ago" };
    format!("{} ({age}{ago})", to_the_second(time))
}

/// A length of time, in one unit.
pub(in crate::cli) fn span(span: SignedDuration) -> String {
    // What is due in 59.9 s is due in a minute.
    let seconds = span.round(Unit::Second).unwrap_or(span).as_secs();
    let unit = UNITS.iter().find(|(unit, _)| seconds >= *unit);
    unit.map_or("0s".to_owned(), |(unit, name)| {
        format!("{}{name}", seconds / unit)
    })
}

/// A length of time, exactly enough to compare two of them.
pub(super) fn exact_span(span: Duration) -> String {
    let seconds = span.as_secs();
    if seconds < 60 {
        return format!("{:.2} s", span.as_secs_f64());
    }
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let mut text = String::new();
    if hours > 0 {
        let _ = write!(text, "{hours} h ");
    }
    let _ = write!(text, "{minutes} min {} s", seconds % 60);
    text
}

/// An amount of bytes.
#[expect(
    clippy::cast_precision_loss,
    reason = "one digit behind the point is shown"
)]
pub(in crate::cli) fn size(bytes: u64) -> String {
    let unit = SIZES.iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or_else(
        || format!("{bytes} B"),
        |(unit, name)| format!("{:.1} {name}", bytes as f64 / *unit as f64),
    )
}

pub(in crate::cli) fn to_the_second(time: Timestamp) -> String {
    time.round(Unit::Second).unwrap_or(time).to_string()
}

pub(super) fn level(level: Level) -> &'static str {
    match level {
        Level::Event => "event",
        Level::Warning => "warning",
        Level::Error => "error",
    }
}

/// A text from outside as one line.
pub(in crate::cli) fn one_line(text: &str) -> String {
    shown(&text.replace(['\n', '\t', '\r'], " ")).into_owned()
}

/// `1 job`, `2 jobs`.
pub(in crate::cli) fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn ages_have_one_unit() {
        let now = at(1_000_000);
        for (ago, shown) in [
            (0, "0s"),
            (59, "59s"),
            (150, "2m"),
            (7_200, "2h"),
            (200_000, "2d"),
        ] {
            assert_eq!(age(at(1_000_000 - ago), now), shown);
        }
        assert_eq!(age(at(1_000_090), now), "in 1m");
        assert_eq!(
            time_and_age(at(1_000_020), now),
            "1970-01-12T13:47:00Z (in 20s)"
        );
        assert_eq!(
            time_and_age(at(999_940), now),
            "1970-01-12T13:45:40Z (1m ago)"
        );
    }

    #[test]
    fn amounts_have_units() {
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(104_857_600), "100.0 MiB");
        assert_eq!(exact_span(Duration::from_millis(1_234)), "1.23 s");
        assert_eq!(exact_span(Duration::from_secs(3_725)), "1 h 2 min 5 s");
        assert_eq!(count(1, "job"), "1 job");
    }

    #[test]
    fn a_text_from_outside_is_one_line() {
        assert_eq!(one_line("a\x1b[31m\r\nb"), "a\\u{1b}[31m  b");
    }
}
