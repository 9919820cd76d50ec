//! Why a job stands where it stands, and when it is next looked at: one sentence for each, made
//! from what the store knows.

use jiff::Timestamp;

use super::super::drain;
use super::present::{age, count, one_line, time_and_age};
use crate::buffer::{Drain, OpenBreaker};
use crate::job::{HeldFrom, Record, State};

/// What a sentence depends on beside the record.
pub(super) struct Surroundings {
    /// The time of day.
    pub(super) now: Timestamp,
    /// The configured daemon's full JID.
    pub(super) daemon: String,
    /// Who drains.
    pub(super) drains: Vec<Drain>,
    /// Who starts no jobs, for its host is not fit for them.
    pub(super) breakers: Vec<OpenBreaker>,
    /// Jobs that daemons hold.
    pub(super) in_hand: InHand,
    /// Whether other daemons may use the store, so that claims have leases.
    pub(super) shared: bool,
}

/// Jobs that are claimed or running.
#[derive(Clone, Copy, Default)]
pub(super) struct InHand {
    /// How many, as far as they were counted.
    pub(super) jobs: u64,
    /// How many different daemons hold them.
    pub(super) holders: u64,
}

/// What is said of a job.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sentence {
    /// What it waits for, or how it ended.
    pub(super) why: String,
    /// When it is next looked at.
    pub(super) next: String,
    /// The same as a time, where there is one.
    pub(super) next_at: Option<Timestamp>,
}

pub(super) fn of(record: &Record, around: &Surroundings) -> Sentence {
    match record.state {
        State::Scheduled => scheduled(record, around),
        State::Waiting => waiting(record),
        State::Ready => ready(record, around),
        State::Claimed => claimed(record, around),
        State::Running => running(record, around),
        State::Held(from) => held(record, from, around),
        State::Succeeded | State::Failed | State::TimedOut | State::Cancelled | State::Trashed => {
            ended(record, around)
        }
    }
}

fn scheduled(record: &Record, around: &Surroundings) -> Sentence {
    let why = match record.runs {
        0 => "it was given a time to start at".to_owned(),
        1 => format!("it backs off: its run failed{}", because(record)),
        runs => format!(
            "it backs off: {runs} of its runs failed, the last one{}",
            because(record)
        ),
    };
    match future(record, around.now) {
        Some(due) => due_at(why, due, around.now),
        None => due(record, "its time has come", around),
    }
}

fn waiting(record: &Record) -> Sentence {
    let condition = record.reason.as_deref().map(one_line);
    Sentence {
        why: format!(
            "it waits for {}",
            condition
                .as_deref()
                .unwrap_or("a condition that is not met")
        ),
        next: "when that is met".to_owned(),
        next_at: None,
    }
}

fn ready(record: &Record, around: &Surroundings) -> Sentence {
    match future(record, around.now) {
        Some(due) => {
            let why = format!(
                "it backs off: it was abandoned {}{}",
                count(record.abandons.into(), "time"),
                because(record)
            );
            due_at(why, due, around.now)
        }
        None => due(record, "it is due", around),
    }
}

/// A job that nothing but the daemons keeps from running.
fn due(record: &Record, why: &str, around: &Surroundings) -> Sentence {
    let ours = |drain: &&Drain| drain.daemon.as_ref() == Some(&around.daemon);
    let all = around.drains.iter().find(|drain| drain.daemon.is_none());
    let drain = all.or_else(|| around.drains.iter().find(ours));
    let InHand { jobs, holders } = around.in_hand;
    let (obstacle, next) = match (drain, jobs) {
        (None, _) if !around.breakers.is_empty() => (
            unfit(&around.breakers, around.now),
            "within a second of the host's being fit, or within half a minute of a start that \
             failed; or by another daemon of this store",
        ),
        (Some(drain), _) => (
            format!("but {}", drain::told(drain, around.now)),
            match drain.daemon {
                None => "when `gristmill undrain --all` has ended that",
                Some(_) => {
                    "when `gristmill undrain` has ended that, or by another daemon of \
                            this store"
                }
            },
        ),
        (None, 0) => (
            "but no daemon holds any job of this store: either one is just about to take it, or \
             none is running with conductor.enabled"
                .to_owned(),
            "within a second of a daemon's being there",
        ),
        (None, _) => (
            format!(
                "and waits for a free slot: {} in the hands of {}",
                are(jobs),
                count(holders, "daemon")
            ),
            "at once when a slot is free; higher priority goes first, then age",
        ),
    };
    let given_back = record.reason.as_deref().map(one_line);
    let given_back = given_back.map_or(String::new(), |reason| format!(" ({reason})"));
    Sentence {
        why: format!("{why}{given_back}, {obstacle}"),
        next: next.to_owned(),
        next_at: None,
    }
}

/// Whose hosts are not fit to start jobs.
fn unfit(breakers: &[OpenBreaker], now: Timestamp) -> String {
    let one = |open: &OpenBreaker| {
        let (since, reason) = (time_and_age(open.since, now), one_line(&open.reason));
        format!("{} since {since}: {reason}", open.daemon)
    };
    let all: Vec<_> = breakers.iter().map(one).collect();
    let all = all.join("; ");
    format!("but no job is started, for the host is not fit for it, by daemon {all}")
}

fn claimed(record: &Record, around: &Surroundings) -> Sentence {
    let holder = holder(record);
    if let Some(wished) = record.kill_requested_at {
        return Sentence {
            why: format!(
                "somebody wished it killed {}, and {holder}, which holds it, ends it",
                ago(wished, around.now)
            ),
            next: killed_soon("conductor.lease", around),
            next_at: None,
        };
    }
    Sentence {
        why: format!(
            "{holder} took it {} and is about to start it (claim {})",
            ago(record.since, around.now),
            record.token
        ),
        next: if around.shared {
            "when it is started; if that daemon dies before, it is ready again after the lease \
             (conductor.lease)"
        } else {
            "when it is started; if that daemon dies before, when a daemon of this store is \
             started again"
        }
        .to_owned(),
        next_at: None,
    }
}

fn running(record: &Record, around: &Surroundings) -> Sentence {
    let holder = holder(record);
    let began = record.started_at.unwrap_or(record.since);
    if let Some(wished) = record.kill_requested_at {
        return Sentence {
            why: format!(
                "it runs, and somebody wished it killed {}: {holder} asks it to stop, and after \
                 a grace time stops it",
                ago(wished, around.now)
            ),
            next: killed_soon("conductor.run_lease", around),
            next_at: None,
        };
    }
    let progress = record.progress.as_ref().map(|progress| {
        let (percent, words) = (progress.permille / 10, one_line(&progress.words));
        let words = words.trim();
        if words.is_empty() {
            format!(", {percent} % done")
        } else {
            format!(", {percent} % done: {words}")
        }
    });
    Sentence {
        why: format!(
            "it runs with {holder} since {}{}",
            time_and_age(began, around.now),
            progress.unwrap_or_default()
        ),
        next: if around.shared {
            "when it ends; if that daemon dies, when it is back, or after the lease of its run \
             (conductor.run_lease)"
        } else {
            "when it ends; if that daemon dies, when a daemon of this store is started again"
        }
        .to_owned(),
        next_at: None,
    }
}

fn held(record: &Record, from: HeldFrom, around: &Surroundings) -> Sentence {
    let reason = record.reason.as_deref().map(one_line);
    Sentence {
        why: format!(
            "it was set aside {} while it was {}: {}",
            ago(record.since, around.now),
            State::from(from),
            reason.as_deref().unwrap_or("no reason was given")
        ),
        next: format!("never, until `gristmill job release {}`", record.id),
        next_at: None,
    }
}

fn ended(record: &Record, around: &Surroundings) -> Sentence {
    let word = match record.state {
        State::TimedOut => "it took longer than it may",
        State::Cancelled => "it was killed",
        State::Trashed => "it was given up",
        State::Failed => "it failed",
        _ => "it ended well",
    };
    let undo = if record.state == State::Trashed {
        "restore"
    } else {
        "rerun"
    };
    let force = if record.told {
        " --force` (its supervisor knows that it is finished)"
    } else {
        "`"
    };
    Sentence {
        why: format!(
            "{word} {}{}",
            ago(record.since, around.now),
            because(record)
        ),
        next: format!(
            "never, unless by `gristmill job {undo} {}{force}",
            record.id
        ),
        next_at: None,
    }
}

/// Why the job's last try came to nothing, as far as that is known.
fn because(record: &Record) -> String {
    let fault = record
        .result
        .as_ref()
        .and_then(|result| result.fault.as_ref());
    let fault = fault
        .map(|fault| &fault.text)
        .filter(|_| record.state != State::Cancelled);
    let reason = record.reason.as_ref().or(fault);
    reason.map_or(String::new(), |reason| format!(" ({})", one_line(reason)))
}

fn due_at(why: String, due: Timestamp, now: Timestamp) -> Sentence {
    Sentence {
        why,
        next: format!("when it is due, {}", time_and_age(due, now)),
        next_at: Some(due),
    }
}

/// When the job is due, where that is still to come.
fn future(record: &Record, now: Timestamp) -> Option<Timestamp> {
    record.due_at.filter(|due| *due > now)
}

fn killed_soon(lease: &str, around: &Surroundings) -> String {
    let soon = "within a second if that daemon lives, else when";
    if around.shared {
        format!("{soon} its lease has lapsed ({lease})")
    } else {
        format!("{soon} a daemon of this store is started again")
    }
}

fn holder(record: &Record) -> String {
    let holder = record.holder.as_deref().map(one_line);
    holder.map_or("a daemon".to_owned(), |holder| format!("daemon {holder}"))
}

fn ago(time: Timestamp, now: Timestamp) -> String {
    format!("{} ago", age(time.min(now), now))
}

fn are(jobs: u64) -> String {
    let verb = if jobs == 1 { "is" } else { "are" };
    format!("{} {verb}", count(jobs, "job"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{Holder, Note};
    use crate::job::Progress;

    use super::super::list::tests::{NOW, at, record};

    const DAEMON: &str = "executor@grid.example/panda";

    fn around() -> Surroundings {
        Surroundings {
            now: at(NOW),
            daemon: DAEMON.to_owned(),
            drains: Vec::new(),
            breakers: Vec::new(),
            in_hand: InHand {
                jobs: 3,
                holders: 2,
            },
            shared: true,
        }
    }

    fn drain(daemon: Option<&str>) -> Drain {
        Drain {
            daemon: daemon.map(str::to_owned),
            on: true,
            note: Note {
                who: "ada@mill".to_owned(),
                reason: Some("new disks".to_owned()),
            },
            since: at(NOW - 60),
        }
    }

    fn why(record: &Record) -> String {
        of(record, &around()).why
    }

    #[test]
    fn every_state_has_one_sentence_without_an_end() {
        for state in State::ALL {
            let sentence = of(&record(state), &around());
            let begins_well = ["it ", "its ", "a daemon "]
                .iter()
                .any(|word| sentence.why.starts_with(word));
            assert!(begins_well, "{state}: {sentence:?}");
            assert!(!sentence.why.ends_with('.') && !sentence.next.is_empty());
        }
    }

    #[test]
    fn a_failed_run_waits_until_it_is_due() {
        let backing_off = Record {
            runs: 1,
            due_at: Some(at(NOW + 90)),
            reason: Some("exit code 75".to_owned()),
            ..record(State::Scheduled)
        };
        let sentence = of(&backing_off, &around());
        assert_eq!(sentence.why, "it backs off: its run failed (exit code 75)");
        assert_eq!(sentence.next_at, Some(at(NOW + 90)));
        assert!(sentence.next.ends_with("(in 1m)"), "{sentence:?}");
        let abandoned = Record {
            abandons: 2,
            state: State::Ready,
            ..backing_off
        };
        assert!(why(&abandoned).contains("abandoned 2 times"));
    }

    #[test]
    fn a_due_job_names_what_keeps_it() {
        let ready = record(State::Ready);
        let said = |around: &Surroundings| of(&ready, around).why;
        assert_eq!(
            said(&around()),
            "it is due, and waits for a free slot: 3 jobs are in the hands of 2 daemons"
        );
        let nobody = Surroundings {
            in_hand: InHand::default(),
            ..around()
        };
        assert!(said(&nobody).contains("no daemon holds any job"));
        let other = Surroundings {
            drains: vec![drain(Some("another@grid.example/x"))],
            ..around()
        };
        assert!(said(&other).contains("free slot"));
        for daemon in [None, Some(DAEMON)] {
            let drained = Surroundings {
                drains: vec![drain(daemon)],
                ..around()
            };
            let said = said(&drained);
            assert!(said.contains("ada@mill: new disks"), "{said}");
            assert!(of(&ready, &drained).next.contains("undrain"));
        }
    }

    #[test]
    fn a_due_job_names_the_fault_of_a_host() {
        let unfit = Surroundings {
            breakers: vec![OpenBreaker {
                holder: Holder::new("mill-1".to_owned()).unwrap(),
                daemon: DAEMON.to_owned(),
                reason: "/programs is empty".to_owned(),
                since: at(NOW - 60),
                seen: at(NOW),
            }],
            ..around()
        };
        let said = of(&record(State::Ready), &unfit).why;
        assert!(said.contains("no job is started"), "{said}");
        assert!(
            said.contains(DAEMON) && said.contains("(1m ago): /programs is empty"),
            "{said}"
        );
        let drained = Surroundings {
            drains: vec![drain(None)],
            ..unfit
        };
        assert!(of(&record(State::Ready), &drained).why.contains("ada@mill"));
    }

    #[test]
    fn a_wish_to_kill_is_what_a_held_job_waits_for() {
        let wished = Record {
            kill_requested_at: Some(at(NOW - 3)),
            holder: Some("mill-1".to_owned()),
            ..record(State::Running)
        };
        let said = why(&wished);
        assert!(
            said.contains("killed 3s ago") && said.contains("mill-1"),
            "{said}"
        );
        let running = Record {
            kill_requested_at: None,
            progress: Some(Progress {
                permille: 255,
                words: "event 51".to_owned(),
            }),
            ..wished
        };
        assert!(why(&running).ends_with("25 % done: event 51"));
    }

    #[test]
    fn a_lease_is_named_only_where_there_is_one() {
        let alone = Surroundings {
            shared: false,
            ..around()
        };
        for state in [State::Claimed, State::Running] {
            for kill_requested_at in [None, Some(at(NOW - 3))] {
                let record = Record {
                    kill_requested_at,
                    ..record(state)
                };
                assert!(of(&record, &around()).next.contains("lease"));
                let next = of(&record, &alone).next;
                assert!(next.contains("started again") && !next.contains("lease"));
            }
        }
    }

    #[test]
    fn what_has_ended_says_how_to_undo_it() {
        let next = |record: &Record| of(record, &around()).next;
        assert_eq!(
            next(&record(State::Trashed)),
            "never, unless by `gristmill job restore 7`"
        );
        let told = Record {
            told: true,
            ..record(State::Failed)
        };
        assert!(next(&told).contains("rerun 7 --force`"));
    }
}
