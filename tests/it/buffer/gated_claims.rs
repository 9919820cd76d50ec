//! The gate as conductors see it: in time, and with a bell.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill::buffer::{
    AdvanceRequest, BufferError, ClaimRequest, Claims, Gate, Holder, ProgressReport, TaskBuffer,
};
use gristmill::job::policy::Backoff;
use gristmill::job::{Limits, RecordId, Token};

use super::gate::{LIMIT, gate};
use super::place::Place;
use super::write::{NOW, at, job, job_id, owner, request, store_new};

fn holder() -> Holder {
    Holder::new("mill-1".to_owned()).unwrap()
}

fn wish() -> ClaimRequest {
    ClaimRequest {
        holder: holder(),
        most: 10,
        pass_over: None,
        now: at(NOW),
    }
}

fn nothing() -> AdvanceRequest {
    AdvanceRequest {
        changes: Vec::new(),
        limits: Limits {
            max_runs: 3,
            max_abandons: 5,
            backoff: Backoff {
                first: Duration::from_secs(1),
                longest: Duration::from_secs(1),
            },
        },
        now: at(NOW),
    }
}

/// Whether somebody rang.
async fn rang(gate: &Arc<Gate>) -> bool {
    let bell = gate.bell();
    tokio::time::timeout(Duration::from_millis(100), bell.notified())
        .await
        .is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conductors_are_answered_in_time() {
    let place = Place::sqlite();
    let gate = gate(&place);
    gate.opened().await.unwrap();
    let id = store_new(&*gate, "o", vec![job("1")]).await[0];
    let other = place.sqlite_connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let started = Instant::now();
    let claims = [(id, Token(1))];
    let report = ProgressReport {
        id,
        token: Token(1),
        progress: None,
        events: Vec::new(),
    };
    let late = [
        gate.claim(wish()).await.err(),
        gate.advance(nothing()).await.err(),
        gate.renew(&claims).await.err(),
        gate.report(report).await.err(),
    ];
    for error in late {
        assert!(
            matches!(error, Some(BufferError::Unreachable(_))),
            "{error:?}"
        );
    }
    assert!(started.elapsed() < 6 * LIMIT, "{:?}", started.elapsed());
    // Who reads does not wait for who writes.
    assert!(gate.leases().await.unwrap().is_empty());
    let orders = gate.orders(&holder(), "d", &claims).await.unwrap();
    assert_eq!(orders.lost, claims);
    other.execute_batch("ROLLBACK").unwrap();
    // The claim that was given up took effect: its holder learns of it from the leases.
    while gate.leases().await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(gate.claim(wish()).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_store_nobody_waits() {
    let place = Place::sqlite();
    let open = || std::future::pending();
    let gate = Gate::start(open, LIMIT, tokio_util::sync::CancellationToken::new());
    let started = Instant::now();
    assert!(gate.claim(wish()).await.is_err());
    assert!(gate.advance(nothing()).await.is_err());
    assert!(gate.renew(&[(RecordId::MAX, Token(1))]).await.is_err());
    assert!(gate.leases().await.is_err());
    assert!(gate.orders(&holder(), "d", &[]).await.is_err());
    assert!(started.elapsed() < LIMIT);
    drop(place);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bell_tells_of_new_jobs_and_kills() {
    let place = Place::sqlite();
    let gate = gate(&place);
    gate.opened().await.unwrap();
    assert!(!rang(&gate).await);
    let id = store_new(&*gate, "o", vec![job("1")]).await[0];
    assert!(rang(&gate).await);
    assert!(!rang(&gate).await);
    gate.store(request("o", vec![job("1")])).await.unwrap();
    assert!(!rang(&gate).await, "nothing new was stored");
    let wish = [(job_id("1"), id)];
    gate.kill(&owner("o"), &wish, at(NOW)).await.unwrap();
    assert!(rang(&gate).await);
}
