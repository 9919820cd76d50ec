//! A wish to kill.

use gristmill::buffer::{Kill, Lookup, NewJob, TaskBuffer};
use gristmill::job::{Level, Record, RecordId, State};

use super::suite::Subject;
use super::write::{NOW, at, job, job_id, job_of, key, owner, store_new};

async fn kill(buffer: &dyn TaskBuffer, name: &str, id: RecordId, seconds: i64) -> Lookup<Kill> {
    buffer
        .kill(&owner("o"), &[(job_id(name), id)], at(seconds))
        .await
        .unwrap()
        .remove(0)
}

async fn record(buffer: &dyn TaskBuffer, name: &str, id: RecordId) -> Record {
    match buffer
        .find_records(&owner("o"), &[(job_id(name), id)])
        .await
        .unwrap()
        .remove(0)
    {
        Lookup::Found(record) => record,
        other => panic!("{name}: {other:?}"),
    }
}

async fn event_codes(buffer: &dyn TaskBuffer, id: RecordId) -> Vec<String> {
    let Lookup::Found(dossier) = buffer.show(id).await.unwrap() else {
        panic!("{id} is not there");
    };
    assert!(
        dossier
            .events
            .iter()
            .all(|event| event.level == Level::Event)
    );
    dossier.events.into_iter().map(|event| event.code).collect()
}

pub async fn a_ready_job_is_cancelled_once(subject: &Subject) {
    let buffer = &*subject.buffer;
    let id = store_new(buffer, "o", vec![job("1")]).await[0];
    assert_eq!(
        kill(buffer, "1", id, NOW + 5).await,
        Lookup::Found(Kill::Killed)
    );
    let finished = Lookup::Found(Kill::AlreadyFinished(State::Cancelled));
    assert_eq!(kill(buffer, "1", id, NOW + 9).await, finished);
    let record = record(buffer, "1", id).await;
    assert_eq!(record.state, State::Cancelled);
    assert_eq!((record.accepted_at, record.since), (at(NOW), at(NOW + 5)));
    assert_eq!(record.kill_requested_at, Some(at(NOW + 5)));
    assert!(record.told);
    assert_eq!(event_codes(buffer, id).await, ["accepted", "cancel"]);
}

fn in_state(number: usize, state: State) -> NewJob {
    NewJob {
        state,
        ..job_of(key(&number.to_string(), 1), "")
    }
}

pub async fn what_nobody_holds_is_cancelled(subject: &Subject) {
    let buffer = &*subject.buffer;
    let held = State::ALL
        .into_iter()
        .filter(|state| matches!(state, State::Held(_)));
    let states = [State::Scheduled, State::Waiting].into_iter().chain(held);
    let jobs: Vec<_> = states
        .enumerate()
        .map(|(n, state)| in_state(n, state))
        .collect();
    let ids = store_new(buffer, "o", jobs.clone()).await;
    for (job, id) in jobs.iter().zip(ids) {
        let name = job.key.job_id.as_str();
        assert_eq!(
            kill(buffer, name, id, NOW).await,
            Lookup::Found(Kill::Killed)
        );
        assert_eq!(record(buffer, name, id).await.state, State::Cancelled);
    }
}

pub async fn what_somebody_holds_is_asked_for(subject: &Subject) {
    let buffer = &*subject.buffer;
    for (n, state) in [State::Claimed, State::Running].into_iter().enumerate() {
        let id = store_new(buffer, "o", vec![in_state(n, state)]).await[0];
        let name = n.to_string();
        for seconds in [NOW + 1, NOW + 2] {
            let killed = kill(buffer, &name, id, seconds).await;
            assert_eq!(killed, Lookup::Found(Kill::Requested(state)));
        }
        let record = record(buffer, &name, id).await;
        assert_eq!((record.state, record.since), (state, at(NOW)));
        assert_eq!(record.kill_requested_at, Some(at(NOW + 1)));
        assert!(!record.told);
        assert_eq!(
            event_codes(buffer, id).await,
            ["accepted", "kill_requested"]
        );
    }
}

pub async fn what_has_ended_stays_as_it_is(subject: &Subject) {
    let buffer = &*subject.buffer;
    let ended = State::ALL.into_iter().filter(|state| state.is_final());
    for (n, state) in ended.enumerate() {
        let id = store_new(buffer, "o", vec![in_state(n, state)]).await[0];
        let before = record(buffer, &n.to_string(), id).await;
        let killed = kill(buffer, &n.to_string(), id, NOW + 1).await;
        assert_eq!(killed, Lookup::Found(Kill::AlreadyFinished(state)));
        assert!(!before.told);
        let told = Record {
            told: true,
            ..before
        };
        assert_eq!(record(buffer, &n.to_string(), id).await, told);
        assert_eq!(event_codes(buffer, id).await, ["accepted"]);
    }
}

pub async fn only_the_owner_kills(subject: &Subject) {
    let buffer = &*subject.buffer;
    let id = store_new(buffer, "o", vec![job("1")]).await[0];
    let theirs = buffer
        .kill(&owner("x"), &[(job_id("1"), id)], at(NOW))
        .await
        .unwrap();
    assert_eq!(theirs, [Lookup::Absent]);
    assert_eq!(kill(buffer, "2", id, NOW).await, Lookup::Absent);
    assert_eq!(kill(buffer, "1", RecordId::MAX, NOW).await, Lookup::Absent);
    assert_eq!(record(buffer, "1", id).await.state, State::Ready);
}

pub async fn a_thousand_are_killed_at_once(subject: &Subject) {
    let buffer = &*subject.buffer;
    let states = [State::Ready, State::Running, State::Succeeded];
    let jobs: Vec<_> = (0..999).map(|n| in_state(n, states[n % 3])).collect();
    let ids = store_new(buffer, "o", jobs.clone()).await;
    let mut pairs: Vec<_> = jobs
        .iter()
        .zip(&ids)
        .map(|(job, id)| (job.key.job_id.clone(), *id))
        .collect();
    // One twice in the same request: it is killed, and then it has ended.
    pairs.push(pairs[0].clone());
    let killed = buffer.kill(&owner("o"), &pairs, at(NOW)).await.unwrap();
    for (n, killed) in killed.iter().enumerate().take(999) {
        let wanted = match states[n % 3] {
            State::Ready => Kill::Killed,
            State::Running => Kill::Requested(State::Running),
            state => Kill::AlreadyFinished(state),
        };
        assert_eq!(*killed, Lookup::Found(wanted), "{n}");
    }
    assert_eq!(
        killed[999],
        Lookup::Found(Kill::AlreadyFinished(State::Cancelled))
    );
    let cancelled = "SELECT COUNT(*) FROM jobs WHERE state = 'cancelled'";
    assert_eq!(subject.place.number(cancelled), 333);
    assert_eq!(subject.place.number("SELECT COUNT(*) FROM events"), 666);
}
