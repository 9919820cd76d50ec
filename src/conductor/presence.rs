//! Whether this is the only process that conducts under its holder's name. A name stands in a file of the
//! runs' folder, and files are copied: with a machine's image, or from a backup. So each process has a mark
//! in the store, which it changes all the time. One that finds a mark that is not its own, and sees it
//! change, is the second of two.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::context::Context;
use super::{Failure, Leases};
use crate::buffer::{BufferError, Presence, Seen};
use crate::job::RunsFolder;

/// How often the mark is changed.
const SHOW_EVERY: Duration = Duration::from_secs(2);

/// A mark that did not change for so many of these times may be of a process that is gone.
const MISSED: u32 = 4;

/// The mark of this process.
pub(super) struct Attendance {
    context: Arc<Context>,
    /// The mark that is known to be in the store; 0: none of ours.
    known: i64,
    /// The one that may be there, for the answer was lost.
    tried: i64,
    before: Predecessor,
    show_at: Instant,
}

/// A process that conducted under our name, as long as it is not clear whether it still does.
#[derive(Default)]
struct Predecessor(Option<(i64, Instant)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Gone,
    Unclear,
    Lives,
}

impl Attendance {
    pub fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            known: 0,
            tried: 0,
            before: Predecessor::default(),
            show_at: Instant::now(),
        }
    }

    /// Whether no other process conducts under our name; `false`: not known yet, or the store did not
    /// answer. Asked again and again before anything is done with claims of that name.
    pub async fn begin(&mut self) -> Result<bool, Failure> {
        let Some(leases) = self.context.settings.leases else {
            return Ok(true);
        };
        let asked = Instant::now();
        let seen = match self.show().await {
            Err(_) => return Ok(false),
            Ok(None) => {
                self.context.counters().crowded.set(0);
                return Ok(true);
            }
            Ok(Some(seen)) => seen,
        };
        let silence = silence(self.context.settings.folder.as_ref(), &seen, leases);
        match self.before.judge(seen.mark, silence, asked, Instant::now()) {
            Verdict::Gone => self.known = seen.mark,
            Verdict::Unclear => {
                tracing::debug!(
                    daemon = seen.daemon,
                    ?silence,
                    "a process conducted under our name; waiting whether it is gone"
                );
            }
            Verdict::Lives => return Err(self.crowded(seen)),
        }
        Ok(false)
    }

    /// Shows that we are here. Fails where another process has taken our name.
    pub async fn keep(&mut self) -> Result<(), Failure> {
        if self.context.settings.leases.is_none() || Instant::now() < self.show_at {
            return Ok(());
        }
        match self.show().await {
            Ok(Some(seen)) => Err(self.crowded(seen)),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    async fn show(&mut self) -> Result<Option<Seen>, BufferError> {
        if self.tried == self.known {
            self.tried = rand::random_range(1..=i64::MAX);
        }
        let settings = &self.context.settings;
        let folder = settings.folder.as_ref();
        let presence = Presence {
            holder: settings.holder.clone(),
            seen: Seen {
                mark: self.tried,
                folder: folder.map(ToString::to_string).unwrap_or_default(),
                daemon: settings.daemon.clone(),
            },
            over: [self.known, self.tried],
        };
        self.show_at = Instant::now() + SHOW_EVERY;
        let seen = self.context.claims.appear(&presence).await?;
        if seen.is_none() {
            self.known = self.tried;
        }
        Ok(seen)
    }

    fn crowded(&self, seen: Seen) -> Failure {
        self.context.counters().crowded.set(1);
        Failure::Crowded(seen.daemon)
    }
}

impl Predecessor {
    /// Its mark was seen at some time between `asked` and `answered`.
    fn judge(
        &mut self,
        mark: i64,
        silence: Duration,
        asked: Instant,
        answered: Instant,
    ) -> Verdict {
        let (known, since) = *self.0.get_or_insert((mark, answered));
        if silence.is_zero() {
            Verdict::Gone
        } else if known != mark {
            Verdict::Lives
        } else if asked.saturating_duration_since(since) >= silence {
            Verdict::Gone
        } else {
            Verdict::Unclear
        }
    }
}

/// How long a process must be silent to be taken for gone: not at all where its folder is ours, which we
/// have locked. A boot ends all runs. Where only the name is ours, its runs may live elsewhere, and end by
/// themselves with their lease.
fn silence(ours: Option<&RunsFolder>, seen: &Seen, leases: Leases) -> Duration {
    let silence = match (ours, RunsFolder::parse(&seen.folder)) {
        (Some(ours), Some(theirs)) if ours.is_same(&theirs) => return Duration::ZERO,
        (Some(ours), Some(theirs)) if !ours.is_after_boot_of(&theirs) => {
            leases.running + leases.grace
        }
        _ => leases.claimed,
    };
    silence.max(SHOW_EVERY * MISSED)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASES: Leases = Leases {
        claimed: Duration::from_secs(30),
        running: Duration::from_mins(15),
        grace: Duration::from_secs(10),
    };

    #[test]
    fn a_process_is_gone_when_its_folder_is_ours_or_it_was_silent() {
        let ours = RunsFolder::parse("boot 1 2 machine");
        let silence = |folder: &str, leases| {
            let seen = Seen {
                mark: 1,
                folder: folder.to_owned(),
                daemon: String::new(),
            };
            silence(ours.as_ref(), &seen, leases).as_secs()
        };
        assert_eq!(silence("boot 1 2 machine", LEASES), 0);
        assert_eq!(silence("reboot 3 2 machine", LEASES), 30);
        assert_eq!(silence("boot 1 3 machine", LEASES), 910);
        assert_eq!(silence("boot 1 2 other", LEASES), 910);
        assert_eq!(silence("", LEASES), 30);
        let short = Leases {
            claimed: Duration::from_secs(1),
            ..LEASES
        };
        assert_eq!(silence("", short), 8);
    }

    #[test]
    fn a_process_lives_when_its_mark_changes() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let silence = Duration::from_secs(30);
        let mut before = Predecessor::default();
        let mut judge =
            |mark, asked, answered| before.judge(mark, silence, at(asked), at(answered));
        assert_eq!(judge(1, 0, 5), Verdict::Unclear);
        assert_eq!(judge(1, 34, 50), Verdict::Unclear);
        assert_eq!(judge(1, 35, 50), Verdict::Gone);
        assert_eq!(judge(2, 60, 60), Verdict::Lives);
        assert_eq!(judge(2, 600, 600), Verdict::Lives);
        let here = before.judge(2, Duration::ZERO, at(0), at(0));
        assert_eq!(here, Verdict::Gone);
    }
}
