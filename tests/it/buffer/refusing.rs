//! What was refused is remembered with its reason, and never stands before a record.

use gristmill::buffer::{KnownJob, Lookup, StoreRequest, TaskBuffer};
use gristmill::job::{Attempt, Refusal};

use super::suite::Subject;
use super::write::{attempt, job, job_id, job_of, key, owner, refusal, request, store_new};

async fn refuse(buffer: &dyn TaskBuffer, refusals: Vec<Refusal>) {
    let request = StoreRequest {
        refusals,
        ..request("o", Vec::new())
    };
    assert_eq!(buffer.store(request).await.unwrap(), []);
}

async fn find(buffer: &dyn TaskBuffer, name: &str, asked: Option<Attempt>) -> Lookup<KnownJob> {
    buffer
        .find_jobs(&owner("o"), &[(job_id(name), asked)])
        .await
        .unwrap()
        .remove(0)
}

fn refused(refusal: Refusal) -> Lookup<KnownJob> {
    Lookup::Found(KnownJob::Refused(refusal))
}

pub async fn a_refusal_is_found(subject: &Subject) {
    let buffer = &*subject.buffer;
    let mut hostile = refusal("2", 1, "invalid");
    hostile.text = "it's \"😀\" \\ ".repeat(500);
    let request = StoreRequest {
        refusals: vec![refusal("1", 3, "missing-field"), hostile.clone()],
        ..request("o", vec![job("good")])
    };
    assert_eq!(buffer.store(request).await.unwrap().len(), 1);
    assert!(matches!(
        find(buffer, "good", None).await,
        Lookup::Found(KnownJob::Accepted { .. })
    ));
    assert_eq!(
        find(buffer, "1", None).await,
        refused(refusal("1", 3, "missing-field"))
    );
    assert_eq!(
        find(buffer, "1", Some(attempt(3))).await,
        find(buffer, "1", None).await
    );
    assert_eq!(find(buffer, "1", Some(attempt(2))).await, Lookup::Absent);
    assert_eq!(find(buffer, "2", None).await, refused(hostile));
    let others = buffer
        .find_jobs(&owner("other"), &[(job_id("1"), None)])
        .await
        .unwrap();
    assert_eq!(others, [Lookup::Absent]);
}

pub async fn a_refusal_never_hides_a_record(subject: &Subject) {
    let buffer = &*subject.buffer;
    refuse(buffer, vec![refusal("1", 1, "invalid")]).await;
    let id = store_new(buffer, "o", vec![job("1")]).await[0];
    let known = Lookup::Found(KnownJob::Accepted {
        id,
        attempt: attempt(1),
    });
    assert_eq!(find(buffer, "1", None).await, known);
    refuse(
        buffer,
        vec![refusal("1", 1, "invalid"), refusal("1", 2, "invalid")],
    )
    .await;
    assert_eq!(find(buffer, "1", None).await, known);
    assert_eq!(find(buffer, "1", Some(attempt(1))).await, known);
    assert_eq!(
        find(buffer, "1", Some(attempt(2))).await,
        refused(refusal("1", 2, "invalid"))
    );
    let second = store_new(buffer, "o", vec![job_of(key("1", 2), "2")]).await[0];
    let known = Lookup::Found(KnownJob::Accepted {
        id: second,
        attempt: attempt(2),
    });
    assert_eq!(find(buffer, "1", None).await, known);
}

pub async fn the_last_reason_counts(subject: &Subject) {
    let buffer = &*subject.buffer;
    refuse(
        buffer,
        vec![refusal("1", 1, "first"), refusal("1", 2, "second")],
    )
    .await;
    assert_eq!(
        find(buffer, "1", None).await,
        refused(refusal("1", 2, "second"))
    );
    refuse(buffer, vec![refusal("1", 2, "third")]).await;
    assert_eq!(
        find(buffer, "1", None).await,
        refused(refusal("1", 2, "third"))
    );
    assert_eq!(
        find(buffer, "1", Some(attempt(1))).await,
        refused(refusal("1", 1, "first"))
    );
    // The same job refused twice in one request: the last one counts there, too.
    refuse(
        buffer,
        vec![refusal("2", 1, "first"), refusal("2", 1, "last")],
    )
    .await;
    assert_eq!(
        find(buffer, "2", None).await,
        refused(refusal("2", 1, "last"))
    );
}
