//! What operators do to jobs.

use gristmill::buffer::{Advanced, Lookup, NewJob, Note, Operation};
use gristmill::job::{Action, Declined, Effect, Event, HeldFrom, RecordId, State, Step, Verdict};

use super::{Mill, change, report};
use crate::buffer::write::{NOW, at, job_id, job_of, key, owner, store_new};

const ACTIONS: [Action; 6] = [
    Action::Kill,
    Action::Hold,
    Action::Release,
    Action::Rerun,
    Action::Trash,
    Action::Restore,
];

pub fn operation(records: &[RecordId], action: Action) -> Operation {
    Operation {
        records: records.to_vec(),
        action,
        force: false,
        note: Note {
            who: "ada".to_owned(),
            reason: Some("disk full".to_owned()),
        },
        now: at(NOW + 50),
    }
}

type Answer = Lookup<Result<Effect, Declined>>;

impl Mill {
    pub async fn operate(&self, id: RecordId, action: Action) -> Answer {
        let operation = operation(&[id], action);
        self.operations.operate(operation).await.unwrap().remove(0)
    }
}

pub fn moved(state: State) -> Answer {
    Lookup::Found(Ok(Effect::Moved(state)))
}

/// Every action on every state, told and not, by force and not.
pub async fn every_action_does_what_the_rules_say(mill: &Mill) {
    let mut names = 0..;
    for action in ACTIONS {
        for (force, told) in [(false, false), (false, true), (true, false), (true, true)] {
            let jobs = State::ALL.map(|state| NewJob {
                state,
                ..job_of(key(&names.next().unwrap_or(0).to_string(), 1), "x")
            });
            let ids = store_new(&*mill.buffer, "o", jobs.to_vec()).await;
            if told {
                let told: Vec<_> = ids.iter().copied().zip(State::ALL).collect();
                mill.buffer.mark_told(&owner("o"), &told).await.unwrap();
            }
            let operation = Operation {
                force,
                ..operation(&ids, action)
            };
            let answers = mill.operations.operate(operation).await.unwrap();
            for ((state, id), answer) in State::ALL.into_iter().zip(ids).zip(answers) {
                let rule = action.apply(state, told, force);
                assert_eq!(answer, Lookup::Found(rule), "{action:?} {state:?}");
                check(mill, id, state, rule, action).await;
            }
        }
    }
}

async fn check(
    mill: &Mill,
    id: RecordId,
    before: State,
    rule: Result<Effect, Declined>,
    action: Action,
) {
    let (record, events) = mill.dossier(id).await;
    let by_ada = |event: &&Event| event.text == "by ada: disk full";
    let wished = record.kill_requested_at.is_some();
    match rule {
        Ok(Effect::Moved(state)) => {
            assert_eq!((record.state, record.since), (state, at(NOW + 50)));
            assert_eq!(events.iter().filter(by_ada).count(), 1);
            let reason = record
                .reason
                .is_some_and(|why| why.contains("ada: disk full"));
            let names = matches!(action, Action::Kill | Action::Hold | Action::Trash);
            assert_eq!(reason, names, "{action:?}");
            assert_eq!(wished, action == Action::Kill);
        }
        Ok(Effect::KillRequested) => {
            assert_eq!((record.state, record.since), (before, at(NOW)));
            assert_eq!(events[1].code, "kill_requested");
            assert!(wished);
        }
        Ok(Effect::AlreadyFinished(_)) | Err(_) => {
            assert_eq!((record.state, record.since), (before, at(NOW)));
            assert_eq!((events.len(), wished), (1, false));
        }
    }
}

pub async fn a_kill_is_a_wish_where_a_job_is_in_hand(mill: &Mill) {
    let job = mill.running("1").await;
    for _ in 0..2 {
        let answer = mill.operate(job.id, Action::Kill).await;
        assert_eq!(answer, Lookup::Found(Ok(Effect::KillRequested)));
    }
    let codes = ["accepted", "claim", "start", "kill_requested"];
    assert_eq!(mill.codes(job.id).await, codes);
    mill.advance(vec![change(&job, Step::Cancel)], 60).await;
    let answer = mill.operate(job.id, Action::Kill).await;
    let finished = Effect::AlreadyFinished(State::Cancelled);
    assert_eq!(answer, Lookup::Found(Ok(finished)));
    assert!(!mill.record(job.id).await.told);
}

pub async fn a_hold_keeps_the_time_that_a_job_waits_for(mill: &Mill) {
    let job = mill.running("1").await;
    let failed = mill
        .advance(vec![change(&job, Step::Fail { retry: true })], 55)
        .await;
    assert_eq!(failed, [Advanced::Done(State::Scheduled)]);
    let held = State::Held(HeldFrom::Scheduled);
    assert_eq!(mill.operate(job.id, Action::Hold).await, moved(held));
    let record = mill.record(job.id).await;
    assert_eq!(record.reason.as_deref(), Some("held by ada: disk full"));
    assert!(mill.claim(10, 100_000).await.is_empty());
    let released = mill.operate(job.id, Action::Release).await;
    assert_eq!(released, moved(State::Scheduled));
    let record = mill.record(job.id).await;
    assert_eq!((record.due_at, record.runs), (Some(at(NOW + 65)), 1));
    assert_eq!(record.reason, None);
    assert!(mill.claim(10, 64).await.is_empty());
    assert_eq!(mill.claim(10, 65).await.len(), 1);
}

pub async fn what_runs_again_begins_anew(mill: &Mill) {
    let job = mill.running("1").await;
    let wish = [(job_id("1"), job.id)];
    mill.buffer.kill(&owner("o"), &wish, at(NOW)).await.unwrap();
    let failed = gristmill::buffer::Change {
        report: Some(report(Verdict::Failed, 1)),
        ..change(&job, Step::Fail { retry: false })
    };
    mill.advance(vec![failed], 1).await;
    assert!(mill.record(job.id).await.result.is_some());
    let again = mill.operate(job.id, Action::Rerun).await;
    assert_eq!(again, moved(State::Ready));
    let record = mill.record(job.id).await;
    assert_eq!(
        (record.runs, record.abandons, record.token),
        (0, 0, job.token)
    );
    assert_eq!((record.kill_requested_at, record.result), (None, None));
    assert_eq!((record.started_at, record.reason), (None, None));
    assert_eq!(record.key, key("1", 1));
    let late = mill.advance(vec![change(&job, Step::Succeed)], 2).await;
    assert_eq!(late, [Advanced::Stale(State::Ready)]);
    let again = mill.claim(1, 3).await.remove(0);
    assert_eq!((again.id, again.token.0, again.runs), (job.id, 2, 0));
    assert_eq!(again.payload, job.payload);
}

pub async fn what_was_told_is_undone_by_force_only(mill: &Mill) {
    let job = mill.running("1").await;
    mill.advance(vec![change(&job, Step::Trash)], 1).await;
    let told = [(job.id, State::Trashed)];
    let marked = mill.buffer.mark_told(&owner("o"), &told).await.unwrap();
    assert_eq!(marked, [true]);
    let declined = mill.operate(job.id, Action::Restore).await;
    assert_eq!(declined, Lookup::Found(Err(Declined::Told)));
    let forced = Operation {
        force: true,
        ..operation(&[job.id], Action::Restore)
    };
    let answers = mill.operations.operate(forced).await.unwrap();
    assert_eq!(answers, [moved(State::Ready)]);
    assert!(!mill.record(job.id).await.told);
    // A word that was true when it was looked up is not any more.
    let late = mill.buffer.mark_told(&owner("o"), &told).await.unwrap();
    assert_eq!(late, [false]);
}

pub async fn a_trashed_run_is_stale(mill: &Mill) {
    let job = mill.running("1").await;
    let declined = mill.operate(job.id, Action::Trash).await;
    let in_hand = Declined::InHand(State::Running);
    assert_eq!(declined, Lookup::Found(Err(in_hand)));
    let forced = Operation {
        force: true,
        ..operation(&[job.id], Action::Trash)
    };
    mill.operations.operate(forced).await.unwrap();
    assert_eq!(mill.record(job.id).await.holder, None);
    let late = mill.advance(vec![change(&job, Step::Succeed)], 60).await;
    assert_eq!(late, [Advanced::Stale(State::Trashed)]);
    let claims = [(job.id, job.token)];
    let orders = mill.claims.orders(&super::holder(), "d", &claims).await;
    assert_eq!(orders.unwrap().lost, claims);
}

pub async fn what_is_asked_twice_is_done_once(mill: &Mill) {
    let ids = mill.ready(&["1", "2", "3"]).await;
    mill.place.sql(&format!(
        "UPDATE jobs SET state = 'bogus' WHERE id = {}",
        ids[2]
    ));
    let asked = [ids[0], RecordId::MAX, ids[0], ids[1], ids[2]];
    let holding = operation(&asked, Action::Hold);
    let answers = mill.operations.operate(holding).await.unwrap();
    let held = moved(State::Held(HeldFrom::Ready));
    assert_eq!(answers[0], held);
    assert_eq!(answers[1], Lookup::Absent);
    assert!(matches!(
        answers[2],
        Lookup::Found(Err(Declined::Illegal(_)))
    ));
    assert_eq!(answers[3..], [held, Lookup::Unreachable]);
    assert_eq!(mill.codes(ids[0]).await, ["accepted", "hold"]);
    let none = operation(&[], Action::Kill);
    assert!(mill.operations.operate(none).await.unwrap().is_empty());
}
