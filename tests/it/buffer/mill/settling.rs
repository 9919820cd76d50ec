//! What becomes of claimed jobs.

use gristmill::buffer::{Advanced, Change, Lookup, NewJob};
use gristmill::job::{
    Fence, Level, OutputFile, RecordId, RunFault, RunReport, State, Step, Token, Transition,
    Verdict,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{LIMITS, Mill, change, change_of, report};
use crate::buffer::write::{NOW, at, job, job_id, owner, store_new};

const STEPS: [Step; 9] = [
    Step::Start,
    Step::GiveBack,
    Step::Abandon,
    Step::Succeed,
    Step::Fail { retry: false },
    Step::Fail { retry: true },
    Step::TimeOut,
    Step::Cancel,
    Step::Trash,
];

pub async fn a_run_goes_through_its_states(mill: &Mill) {
    let job = mill.claimed("1").await;
    let started = mill.advance(vec![change(&job, Step::Start)], 10).await;
    assert_eq!(started, [Advanced::Done(State::Running)]);
    let running = mill.record(job.id).await;
    assert_eq!(
        (running.state, running.since),
        (State::Running, at(NOW + 10))
    );
    assert_eq!(running.started_at, Some(at(NOW + 10)));
    assert_eq!((running.holder.is_some(), running.result), (true, None));

    let left = RunReport {
        outputs: vec![OutputFile {
            logical_name: "out".to_owned(),
            size: 3,
            sha256: [7; 32],
        }],
        ..report(Verdict::Succeeded, 0)
    };
    let ended = Change {
        report: Some(left.clone()),
        ..change(&job, Step::Succeed)
    };
    let ended = mill.advance(vec![ended], 20).await;
    assert_eq!(ended, [Advanced::Done(State::Succeeded)]);
    let done = mill.record(job.id).await;
    assert_eq!((done.state, done.since), (State::Succeeded, at(NOW + 20)));
    assert_eq!((done.holder, done.told, done.reason), (None, false, None));
    assert_eq!((done.token, done.runs, done.abandons), (job.token, 0, 0));
    assert_eq!(done.started_at, Some(at(NOW + 10)));
    assert_eq!(done.result.as_deref(), Some(&left));
    let found = mill
        .buffer
        .find_records(&owner("o"), &[(job_id("1"), job.id)])
        .await
        .unwrap();
    assert_eq!(found, [Lookup::Found(mill.record(job.id).await)]);
    let events = mill.events(job.id).await;
    let codes: Vec<_> = events.iter().map(|event| &*event.code).collect();
    assert_eq!(codes, ["accepted", "claim", "start", "succeed"]);
    assert!(events.iter().all(|event| event.level == Level::Event));
    assert_eq!(events[3].at, at(NOW + 20));
}

pub async fn another_claims_word_changes_nothing(mill: &Mill) {
    let first = mill.claimed("1").await;
    mill.advance(vec![change(&first, Step::GiveBack)], 1).await;
    let second = mill.claim(1, 2).await.remove(0);
    let before = mill.record(first.id).await;
    for step in STEPS {
        for token in [
            first.token,
            Token(0),
            Token(second.token.0 + 1),
            Token(u64::MAX),
        ] {
            let stale = Change {
                reason: Some("it must not be seen".to_owned()),
                report: Some(report(Verdict::Failed, 1)),
                ..change_of(first.id, token, step)
            };
            let answer = mill.advance(vec![stale], 3).await;
            assert_eq!(
                answer,
                [Advanced::Stale(State::Claimed)],
                "{step:?} {token}"
            );
        }
    }
    assert_eq!(mill.record(first.id).await, before);
    let codes = ["accepted", "claim", "give_back", "claim"];
    assert_eq!(mill.codes(first.id).await, codes);
    // Nobody holds it: nobody settles it.
    mill.advance(vec![change(&second, Step::GiveBack)], 4).await;
    let late = mill.advance(vec![change(&second, Step::Succeed)], 5).await;
    assert_eq!(late, [Advanced::Stale(State::Ready)]);
}

pub async fn several_changes_of_one_record_follow_each_other(mill: &Mill) {
    let (one, two) = (mill.claimed("1").await, mill.claimed("2").await);
    let failed = Change {
        reason: Some("no disk".to_owned()),
        report: Some(report(Verdict::Failed, 65)),
        ..change(&one, Step::Fail { retry: false })
    };
    let answers = mill
        .advance(
            vec![
                change(&one, Step::Start),
                change(&two, Step::GiveBack),
                failed,
                change(&one, Step::GiveBack),
                change(&two, Step::Start),
            ],
            9,
        )
        .await;
    assert_eq!(
        answers,
        [
            Advanced::Done(State::Running),
            Advanced::Done(State::Ready),
            Advanced::Done(State::Failed),
            Advanced::Stale(State::Failed),
            Advanced::Stale(State::Ready),
        ]
    );
    let record = mill.record(one.id).await;
    assert_eq!((record.state, record.runs), (State::Failed, 1));
    assert_eq!(record.reason.as_deref(), Some("no disk"));
    assert_eq!(record.started_at, Some(at(NOW + 9)));
    assert_eq!(record.result.unwrap().exit_code, Some(65));
    let events = mill.events(one.id).await;
    let codes: Vec<_> = events.iter().map(|event| &*event.code).collect();
    assert_eq!(codes, ["accepted", "claim", "start", "fail"]);
    assert_eq!(
        (events[3].level, &*events[3].text),
        (Level::Error, "no disk")
    );
    assert_eq!(mill.codes(two.id).await, ["accepted", "claim", "give_back"]);
}

pub async fn repeating_is_harmless(mill: &Mill) {
    let job = mill.claimed("1").await;
    for seconds in [1, 2] {
        let started = mill.advance(vec![change(&job, Step::Start)], seconds).await;
        assert_eq!(started, [Advanced::Done(State::Running)]);
    }
    assert_eq!(mill.record(job.id).await.started_at, Some(at(NOW + 1)));
    let failed = change(&job, Step::Fail { retry: true });
    let first = mill.advance(vec![failed.clone()], 3).await;
    assert_eq!(first, [Advanced::Done(State::Scheduled)]);
    let before = mill.record(job.id).await;
    let again = mill.advance(vec![failed], 4).await;
    assert_eq!(again, [Advanced::Stale(State::Scheduled)]);
    assert_eq!(mill.record(job.id).await, before);
    assert_eq!(before.runs, 1);
    let codes = ["accepted", "claim", "start", "retry"];
    assert_eq!(mill.codes(job.id).await, codes);
}

pub async fn what_is_not_there_is_missing(mill: &Mill) {
    let (good, bad) = (mill.claimed("1").await, mill.claimed("2").await);
    mill.place
        .sql(&format!("UPDATE jobs SET runs = -1 WHERE id = {}", bad.id));
    let answers = mill
        .advance(
            vec![
                change_of(RecordId::MAX, Token(1), Step::Start),
                change(&bad, Step::Start),
                change(&good, Step::Start),
            ],
            1,
        )
        .await;
    let done = Advanced::Done(State::Running);
    assert_eq!(answers, [Advanced::Missing, Advanced::Missing, done]);
    assert!(mill.advance(Vec::new(), 1).await.is_empty());
}

pub async fn a_thousand_are_settled_at_once(mill: &Mill) {
    let jobs = (0..1000).map(|n| job(&n.to_string())).collect();
    store_new(&*mill.buffer, "o", jobs).await;
    let claimed = mill.claim(1000, 0).await;
    assert_eq!(claimed.len(), 1000);
    let mut changes = Vec::new();
    let steps = [
        Step::Succeed,
        Step::Fail { retry: false },
        Step::Fail { retry: true },
    ];
    for (n, job) in claimed.iter().enumerate() {
        changes.push(change(job, Step::Start));
        changes.push(Change {
            dice: f64::from(u32::try_from(n).unwrap()) / 1000.0,
            report: Some(report(Verdict::Failed, i32::try_from(n).unwrap())),
            ..change(job, steps[n % 3])
        });
    }
    let answers = mill.advance(changes, 1).await;
    let states = [State::Succeeded, State::Failed, State::Scheduled];
    for (n, job) in claimed.iter().enumerate() {
        assert_eq!(answers[2 * n], Advanced::Done(State::Running));
        assert_eq!(answers[2 * n + 1], Advanced::Done(states[n % 3]));
        if n % 100 < 3 {
            let record = mill.record(job.id).await;
            assert_eq!(record.state, states[n % 3]);
            assert_eq!(record.result.unwrap().exit_code, i32::try_from(n).ok());
        }
    }
    for (state, count) in [("succeeded", 334), ("failed", 333), ("scheduled", 333)] {
        let query = format!("SELECT COUNT(*) FROM jobs WHERE state = '{state}'");
        assert_eq!(mill.place.number(&query), count, "{state}");
    }
    let events = mill.place.number("SELECT COUNT(*) FROM events");
    assert_eq!(events, 3000);
}

pub async fn a_wish_to_kill_ends_what_would_run_again(mill: &Mill) {
    let steps = [Step::GiveBack, Step::Abandon, Step::Fail { retry: true }];
    for (n, step) in steps.into_iter().enumerate() {
        let name = n.to_string();
        let job = mill.running(&name).await;
        let wish = [(job_id(&name), job.id)];
        mill.buffer.kill(&owner("o"), &wish, at(NOW)).await.unwrap();
        let ended = mill.advance(vec![change(&job, step)], 1).await;
        assert_eq!(ended, [Advanced::Done(State::Cancelled)], "{step:?}");
        let codes = ["accepted", "claim", "start", "kill_requested", "cancel"];
        assert_eq!(mill.codes(job.id).await, codes);
        assert_eq!(mill.record(job.id).await.due_at, None);
    }
    assert!(mill.claim(10, 100_000).await.is_empty());
}

pub async fn a_rescuer_must_have_watched_to_the_end(mill: &Mill) {
    let job = mill.running("1").await;
    let rescue = |renewal| Change {
        fence: Fence {
            token: job.token,
            renewal: Some(renewal),
        },
        reason: Some("mill-1 is silent".to_owned()),
        ..change(&job, Step::Abandon)
    };
    let claim = [(job.id, job.token)];
    mill.claims.renew(&claim).await.unwrap();
    for seen in [0, 2] {
        let late = mill.advance(vec![rescue(seen)], 1).await;
        assert_eq!(late, [Advanced::Stale(State::Running)]);
    }
    let rescued = mill.advance(vec![rescue(1)], 2).await;
    assert_eq!(rescued, [Advanced::Done(State::Ready)]);
    let record = mill.record(job.id).await;
    assert_eq!((record.abandons, record.runs), (1, 0));
    assert_eq!(record.reason.as_deref(), Some("mill-1 is silent"));
    assert_eq!((record.holder, record.started_at), (None, None));
    assert_eq!(record.due_at, Some(at(NOW + 12)));
    let late = mill.advance(vec![change(&job, Step::Succeed)], 3).await;
    assert_eq!(late, [Advanced::Stale(State::Ready)]);
}

/// Whatever is said, in whatever order: what happened is what the events say.
pub async fn events_replay_to_the_state(mill: &Mill) {
    let mut dice = StdRng::seed_from_u64(3);
    let names: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    let jobs: Vec<NewJob> = names.iter().map(|name| job(name)).collect();
    let ids = store_new(&*mill.buffer, "o", jobs).await;
    for round in 1..60 {
        mill.claim(dice.random_range(0..8), round * 20).await;
        let changes = (0..dice.random_range(0..12)).map(|_| {
            let id = ids[dice.random_range(0..ids.len())];
            let token = Token(dice.random_range(0..6));
            change_of(id, token, STEPS[dice.random_range(0..STEPS.len())])
        });
        let changes: Vec<_> = changes.collect();
        mill.advance(changes, round * 20 + 1).await;
    }
    let mut seen = std::collections::HashSet::new();
    for id in ids {
        let (record, events) = mill.dossier(id).await;
        let mut state = State::Ready;
        let (mut runs, mut abandons) = (0, 0);
        for event in &events[1..] {
            let transition = TRANSITIONS.into_iter().find(|t| t.name() == event.code);
            let transition = transition.unwrap();
            state = state.apply(transition).unwrap();
            runs += u32::from(matches!(
                transition,
                Transition::Retry | Transition::Fail | Transition::DeadlinePassed
            ));
            abandons += u32::from(transition == Transition::Abandon);
            seen.insert(event.code.clone());
        }
        assert_eq!((record.state, record.runs), (state, runs), "{events:?}");
        assert_eq!(record.abandons, abandons);
        assert!(runs <= LIMITS.max_runs);
        let claims = events.iter().filter(|event| event.code == "claim").count();
        assert_eq!(record.token, Token(claims as u64));
    }
    assert!(seen.len() >= 8, "{seen:?}");
}

const TRANSITIONS: [Transition; 12] = [
    Transition::Due,
    Transition::Claim,
    Transition::Start,
    Transition::GiveBack,
    Transition::Abandon,
    Transition::Succeed,
    Transition::Fail,
    Transition::Retry,
    Transition::DeadlinePassed,
    Transition::Cancel,
    Transition::Trash,
    Transition::Release,
];

/// A fault is the reason where nobody gives another.
pub async fn a_fault_is_a_reason(mill: &Mill) {
    let job = mill.running("1").await;
    let failed = Change {
        report: Some(RunReport {
            fault: Some(RunFault {
                code: "exit-status".to_owned(),
                text: "ended with 65".to_owned(),
            }),
            ..report(Verdict::Failed, 65)
        }),
        ..change(&job, Step::Fail { retry: false })
    };
    mill.advance(vec![failed], 1).await;
    let record = mill.record(job.id).await;
    assert_eq!(record.reason.as_deref(), Some("ended with 65"));
}
