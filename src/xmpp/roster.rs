//! Who may speak. Decided by the sender's JID alone, before anything of a payload is looked at.

use tokio::time::{Duration, Instant};
use xmpp_parsers::jid::Jid;

use super::settings::Supervisor;

/// At most one line of log about strangers in this time.
const REPORT_EVERY: Duration = Duration::from_mins(1);

/// The peers that may speak.
#[derive(Clone, Debug)]
pub struct Roster {
    supervisors: Vec<Supervisor>,
}

impl Roster {
    /// These and no others.
    #[must_use]
    pub fn new(supervisors: Vec<Supervisor>) -> Self {
        Self { supervisors }
    }

    /// The supervisor that this sender is; an entry for the full JID goes before one for the bare
    /// JID. JIDs are compared as they are normalised when they are parsed.
    #[must_use]
    pub fn find(&self, from: &Jid) -> Option<&Supervisor> {
        let bare = Jid::from(from.to_bare());
        let named = |jid: &Jid| self.supervisors.iter().find(|peer| peer.jid == *jid);
        named(from).or_else(|| named(&bare))
    }
}

/// Counts who spoke and may not.
#[derive(Debug, Default)]
pub struct Strangers {
    total: u64,
    unreported: u64,
    reported: Option<Instant>,
}

impl Strangers {
    /// Counts one, and logs it unless the log was told of one a moment ago.
    pub fn note(&mut self, from: &Jid) {
        self.total += 1;
        self.unreported += 1;
        if self
            .reported
            .is_some_and(|last| last.elapsed() < REPORT_EVERY)
        {
            return;
        }
        tracing::warn!(
            last = %from,
            stanzas = self.unreported,
            total = self.total,
            "stanzas from senders that are no configured [[supervisor]] were ignored"
        );
        self.unreported = 0;
        self.reported = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Owner;
    use rstest::rstest;

    fn roster() -> Roster {
        let entries = [
            ("Supervisor@Grid.Example", "prodsys"),
            ("supervisor@grid.example/special", "special"),
            ("other@grid.example/only", "other"),
        ];
        let entries = entries.map(|(jid, owner)| Supervisor {
            jid: jid.parse().unwrap(),
            owner: Owner::new(owner).unwrap(),
            notify: false,
        });
        Roster::new(entries.into())
    }

    #[rstest]
    #[case("supervisor@grid.example/any", Some("prodsys"))]
    #[case("supervisor@grid.example", Some("prodsys"))]
    #[case("SUPERVISOR@GRID.EXAMPLE/x", Some("prodsys"))]
    #[case("supervisor@grid.example/special", Some("special"))]
    #[case("supervisor@grid.example/Special", Some("prodsys"))]
    #[case("other@grid.example/only", Some("other"))]
    #[case("other@grid.example/else", None)]
    #[case("other@grid.example", None)]
    #[case("supervisor@evil.example/special", None)]
    #[case("grid.example", None)]
    #[case("xsupervisor@grid.example/special", None)]
    fn senders_are_matched_by_normalised_jid(#[case] from: &str, #[case] owner: Option<&str>) {
        let roster = roster();
        let found = roster.find(&from.parse().unwrap());
        assert_eq!(found.map(|peer| peer.owner.as_str()), owner);
    }
}
