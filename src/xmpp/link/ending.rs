//! How a session ended, and what follows from it for the next one.

use std::time::Duration;

use super::super::DoorError;
use super::super::wish::why_unreadable;
use super::{Call, Link, State};

/// After so many sessions in a row that our own parser ended, the next one is without presence.
const UNREADABLE_SESSIONS: u32 = 2;

/// Counts the sessions in a row that our own parser ended soon after they began: the server sends
/// again what it could not be rid of.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    in_a_row: u32,
}

impl Unreadable {
    fn count(&mut self, ended_by_parser: bool, was_brief: bool) {
        self.in_a_row = match (ended_by_parser, was_brief) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => self.in_a_row.saturating_add(1),
        };
    }
}

impl Link {
    /// Whether presence may be sent. Servers hand out what they have kept for us to a session that
    /// has sent it.
    pub(in super::super) fn may_be_seen(&self) -> bool {
        self.unreadable.in_a_row < UNREADABLE_SESSIONS
    }

    /// Whether the guard's proof was not enough.
    pub(super) fn doubts_the_proof(&self) -> bool {
        self.unreadable.in_a_row > 0
    }

    /// The current connection is no more; decides how long to wait before the next.
    pub(super) fn hang_up(&mut self) -> Result<(), DoorError> {
        let bound = !matches!(self.state, State::Binding(_));
        self.state = State::Down;
        self.vitals.went_offline();
        let Some(Call { since, report, .. }) = self.call.take() else {
            return Ok(());
        };
        let error = report.take_stream_error().unwrap_or_default();
        let lived = since.elapsed();
        let (condition, text) = (error.condition.as_str(), error.text.as_str());
        tracing::warn!(
            condition,
            text,
            bound,
            lived_s = lived.as_secs(),
            "the line to the server broke"
        );
        if bound {
            self.look_at_last_words(&report.take_left(), lived);
        }
        self.wait = self
            .redial
            .after_session(lived, condition, rand::random())?;
        Ok(())
    }

    fn look_at_last_words(&mut self, last: &[u8], lived: Duration) {
        let why = why_unreadable(None, last);
        let was_brief = lived < self.settings.limits.long_lived;
        self.unreadable.count(why.is_some(), was_brief);
        match why {
            Some(why) if self.may_be_seen() => tracing::error!(
                why,
                "our XML parser cannot read what the server sent; until a session ends in another \
                 way, each stanza is read by all of the parser before it is passed on; please \
                 report this"
            ),
            Some(why) => tracing::error!(
                why,
                "our XML parser cannot read what the server sends again and again; the next \
                 session is without presence, so that the server keeps it: log in once with \
                 another client, which takes it, and start the daemon again"
            ),
            None => {}
        }
    }
}
