//! Who gets which job, and when.

use std::collections::HashSet;

use gristmill::buffer::NewJob;
use gristmill::job::{RecordId, State, Step, Token};

use super::{Mill, change, holder, named};
use crate::buffer::write::{NOW, at, job, job_of, key, owner, store_new};

pub async fn the_most_urgent_go_first_then_the_oldest(mill: &Mill) {
    let priorities = [0, 5, -3, 5, i32::MAX, i32::MIN, 0];
    let jobs = priorities.iter().enumerate().map(|(n, priority)| NewJob {
        priority: *priority,
        ..job(&n.to_string())
    });
    let ids = store_new(&*mill.buffer, "o", jobs.collect()).await;
    let mut order = Vec::new();
    for most in [3, 2, 0, 100] {
        let claimed = mill.claim(most, 0).await;
        assert!(claimed.len() <= most as usize);
        order.extend(claimed.into_iter().map(|job| job.id));
    }
    assert_eq!(order, [4, 1, 3, 0, 6, 2, 5].map(|n: usize| ids[n]));
    assert!(mill.claim(100, 0).await.is_empty());
}

pub async fn a_claim_says_what_is_to_be_run(mill: &Mill) {
    let new = NewJob {
        priority: 3,
        ..job_of(key("a b'c", 7), "<job>é</job>")
    };
    let id = store_new(&*mill.buffer, "o's", vec![new]).await[0];
    let claimed = mill.claim(1, 5).await.remove(0);
    assert_eq!((claimed.id, claimed.token), (id, Token(1)));
    assert_eq!(claimed.owner, owner("o's"));
    assert_eq!(claimed.key, key("a b'c", 7));
    assert_eq!((claimed.runs, &*claimed.payload), (0, "<job>é</job>"));
    let record = mill.record(id).await;
    assert_eq!((record.state, record.since), (State::Claimed, at(NOW + 5)));
    assert_eq!(record.token, Token(1));
    assert_eq!(record.holder.as_deref(), Some(holder().as_str()));
    let events = mill.events(id).await;
    assert_eq!((&*events[1].code, events[1].at), ("claim", at(NOW + 5)));
    assert!(events[1].text.contains("mill-1"), "{:?}", events[1]);

    mill.advance(vec![change(&claimed, Step::GiveBack)], 6)
        .await;
    assert_eq!(mill.record(id).await.holder, None);
    let again = mill.claim_by(&named("mill-2"), 1, 7).await.remove(0);
    assert_eq!((again.id, again.token), (id, Token(2)));
    let record = mill.record(id).await;
    assert_eq!(record.holder.as_deref(), Some("mill-2"));
}

pub async fn only_what_is_ready_is_claimed(mill: &Mill) {
    let jobs: Vec<_> = State::ALL
        .into_iter()
        .enumerate()
        .map(|(n, state)| NewJob {
            state,
            ..job(&n.to_string())
        })
        .collect();
    let ids = store_new(&*mill.buffer, "o", jobs).await;
    let claimed = mill.claim(100, 0).await;
    assert_eq!(claimed.len(), 1, "{claimed:?}");
    for (id, before) in ids.into_iter().zip(State::ALL) {
        let after = match before {
            State::Ready => State::Claimed,
            other => other,
        };
        assert_eq!(mill.record(id).await.state, after);
    }
}

pub async fn nothing_is_claimed_twice(mill: &Mill) {
    let jobs = (0..300).map(|n| job(&n.to_string())).collect();
    let ids = store_new(&*mill.buffer, "o", jobs).await;
    let claimer = |n: usize| async move {
        let holder = named(&format!("mill-{n}"));
        let mut mine = Vec::new();
        loop {
            let claimed = mill.claim_by(&holder, 7, 0).await;
            if claimed.is_empty() {
                return mine;
            }
            mine.extend(claimed.into_iter().map(|job| job.id));
        }
    };
    let all = futures::future::join_all((0..8).map(claimer)).await;
    let all: Vec<RecordId> = all.into_iter().flatten().collect();
    assert_eq!(all.len(), ids.len());
    let (all, ids): (HashSet<_>, HashSet<_>) =
        (all.into_iter().collect(), ids.into_iter().collect());
    assert_eq!(all, ids);
}

pub async fn what_cannot_be_built_stands_in_nobodys_way(mill: &Mill) {
    let ids = mill.ready(&["gone", "spoilt", "good"]).await;
    mill.place.sql(&format!(
        "DELETE FROM payloads WHERE record_id = {}",
        ids[0]
    ));
    mill.place.sql(&format!(
        "UPDATE jobs SET attempt = 0 WHERE id = {}",
        ids[1]
    ));
    let mut claimed = mill.claim(3, 1).await;
    claimed.extend(mill.claim(3, 2).await);
    let claimed: Vec<_> = claimed.into_iter().map(|job| job.id).collect();
    assert_eq!(claimed, [ids[2]]);
    let gone = mill.record(ids[0]).await;
    assert_eq!(gone.state, State::Trashed);
    assert!(gone.reason.unwrap().contains("payload"));
    assert_eq!(mill.codes(ids[0]).await, ["accepted", "trash"]);
    let trashed = "SELECT COUNT(*) FROM jobs WHERE state = 'trashed'";
    assert_eq!(mill.place.number(trashed), 2);
}

/// Puts jobs off until so many seconds after [`NOW`].
fn put_off(mill: &Mill, id: RecordId, seconds: i64) {
    let due_at = at(NOW + seconds).as_microsecond();
    mill.place.sql(&format!(
        "UPDATE jobs SET due_at = {due_at} WHERE id = {id}"
    ));
}

pub async fn scheduled_jobs_are_claimed_when_due(mill: &Mill) {
    let scheduled = mill.stored(&["1", "2"], State::Scheduled).await;
    let waits = mill.ready(&["3"]).await[0];
    let held = mill
        .stored(&["4"], State::Held(gristmill::job::HeldFrom::Scheduled))
        .await[0];
    put_off(mill, scheduled[0], 20);
    put_off(mill, scheduled[1], 30);
    put_off(mill, waits, 25);
    put_off(mill, held, 5);
    assert!(mill.claim(10, 19).await.is_empty());
    let claimed = mill.claim(10, 20).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].id, scheduled[0]);
    let rest = mill.claim(10, 31).await;
    let rest: Vec<_> = rest.into_iter().map(|job| job.id).collect();
    assert_eq!(rest, [scheduled[1], waits]);
    assert_eq!(mill.codes(scheduled[1]).await, ["accepted", "due", "claim"]);
    assert_eq!(mill.codes(waits).await, ["accepted", "claim"]);
    for id in [scheduled[0], scheduled[1], waits] {
        assert_eq!(mill.record(id).await.due_at, None);
    }
    assert_eq!(mill.record(held).await.due_at, Some(at(NOW + 5)));
}

/// The wall clock was a day ahead when the job was put off for a minute.
pub async fn a_clock_that_was_set_back_holds_nobody_up(mill: &Mill) {
    const DAY: i64 = 86_400;
    let ids = mill.stored(&["1", "2"], State::Scheduled).await;
    let waits = mill.ready(&["3"]).await[0];
    for id in [ids[0], waits] {
        put_off(mill, id, DAY + 60);
        let since = at(NOW + DAY).as_microsecond();
        mill.place
            .sql(&format!("UPDATE jobs SET since = {since} WHERE id = {id}"));
    }
    put_off(mill, ids[1], 60);
    // Another daemon's clock is a little ahead.
    let since = at(NOW + 30).as_microsecond();
    mill.place.sql(&format!(
        "UPDATE jobs SET since = {since} WHERE id = {}",
        ids[1]
    ));
    let claimed: Vec<_> = mill
        .claim(10, 1)
        .await
        .into_iter()
        .map(|job| job.id)
        .collect();
    assert_eq!(claimed, [ids[0], waits]);
    // And forward again: it is late, and not lost.
    let claimed = mill.claim(10, 2 * DAY).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].id, ids[1]);
    assert!(mill.claim(10, 3 * DAY).await.is_empty());
}
