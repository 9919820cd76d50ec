//! A stanza on its way to the line, and what takes its place when it comes too late.

use futures::FutureExt;
use tokio::time::Instant;
use tokio_xmpp::Stanza;
use tokio_xmpp::stanzastream::{StanzaStage, StanzaToken};

/// A stanza on its way to the line.
#[derive(Debug)]
pub(super) struct Parcel {
    stanza: Box<Stanza>,
    late: Option<Late>,
}

/// What is sent instead of a stanza after this time.
#[derive(Debug)]
struct Late {
    after: Instant,
    instead: Box<Stanza>,
}

impl Parcel {
    /// One that turns into another one after this time.
    pub(super) fn turning(stanza: Stanza, after: Instant, instead: Stanza) -> Self {
        let instead = Box::new(instead);
        Self {
            late: Some(Late { after, instead }),
            ..stanza.into()
        }
    }

    /// What is to be sent now, and until when.
    pub(super) fn open(self, now: Instant) -> (Box<Stanza>, Option<Instant>) {
        match self.late {
            Some(Late { after, instead }) if now > after => (instead, None),
            late => (self.stanza, late.map(|late| late.after)),
        }
    }
}

impl<S: Into<Stanza>> From<S> for Parcel {
    fn from(stanza: S) -> Self {
        Self {
            stanza: Box::new(stanza.into()),
            late: None,
        }
    }
}

/// What was handed to a stream and is good for a while only. The stream holds it until the server
/// has confirmed it, and sends it again when the session is resumed.
#[derive(Default)]
pub(super) struct Perishables(Vec<(Instant, StanzaToken)>);

impl Perishables {
    pub(super) fn add(&mut self, until: Instant, token: StanzaToken) {
        self.0.retain_mut(|(_, token)| is_held(token));
        self.0.push((until, token));
    }

    /// Whether the stream holds what is good no longer.
    pub(super) fn are_owed(&mut self, now: Instant) -> bool {
        let mut perished = self.0.iter_mut().filter(|(until, _)| now > *until);
        perished.any(|(_, token)| is_held(token))
    }
}

fn is_held(token: &mut StanzaToken) -> bool {
    token.wait_for(StanzaStage::Acked).now_or_never().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use xmpp_parsers::presence::Presence;

    fn is_available(stanza: &Stanza) -> bool {
        matches!(stanza, Stanza::Presence(presence) if *presence == Presence::available())
    }

    #[test]
    fn a_parcel_turns_once_it_is_late() {
        let after = Instant::now() + Duration::from_secs(1);
        for (later, until) in [(0, Some(after)), (1, None)] {
            let (stanza, instead) = (Presence::available(), Presence::unavailable());
            let parcel = Parcel::turning(stanza.into(), after, instead.into());
            let now = after + Duration::from_millis(later);
            let (stanza, good_until) = parcel.open(now);
            assert_eq!((is_available(&stanza), good_until), (later == 0, until));
        }
        let (stanza, until) = Parcel::from(Presence::available()).open(after);
        assert_eq!((is_available(&stanza), until), (true, None));
    }
}
