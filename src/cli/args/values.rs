//! What the command line's words mean.

use std::time::Duration;

use jiff::SignedDuration;

use super::Since;
use crate::config;
use crate::job::{JobId, Outcome, Owner, RecordId, State};

/// The longest reason that is kept, in characters.
const MAX_REASON_CHARS: usize = 500;

/// Who looks more often would be a burden to what it looks at.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(200);

/// Who looks less often sees nothing happen.
const LONGEST_INTERVAL: Duration = Duration::from_hours(1);

pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("is not of the form section.key=value")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// The pause between requests that keeps this rate.
pub(super) fn pause_of_rate(text: &str) -> Result<Duration, String> {
    let rate: f64 = text.parse().map_err(|_| "is not a number")?;
    Duration::try_from_secs_f64(1.0 / rate).map_err(|_| "must be more than 0".to_owned())
}

pub(super) fn since(text: &str) -> Result<Since, String> {
    if let Ok(time) = text.parse() {
        return Ok(Since::Time(time));
    }
    let neither = "is neither a time (2026-01-31T12:00:00Z) nor an age (2h, 30d)";
    age(text).map(Since::Age).map_err(|_| neither.to_owned())
}

/// An age with units up to weeks; a day has 24 hours.
pub(super) fn age(text: &str) -> Result<SignedDuration, String> {
    let wrong = |_| "is not an age like 90s, 12h, 30d or 4w".to_owned();
    let age = config::age(text).map_err(wrong)?;
    if age.is_negative() {
        return Err("lies in the future".to_owned());
    }
    Ok(age)
}

/// How often to look, with its unit.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let wrong = "is not a time like 2s or 500ms";
    let interval: SignedDuration = text.parse().map_err(|_| wrong)?;
    let interval = Duration::try_from(interval).map_err(|_| wrong)?;
    if !(SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&interval) {
        let (shortest, longest) = (SHORTEST_INTERVAL.as_millis(), LONGEST_INTERVAL.as_secs());
        return Err(format!("is not between {shortest}ms and {longest}s"));
    }
    Ok(interval)
}

pub(super) fn owner(text: &str) -> Result<Owner, String> {
    Owner::new(text).map_err(|error| error.why.to_owned())
}

pub(super) fn job_id(text: &str) -> Result<JobId, String> {
    JobId::new(text).map_err(|error| error.why.to_owned())
}

pub(super) fn record(text: &str) -> Result<RecordId, String> {
    let wrong = "is no record ID (a whole number from 1); `gristmill job list` shows them";
    text.parse().map_err(|_| wrong.to_owned())
}

pub(super) fn reason(text: &str) -> Result<String, String> {
    if text.chars().count() > MAX_REASON_CHARS {
        return Err(format!("is longer than {MAX_REASON_CHARS} characters"));
    }
    if text.contains(char::is_control) {
        return Err("contains a control character".to_owned());
    }
    Ok(text.trim().to_owned())
}

pub(super) fn state_name(text: &str) -> Result<&'static str, String> {
    one_of(text, State::ALL.map(State::name))
}

pub(super) fn final_state_name(text: &str) -> Result<&'static str, String> {
    one_of(text, Outcome::ALL.map(Outcome::name))
}

fn one_of<const N: usize>(text: &str, names: [&'static str; N]) -> Result<&'static str, String> {
    let mut names = names.to_vec();
    names.dedup();
    let found = names.iter().find(|name| **name == text);
    found
        .copied()
        .ok_or_else(|| format!("is none of {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_units_and_days_have_24_hours() {
        assert_eq!(age("30d"), Ok(SignedDuration::from_hours(720)));
        assert_eq!(age("1w 12h"), Ok(SignedDuration::from_hours(180)));
        for wrong in ["30", "1 month", "", "-1d", "soon"] {
            assert!(age(wrong).is_err(), "{wrong:?}");
        }
        assert!(matches!(since("2d"), Ok(Since::Age(_))));
        assert!(matches!(since("2026-01-31T12:00:00Z"), Ok(Since::Time(_))));
    }

    #[test]
    fn an_interval_has_a_unit_and_bounds() {
        assert_eq!(interval("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(interval("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["2", "", "-2s", "100ms", "2h", "soon"] {
            assert!(interval(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn only_final_states_are_purged() {
        assert_eq!(final_state_name("timed_out"), Ok("timed_out"));
        assert!(final_state_name("running").is_err());
        assert_eq!(state_name("held"), Ok("held"));
        let names = state_name("flying").unwrap_err();
        assert_eq!(names.matches("held").count(), 1, "{names}");
    }

    #[test]
    fn a_reason_is_one_line() {
        assert_eq!(reason(" disk full "), Ok("disk full".to_owned()));
        assert!(reason("a\nb").is_err());
        assert!(reason(&"a".repeat(501)).is_err());
    }
}
