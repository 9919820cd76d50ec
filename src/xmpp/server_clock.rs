//! The clock of the XMPP server (XEP-0202), by which it stamps the messages that it has delayed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use xmpp_parsers::iq::Iq;
use xmpp_parsers::jid::{BareJid, FullJid};
use xmpp_parsers::minidom::Element;
use xmpp_parsers::ns;
use xmpp_parsers::time::TimeQuery;

/// The ID of the question.
const QUESTION_ID: &str = "gristmill-time";

/// Clocks drift, and are set: the server is asked again after so long.
const ASK_AGAIN: Duration = Duration::from_mins(10);

/// An answer that took longer says too little.
const LATE: SignedDuration = SignedDuration::from_secs(10);

/// Servers leave out the fraction of a second.
const RESOLUTION: SignedDuration = SignedDuration::from_secs(1);

/// A clock that is further ahead is worth a warning.
const FAR_AHEAD: SignedDuration = SignedDuration::from_secs(5);

/// How far the server's clock is ahead of ours.
#[derive(Debug, Default)]
pub(super) struct ServerClock {
    /// When the open question was asked, by our clock.
    open: Option<Timestamp>,
    /// When a question was asked last.
    asked: Option<Instant>,
    /// As much as it can be. Zero where the server is behind, or does not tell.
    ahead: SignedDuration,
}

impl ServerClock {
    /// Whether to ask again.
    pub(super) fn is_due(&self) -> bool {
        self.asked.is_none_or(|asked| asked.elapsed() >= ASK_AGAIN)
    }

    /// A question, asked now.
    pub(super) fn ask(&mut self, ours: &FullJid, now: Timestamp) -> Iq {
        self.open = Some(now);
        self.asked = Some(Instant::now());
        question(ours)
    }

    /// Hears what the server says to our questions.
    pub(super) fn hear(&mut self, iq: &Iq, now: Timestamp) {
        if iq.id() != QUESTION_ID {
            return;
        }
        let Some(asked) = self.open.take() else {
            return;
        };
        let Some(told) = time_told(iq) else {
            tracing::debug!("the XMPP server does not tell its time");
            return;
        };
        if now.duration_since(asked) > LATE {
            self.asked = None;
            return;
        }
        let ahead = (told.duration_since(asked) + RESOLUTION).max(SignedDuration::ZERO);
        let surely_ahead = told.duration_since(now);
        if surely_ahead > FAR_AHEAD && self.ahead <= FAR_AHEAD {
            tracing::warn!(
                ahead_s = surely_ahead.as_secs(),
                "the XMPP server's clock is ahead of this machine's; stamps of delayed messages \
                 are read accordingly; set both clocks by NTP"
            );
        }
        self.ahead = ahead;
    }

    /// A stamp of the server's by our clock: never later than the message was sent. What another
    /// server has stamped may become older than it is, which is no harm.
    pub(super) fn by_ours(&self, stamp: Timestamp) -> Timestamp {
        stamp.checked_sub(self.ahead).unwrap_or(Timestamp::MIN)
    }
}

/// Asks the server of this account for its time.
pub(super) fn question(account: &FullJid) -> Iq {
    let server = BareJid::from_parts(None, account.domain());
    Iq::from_get(QUESTION_ID, TimeQuery).with_to(server.into())
}

/// The time that an answer tells.
pub(super) fn time_told(answer: &Iq) -> Option<Timestamp> {
    let Iq::Result {
        payload: Some(payload),
        ..
    } = answer
    else {
        return None;
    };
    let utc = |time: &Element| time.get_child("utc", ns::TIME).map(Element::text);
    let text = payload.is("time", ns::TIME).then(|| utc(payload))??;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn account() -> FullJid {
        "executor@here/panda".parse().unwrap()
    }

    fn answer(id: &str, second: i64) -> Iq {
        let payload = format!(
            "<time xmlns='urn:xmpp:time'><tzo>+00:00</tzo><utc>{}</utc></time>",
            at(second)
        );
        Iq::Result {
            from: None,
            to: None,
            id: id.to_owned(),
            payload: Some(payload.parse().unwrap()),
        }
    }

    /// Asked at 1000 and answered at `now`.
    fn told(second: i64, now: i64) -> ServerClock {
        let mut clock = ServerClock::default();
        clock.ask(&account(), at(1000));
        clock.hear(&answer(QUESTION_ID, second), at(now));
        clock
    }

    #[test]
    fn a_stamp_of_a_clock_that_is_ahead_is_read_as_what_it_was_at_the_latest() {
        // The server's second had just begun, or was about to end.
        assert_eq!(told(1060, 1000).by_ours(at(2060)), at(1999));
        assert_eq!(told(1062, 1002).by_ours(at(2060)), at(1997));
    }

    #[test]
    fn a_stamp_of_a_clock_that_is_behind_is_taken_as_it_is() {
        assert_eq!(told(900, 1000).by_ours(at(2000)), at(2000));
    }

    #[test]
    fn what_is_no_answer_changes_nothing() {
        let mut clock = told(1060, 1000);
        clock.hear(&answer(QUESTION_ID, 5000), at(1001));
        clock.ask(&account(), at(1010));
        clock.hear(&answer("other", 5000), at(1010));
        assert!(!clock.is_due());
        // It took too long to say much; so it is asked again.
        clock.hear(&answer(QUESTION_ID, 5000), at(1021));
        assert_eq!(clock.by_ours(at(2060)), at(1999));
        assert!(clock.is_due());
    }

    #[test]
    fn who_tells_no_time_is_not_asked_at_once_again() {
        let mut clock = ServerClock::default();
        assert!(clock.is_due());
        clock.ask(&account(), at(1000));
        let silent = Iq::Result {
            from: None,
            to: None,
            id: QUESTION_ID.to_owned(),
            payload: None,
        };
        clock.hear(&silent, at(1000));
        assert!(!clock.is_due());
        assert_eq!(clock.by_ours(at(2000)), at(2000));
    }
}
