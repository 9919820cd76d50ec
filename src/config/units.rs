//! Values with units, and values that are checked while they are read.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde::de::{Deserialize, Deserializer, Error};

use crate::xmpp::Security;

/// Longer limits are none, and cannot be added to every time of day.
const MAX_DURATION: Duration = Duration::from_hours(24 * 3660);

/// Any type that is written as a text and checks itself.
pub(super) fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    String::deserialize(deserializer)?
        .parse()
        .map_err(Error::custom)
}

/// Like [`parsed`], for a key that may be missing.
pub(super) fn parsed_option<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    parsed(deserializer).map(Some)
}

/// How the connection to the XMPP server is protected.
pub(super) fn security<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Security, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "starttls" => Ok(Security::StartTls),
        "direct-tls" => Ok(Security::DirectTls),
        "plaintext" => Ok(Security::Plaintext),
        other => Err(Error::custom(format!(
            "{other:?} is none of \"starttls\", \"direct-tls\", \"plaintext\""
        ))),
    }
}

/// A length of time, such as "500ms", "30s", "10m".
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || {
        Error::custom(format!(
            "{text:?} is no duration like \"500ms\", \"30s\", \"10m\""
        ))
    };
    let duration: SignedDuration = text.parse().map_err(|_| wrong())?;
    let duration = Duration::try_from(duration).map_err(|_| wrong())?;
    if duration > MAX_DURATION {
        let days = MAX_DURATION.as_secs() / (24 * 60 * 60);
        return Err(Error::custom(format!("{text:?} is more than {days} days")));
    }
    if duration.is_zero() {
        return Err(Error::custom(
            "a duration of zero is no limit that can be met",
        ));
    }
    Ok(duration)
}

/// An age with units up to weeks, such as "30d"; a day has 24 hours.
pub(crate) fn age(text: &str) -> Result<SignedDuration, jiff::Error> {
    let span: Span = text.parse()?;
    span.to_duration(SpanRelativeTo::days_are_24_hours())
}

/// A number of bytes, such as "256 KiB". A number without a unit is refused.
pub(super) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || Error::custom(format!("{text:?} is no size like \"256 KiB\", \"4 MiB\""));
    if !text.trim_end().ends_with(['B', 'b']) {
        return Err(wrong());
    }
    let size: ByteSize = text.parse().map_err(|_| wrong())?;
    usize::try_from(size.as_u64()).map_err(|_| wrong())
}
