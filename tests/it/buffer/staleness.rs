//! A key that was answered `rejected`, and requests that were sent before that.

use std::time::Duration;

use gristmill::buffer::{BufferError, Lookup, StoreRequest, Stored, TaskBuffer};
use gristmill::job::{Attempt, JobId, Refusal};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::suite::Subject;
use super::write::{
    NOW, at, attempt, job, job_id, job_of, key, owner, refusal, request, store_new,
};

async fn reject(buffer: &dyn TaskBuffer, jobs: &[(JobId, Option<Attempt>)], when: Timestamp) {
    let absent = buffer
        .remember_rejected(&owner("o"), jobs, when, at(0))
        .await
        .unwrap();
    assert_eq!(absent, vec![true; jobs.len()]);
}

fn sent(sent_at: Timestamp, name: &str) -> StoreRequest {
    StoreRequest {
        sent_at,
        ..request("o", vec![job("bystander"), job(name)])
    }
}

fn is_stale(stored: &Result<Vec<Stored>, BufferError>) -> bool {
    matches!(stored, Err(BufferError::Stale))
}

pub async fn what_was_sent_before_a_rejection_is_stale(subject: &Subject) {
    let buffer = &*subject.buffer;
    reject(buffer, &[(job_id("1"), Some(attempt(1)))], at(NOW)).await;
    let microsecond = SignedDuration::from_micros(1);
    assert!(is_stale(&buffer.store(sent(at(NOW - 60), "1")).await));
    assert!(is_stale(
        &buffer.store(sent(at(NOW) - microsecond, "1")).await
    ));
    assert!(is_stale(&buffer.store(sent(at(NOW), "1")).await));
    let stored = buffer
        .store(sent(at(NOW) + microsecond, "1"))
        .await
        .unwrap();
    assert!(
        stored.iter().all(|stored| matches!(stored, Stored::New(_))),
        "{stored:?}"
    );
}

pub async fn a_stale_request_leaves_no_trace(subject: &Subject) {
    let buffer = &*subject.buffer;
    reject(buffer, &[(job_id("1"), None)], at(NOW)).await;
    let request = StoreRequest {
        refusals: vec![Refusal {
            ..refusal("refused", 1, "invalid")
        }],
        ..sent(at(NOW), "1")
    };
    assert!(is_stale(&buffer.store(request).await));
    let asked = ["bystander", "1", "refused"].map(|name| (job_id(name), None));
    let found = buffer.find_jobs(&owner("o"), &asked).await.unwrap();
    assert_eq!(found, [Lookup::Absent, Lookup::Absent, Lookup::Absent]);
    for table in ["jobs", "payloads", "refusals"] {
        assert_eq!(
            subject
                .place
                .number(&format!("SELECT COUNT(*) FROM {table}")),
            0
        );
    }
}

/// What could not be done twice is no harm: a late request whose jobs are all there is answered
/// like any other.
pub async fn what_is_stored_already_is_not_stale(subject: &Subject) {
    let buffer = &*subject.buffer;
    let ids = store_new(buffer, "o", vec![job("1"), job("2")]).await;
    let asked = [(job_id("1"), None), (job_id("3"), None)];
    let absent = buffer
        .remember_rejected(&owner("o"), &asked, at(NOW), at(0))
        .await
        .unwrap();
    assert_eq!(absent, [false, true]);
    let late = |jobs| StoreRequest {
        sent_at: at(NOW - 60),
        ..request("o", jobs)
    };
    let again = late(vec![job("2"), job("1")]);
    let stored = buffer.store(again).await.unwrap();
    assert_eq!(
        stored,
        [Stored::Duplicate(ids[1]), Stored::Duplicate(ids[0])]
    );
    let other = late(vec![job_of(key("1", 1), "other")]);
    assert_eq!(buffer.store(other).await.unwrap(), [Stored::Conflict]);
    for jobs in [
        vec![job("1"), job("3")],
        vec![job("3"), job("1")],
        vec![job("1"), job("new")],
    ] {
        assert!(is_stale(&buffer.store(late(jobs)).await));
    }
    assert_eq!(subject.place.number("SELECT COUNT(*) FROM jobs"), 2);
}

pub async fn an_attempt_of_none_stands_for_all(subject: &Subject) {
    let buffer = &*subject.buffer;
    reject(
        buffer,
        &[(job_id("all"), None), (job_id("one"), Some(attempt(2)))],
        at(NOW),
    )
    .await;
    let attempt_of = |name: &str, number| StoreRequest {
        sent_at: at(NOW - 1),
        ..request("o", vec![job_of(key(name, number), "")])
    };
    assert!(is_stale(&buffer.store(attempt_of("all", 1)).await));
    assert!(is_stale(&buffer.store(attempt_of("all", 7)).await));
    assert!(is_stale(&buffer.store(attempt_of("one", 2)).await));
    assert!(buffer.store(attempt_of("one", 1)).await.is_ok());
}

pub async fn others_are_not_stale(subject: &Subject) {
    let buffer = &*subject.buffer;
    reject(buffer, &[(job_id("1"), None)], at(NOW)).await;
    assert!(buffer.store(sent(at(NOW - 60), "2")).await.is_ok());
    let other_owner = StoreRequest {
        sent_at: at(NOW - 60),
        ..request("other", vec![job("1")])
    };
    assert!(buffer.store(other_owner).await.is_ok());
    // Requests that go together into one transaction do not share a fate.
    let requests = (0..20).map(|n| {
        let buffer = subject.buffer.clone();
        let name = if n % 2 == 0 {
            "1".to_owned()
        } else {
            format!("good {n}")
        };
        let mut request = sent(at(NOW - 60), &name);
        request.jobs.remove(0);
        tokio::spawn(async move { buffer.store(request).await })
    });
    for (n, stored) in futures::future::join_all(requests)
        .await
        .into_iter()
        .enumerate()
    {
        assert_eq!(is_stale(&stored.unwrap()), n % 2 == 0, "{n}");
    }
}

pub async fn old_rejections_are_forgotten(subject: &Subject) {
    let buffer = &*subject.buffer;
    reject(
        buffer,
        &[(job_id("old"), None), (job_id("again"), None)],
        at(NOW - 100),
    )
    .await;
    reject(buffer, &[(job_id("again"), None)], at(NOW)).await;
    // An earlier time never takes back a later one.
    reject(buffer, &[(job_id("again"), None)], at(NOW - 50)).await;
    let jobs = [(job_id("new"), None)];
    buffer
        .remember_rejected(&owner("o"), &jobs, at(NOW), at(NOW - 10))
        .await
        .unwrap();
    assert_eq!(subject.place.number("SELECT COUNT(*) FROM rejections"), 2);
    assert!(is_stale(&buffer.store(sent(at(NOW), "again")).await));
}

/// A daemon that remembers for longer, or is told to, may still take a request that was sent before
/// a rejection that another one has forgotten.
pub async fn what_was_sent_before_what_is_forgotten_is_stale(subject: &Subject) {
    let buffer = &*subject.buffer;
    let ids = store_new(buffer, "o", vec![job("known")]).await;
    let remember = async |name, when, forget_before| {
        let (owner, jobs) = (owner("o"), [(job_id(name), None)]);
        let remembered = buffer.remember_rejected(&owner, &jobs, when, forget_before);
        remembered.await.unwrap();
    };
    // Where there was nothing to forget, everything is remembered.
    remember("1", at(NOW - 100), at(NOW - 90)).await;
    assert!(buffer.store(sent(at(NOW - 200), "2")).await.is_ok());
    remember("3", at(NOW), at(NOW - 10)).await;
    // An earlier time takes nothing back.
    remember("4", at(NOW - 50), at(NOW - 20)).await;
    remember("5", at(NOW), at(NOW - 20)).await;
    let microsecond = SignedDuration::from_micros(1);
    for early in [at(NOW - 200), at(NOW - 10) - microsecond] {
        assert!(is_stale(&buffer.store(sent(early, "1")).await));
    }
    let again = StoreRequest {
        sent_at: at(NOW - 200),
        ..request("o", vec![job("known")])
    };
    assert_eq!(
        buffer.store(again).await.unwrap(),
        [Stored::Duplicate(ids[0])]
    );
    assert!(buffer.store(sent(at(NOW - 10), "1")).await.is_ok());
}

/// A job may be given to us a moment after another daemon has rejected it.
pub async fn what_is_prompt_is_not_stale(subject: &Subject) {
    let buffer = &*subject.buffer;
    reject(buffer, &[(job_id("1"), None)], at(NOW)).await;
    let until = |prompt_until| StoreRequest {
        prompt_until: Some(prompt_until),
        ..sent(at(NOW - 1), "1")
    };
    let now = Instant::now();
    assert!(is_stale(&buffer.store(until(now)).await));
    let prompt = until(now + Duration::from_mins(10));
    assert!(buffer.store(prompt).await.is_ok());
}

pub async fn a_rejection_learns_of_a_record(subject: &Subject) {
    let buffer = &*subject.buffer;
    store_new(buffer, "o", vec![job("1"), job_of(key("2", 5), "")]).await;
    let asked = [
        (job_id("1"), None),
        (job_id("1"), Some(attempt(1))),
        (job_id("1"), Some(attempt(2))),
        (job_id("2"), None),
        (job_id("3"), None),
        (job_id("3"), None),
    ];
    let absent = buffer
        .remember_rejected(&owner("o"), &asked, at(NOW), at(0))
        .await
        .unwrap();
    assert_eq!(absent, [false, false, true, false, true, true]);
    let absent = buffer
        .remember_rejected(&owner("x"), &asked, at(NOW), at(0))
        .await
        .unwrap();
    assert_eq!(absent, [true; 6]);
}
