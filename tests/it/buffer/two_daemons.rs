//! Two daemons on one server: what one is about to commit the other one must not overlook.

use std::sync::Arc;
use std::time::Duration;

use gristmill::buffer::{BufferError, Store, StoreRequest, Stored};
use mysql_async::prelude::Queryable;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::mysql::{connection, place};
use super::write::{NOW, at, job, job_id, owner, request};

/// How long a question is watched that must wait for another session.
const A_WHILE: Duration = Duration::from_millis(300);

fn late(name: &str) -> StoreRequest {
    StoreRequest {
        sent_at: at(NOW - 60),
        ..request("o", vec![job("bystander"), job(name)])
    }
}

fn store(
    buffer: &Arc<dyn Store>,
    request: StoreRequest,
) -> JoinHandle<Result<Vec<Stored>, BufferError>> {
    let buffer = buffer.clone();
    tokio::spawn(async move { buffer.store(request).await })
}

fn reject(buffer: &Arc<dyn Store>, name: &str) -> JoinHandle<Vec<bool>> {
    let (buffer, jobs) = (buffer.clone(), [(job_id(name), None)]);
    let asked = async move {
        buffer
            .remember_rejected(&owner("o"), &jobs, at(NOW), at(0))
            .await
    };
    tokio::spawn(async move { asked.await.unwrap() })
}

/// The record of a job that another session has inserted and not committed may be there soon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejection_waits_for_a_store_in_flight() {
    const INSERT: &str = "INSERT INTO jobs (owner, job_id, attempt, state, priority_neg,
        content_hash, accepted_at, since, batch) VALUES ('o', ?, 1, 'ready', 0, 'x', 0, 0, 0)";
    let (server, place) = place();
    let buffer = place.open().await;
    let mut other = connection(&server).await;
    for (name, end, absent) in [("1", "COMMIT", false), ("2", "ROLLBACK", true)] {
        other.query_drop("BEGIN").await.unwrap();
        other.exec_drop(INSERT, (name,)).await.unwrap();
        let rejecting = reject(&buffer, name);
        tokio::time::sleep(A_WHILE).await;
        assert!(!rejecting.is_finished(), "{name}");
        other.query_drop(end).await.unwrap();
        assert_eq!(rejecting.await.unwrap(), [absent], "{name}");
    }
}

/// The rejection that another session has inserted and not committed was answered before long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_store_waits_for_a_rejection_in_flight() {
    const INSERT: &str = "INSERT INTO rejections (owner, job_id, attempt, at)
        VALUES ('o', ?, 0, ?)";
    let (server, place) = place();
    let buffer = place.open().await;
    let mut other = connection(&server).await;
    for (name, end, stale) in [("1", "ROLLBACK", false), ("2", "COMMIT", true)] {
        other.query_drop("BEGIN").await.unwrap();
        let row = (name, at(NOW).as_microsecond());
        other.exec_drop(INSERT, row).await.unwrap();
        let storing = store(&buffer, late(name));
        tokio::time::sleep(A_WHILE).await;
        assert!(!storing.is_finished(), "{name}");
        other.query_drop(end).await.unwrap();
        let stored = storing.await.unwrap();
        let is_stale = matches!(stored, Err(BufferError::Stale));
        assert_eq!(is_stale, stale, "{name}: {stored:?}");
        let count = format!("SELECT COUNT(*) FROM jobs WHERE job_id = '{name}'");
        assert_eq!(place.number(&count), i64::from(!stale));
    }
}

/// A request that came at once and is held up then may be overtaken like any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_prompt_is_so_no_more_once_it_was_held_up() {
    let (server, place) = place();
    let buffer = place.open().await;
    let mut other = connection(&server).await;
    other.query_drop("BEGIN").await.unwrap();
    let insert = "INSERT INTO jobs (owner, job_id, attempt, state, priority_neg, content_hash,
        accepted_at, since, batch) VALUES ('o', '1', 1, 'ready', 0, 'x', 0, 0, 0)";
    other.query_drop(insert).await.unwrap();
    let prompt = StoreRequest {
        prompt_until: Some(Instant::now() + A_WHILE),
        ..late("1")
    };
    let storing = store(&buffer, prompt);
    tokio::time::sleep(A_WHILE * 2).await;
    assert!(!storing.is_finished());
    let at = at(NOW).as_microsecond();
    let reject = format!("INSERT INTO mill.rejections VALUES ('o', '1', 0, {at})");
    server.sql(&reject);
    other.query_drop("ROLLBACK").await.unwrap();
    let stored = storing.await.unwrap();
    assert!(matches!(stored, Err(BufferError::Stale)), "{stored:?}");
    assert_eq!(place.number("SELECT COUNT(*) FROM jobs"), 0);
}

/// What another session is about to forget may be the rejection of these jobs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_store_waits_for_what_is_being_forgotten() {
    let (server, place) = place();
    let buffer = place.open().await;
    let mut other = connection(&server).await;
    for (name, end, stale) in [("1", "ROLLBACK", false), ("2", "COMMIT", true)] {
        other.query_drop("BEGIN").await.unwrap();
        let forget = format!(
            "UPDATE forgotten SET sent_before = {}",
            at(NOW).as_microsecond()
        );
        other.query_drop(forget).await.unwrap();
        let storing = store(&buffer, late(name));
        tokio::time::sleep(A_WHILE).await;
        assert!(!storing.is_finished(), "{name}");
        other.query_drop(end).await.unwrap();
        let stored = storing.await.unwrap();
        let is_stale = matches!(stored, Err(BufferError::Stale));
        assert_eq!(is_stale, stale, "{name}: {stored:?}");
    }
}

/// Of one that rejects and one that stores at the same time, at most one has its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_rejected_here_and_stored_there() {
    const ROUNDS: usize = 150;
    let (_server, place) = place();
    let (one, other) = (place.open().await, place.open().await);
    for round in 0..ROUNDS {
        let name = format!("job {round}");
        let (rejecting, storing) = (reject(&one, &name), store(&other, late(&name)));
        let (absent, stored) = (rejecting.await.unwrap(), storing.await.unwrap());
        match stored {
            Ok(_) => assert_eq!(absent, [false], "{name} was stored"),
            Err(BufferError::Stale) => assert_eq!(absent, [true], "{name} is stale"),
            Err(other) => panic!("{name}: {other}"),
        }
    }
}
