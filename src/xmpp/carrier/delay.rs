//! When a message was sent, by the stamps that servers put on what they had to keep.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use xmpp_parsers::message::Message;
use xmpp_parsers::ns;

/// The delay stamp from before XEP-0203.
const LEGACY: &str = "jabber:x:delay";

/// The oldest stamp; `None` where there is none, and the message was on its way at once. A stamp
/// that cannot be read counts as long ago: nobody can say that it is not.
pub(super) fn sent_at(message: &Message) -> Option<Timestamp> {
    let stamps = message.payloads.iter().filter_map(|payload| {
        let delay = payload.is("delay", ns::DELAY) || payload.is("x", LEGACY);
        delay.then(|| payload.attr("stamp").and_then(read))
    });
    stamps
        .map(|stamp| stamp.unwrap_or(Timestamp::UNIX_EPOCH))
        .min()
}

/// `2002-09-10T23:08:25Z`, with or without fraction or offset, or `20020910T23:08:25`.
fn read(stamp: &str) -> Option<Timestamp> {
    let utc = |time: DateTime| time.to_zoned(TimeZone::UTC).ok();
    let without_offset = || stamp.parse().ok().and_then(utc);
    let legacy = || {
        let time = DateTime::strptime("%Y%m%dT%H:%M:%S", stamp).ok();
        time.and_then(utc)
    };
    stamp.parse().ok().or_else(|| {
        let time = without_offset().or_else(legacy);
        time.map(|time| time.timestamp())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_of_all_ages_are_read() {
        for stamp in [
            "2002-09-10T23:08:25Z",
            "2002-09-10T23:08:25.000Z",
            "2002-09-11T01:08:25+02:00",
            "2002-09-10T23:08:25",
            "20020910T23:08:25",
        ] {
            let read = read(stamp).unwrap();
            assert_eq!(read.to_string(), "2002-09-10T23:08:25Z", "{stamp}");
        }
        for bad in ["", "yesterday", "2002", "2002-13-10T23:08:25Z"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
