//! Changes that supervisors are told unasked.

use std::time::Duration;

use gristmill::buffer::{AnsweredWord, Notice, Store, TakeNotices};
use gristmill::job::policy::Backoff;
use gristmill::job::{RecordId, State};

use super::suite::Subject;
use super::write::{NOW, at, job, job_id, owner, store_new};

const DAEMON: &str = "executor@grid.example/one";
const AGAIN: Backoff = Backoff {
    first: Duration::from_secs(30),
    longest: Duration::from_mins(10),
};

async fn take(store: &dyn Store, seconds: i64, most: usize) -> Vec<Notice> {
    let request = TakeNotices {
        owner: owner("o"),
        most,
        again: AGAIN,
        now: at(seconds),
    };
    store.take_notices(request).await.unwrap()
}

/// What is told at this time: records and their counts of changes.
async fn told(store: &dyn Store, seconds: i64) -> Vec<(RecordId, u64)> {
    let notices = take(store, seconds, 100).await;
    let told = |notice: Notice| (notice.record.id, notice.changes);
    notices.into_iter().map(told).collect()
}

async fn listen(store: &dyn Store, daemon: &str, owners: &[&str]) {
    let owners: Vec<_> = owners.iter().map(|name| owner(name)).collect();
    store.listen(daemon, &owners).await.unwrap();
}

async fn kill(store: &dyn Store, owner_name: &str, name: &str, id: RecordId) {
    let pair = [(job_id(name), id)];
    store
        .kill(&owner(owner_name), &pair, at(NOW))
        .await
        .unwrap();
}

/// One job that was accepted and killed while somebody listened.
async fn killed(store: &dyn Store) -> RecordId {
    listen(store, DAEMON, &["o"]).await;
    let ids = store_new(store, "o", vec![job("1")]).await;
    kill(store, "o", "1", ids[0]).await;
    ids[0]
}

pub async fn only_changes_of_listened_owners_are_noted(subject: &Subject) {
    let store = &*subject.buffer;
    let before = store_new(store, "o", vec![job("1")]).await;
    kill(store, "o", "1", before[0]).await;
    listen(store, DAEMON, &["o", "p"]).await;
    let ids = store_new(store, "o", vec![job("2")]).await;
    let theirs = store_new(store, "x", vec![job("2")]).await;
    assert_eq!(told(store, NOW).await, []);
    kill(store, "o", "2", ids[0]).await;
    kill(store, "x", "2", theirs[0]).await;
    assert_eq!(subject.place.number("SELECT COUNT(*) FROM notices"), 1);
    let notices = take(store, NOW, 100).await;
    let record = &notices[0].record;
    assert_eq!(notices.len(), 1);
    assert_eq!((record.id, record.state), (ids[0], State::Cancelled));
    assert_eq!((record.owner.clone(), notices[0].changes), (owner("o"), 1));
}

pub async fn a_change_is_noted_as_long_as_one_daemon_listens(subject: &Subject) {
    let store = &*subject.buffer;
    let ids = store_new(store, "o", ["1", "2"].map(job).to_vec()).await;
    listen(store, DAEMON, &["o"]).await;
    listen(store, "other@grid.example/two", &["o", "p"]).await;
    listen(store, "other@grid.example/two", &[]).await;
    kill(store, "o", "1", ids[0]).await;
    listen(store, DAEMON, &[]).await;
    kill(store, "o", "2", ids[1]).await;
    assert_eq!(told(store, NOW).await, [(ids[0], 1)]);
}

pub async fn a_change_is_told_again_and_less_often(subject: &Subject) {
    let store = &*subject.buffer;
    let id = killed(store).await;
    for wait in [0, 30, 60, 120, 240, 480, 600, 600] {
        let now = NOW + 3 * wait;
        subject.place.sql(&format!(
            "UPDATE notices SET due_at = {} WHERE due_at > 0",
            at(now).as_microsecond()
        ));
        if wait > 0 {
            assert_eq!(told(store, now - 1).await, [], "{wait}");
        }
        assert_eq!(told(store, now).await, [(id, 1)], "{wait}");
    }
    let due = subject.place.number("SELECT due_at FROM notices");
    let last = NOW + 3 * 600 + 600;
    assert_eq!(due, at(last).as_microsecond());
}

pub async fn what_is_heard_of_is_covered(subject: &Subject) {
    let store = &*subject.buffer;
    let id = killed(store).await;
    store.cover(&owner("x"), &[(id, 1)]).await.unwrap();
    store.cover(&owner("o"), &[(id, 0)]).await.unwrap();
    store.cover(&owner("o"), &[]).await.unwrap();
    assert_eq!(told(store, NOW).await, [(id, 1)]);
    let heard = [(id, 1), (RecordId::MAX, u64::MAX), (id, 1)];
    store.cover(&owner("o"), &heard).await.unwrap();
    store.tell_again(&owner("o")).await.unwrap();
    assert_eq!(told(store, NOW + 86_400).await, []);
}

pub async fn only_the_newest_change_counts(subject: &Subject) {
    let store = &*subject.buffer;
    let id = killed(store).await;
    assert_eq!(told(store, NOW).await, [(id, 1)]);
    subject.place.sql("UPDATE jobs SET state = 'ready'");
    kill(store, "o", "1", id).await;
    store.cover(&owner("o"), &[(id, 1)]).await.unwrap();
    assert_eq!(told(store, NOW).await, [(id, 2)]);
    store.cover(&owner("o"), &[(id, u64::MAX)]).await.unwrap();
    subject.place.sql("UPDATE jobs SET state = 'ready'");
    kill(store, "o", "1", id).await;
    assert_eq!(told(store, NOW).await, [(id, 3)]);
}

pub async fn an_answer_covers_what_is_still_so(subject: &Subject) {
    let store = &*subject.buffer;
    let id = killed(store).await;
    let words = [
        (State::Ready, NOW),
        (State::Cancelled, NOW - 1),
        (State::Failed, NOW),
    ];
    let word = |state, seconds| AnsweredWord {
        id,
        state,
        since: at(seconds),
    };
    for (state, seconds) in words {
        let words = [word(state, seconds)];
        store.cover_answered(&owner("o"), &words).await.unwrap();
    }
    let right = [word(State::Cancelled, NOW)];
    store.cover_answered(&owner("x"), &right).await.unwrap();
    assert_eq!(told(store, NOW).await, [(id, 1)]);
    store.cover_answered(&owner("o"), &right).await.unwrap();
    assert_eq!(told(store, NOW + 86_400).await, []);
}

/// At a start, when a supervisor asks for it, and when somebody has set the clock back.
pub async fn what_is_not_covered_can_be_due_at_once(subject: &Subject) {
    let store = &*subject.buffer;
    let id = killed(store).await;
    let all = [(id, 1)];
    assert_eq!(told(store, NOW).await, all);
    assert_eq!(told(store, NOW).await, []);
    store.tell_again(&owner("o")).await.unwrap();
    assert_eq!(told(store, NOW).await, all);
    listen(store, DAEMON, &["o"]).await;
    assert_eq!(told(store, NOW).await, all);
    assert_eq!(told(store, NOW - 86_400).await, all);
}

pub async fn changes_are_taken_in_lots(subject: &Subject) {
    let store = &*subject.buffer;
    listen(store, DAEMON, &["o"]).await;
    let names: Vec<_> = (0..1100).map(|n| n.to_string()).collect();
    let ids = store_new(store, "o", names.iter().map(|name| job(name)).collect()).await;
    let pairs: Vec<_> = names
        .iter()
        .map(|name| job_id(name))
        .zip(ids.clone())
        .collect();
    for lot in pairs.chunks(1000) {
        store.kill(&owner("o"), lot, at(NOW)).await.unwrap();
    }
    let mut taken = Vec::new();
    loop {
        let lot = take(store, NOW, 500).await;
        taken.extend(lot.iter().map(|notice| notice.record.id));
        if lot.is_empty() {
            break;
        }
        assert!(lot.len() == 500 || taken.len() == 1100, "{}", lot.len());
    }
    let mut wanted = ids.clone();
    wanted.sort_unstable();
    assert!(taken == wanted, "the oldest records first");
    let heard: Vec<_> = ids.into_iter().map(|id| (id, 1)).collect();
    store.cover(&owner("o"), &heard).await.unwrap();
    assert_eq!(told(store, NOW + 3600).await, []);
}
