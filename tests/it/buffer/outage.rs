//! A server that hangs, dies and comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill::buffer::{self, BufferError, Gate, Lookup, Options, StoreUrl, Stored, TaskBuffer};
use tokio_util::sync::CancellationToken;

use super::gate::{LIMIT, find, find_at_last, gate};
use super::mysql::{accepted, is_unreachable, place};
use super::write::{job, new, owner, request, store_new};
use crate::rig::mariadb::MariaDb;

/// After it is back, the first right answer comes within this.
pub const RECOVERY: Duration = Duration::from_secs(5);

/// The server hangs and comes back, without a word on any connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_unknown_and_comes_back() {
    let (server, place) = place();
    let gate = gate(&place);
    gate.opened().await.unwrap();
    let id = store_new(&*gate, "o", vec![job("before")]).await[0];
    server.pause();
    let started = Instant::now();
    let stored = gate.store(request("o", vec![job("during")])).await;
    assert!(is_unreachable(&stored), "{stored:?}");
    assert!(started.elapsed() < 2 * LIMIT, "{:?}", started.elapsed());
    assert_eq!(find(&*gate, "before").await, Lookup::Unreachable);
    // Soon it is known to be away, and nobody waits for it any more.
    tokio::time::sleep(2 * LIMIT).await;
    let started = Instant::now();
    for _ in 0..100 {
        assert_eq!(find(&*gate, "before").await, Lookup::Unreachable);
    }
    assert!(started.elapsed() < LIMIT, "{:?}", started.elapsed());
    tokio::time::sleep(Duration::from_secs(2)).await;

    server.resume();
    let found = find_at_last(&*gate, "before", RECOVERY).await;
    assert_eq!(accepted(&found), id);
    // What was begun has happened or has not; a look-up says which, and a resend agrees.
    let during = find_at_last(&*gate, "during", RECOVERY).await;
    let stored = gate.store(request("o", vec![job("during")])).await.unwrap();
    match during {
        Lookup::Absent => assert!(matches!(stored[0], Stored::New(_))),
        found => assert_eq!(stored, [Stored::Duplicate(accepted(&found))]),
    }
}

/// Sends requests of five jobs until `stop`; their names, and what was answered.
async fn send(sender: usize, gate: Arc<Gate>, stop: CancellationToken) -> Vec<Sent> {
    let mut answers = Vec::new();
    while !stop.is_cancelled() {
        let names: Vec<_> = (0..5)
            .map(|n| format!("{sender} {} {n}", answers.len()))
            .collect();
        let jobs = names.iter().map(|name| job(name)).collect();
        let stored = gate.store(request("o", jobs)).await;
        if stored.is_err() {
            tokio::time::sleep(LIMIT / 10).await;
        }
        answers.push((names, stored));
    }
    answers
}

type Sent = (Vec<String>, Result<Vec<Stored>, BufferError>);

/// Killed in the middle of a stream of requests, and started again: what was said to be stored
/// is there, once, under the same record ID.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_dies_in_the_middle_loses_nothing_that_was_stored() {
    let mut server = MariaDb::start();
    server.create_database("mill");
    let url = StoreUrl::parse(&server.url("mill")).unwrap();
    let options = Options {
        password: Some(crate::rig::mariadb::PASSWORD.to_owned().into()),
        timeout: LIMIT,
        ..Options::default()
    };
    let open = move || {
        let (url, options) = (url.clone(), options.clone());
        async move { buffer::open(&url, &options).await }
    };
    let gate = Gate::start(open, 3 * LIMIT, CancellationToken::new());
    gate.opened().await.unwrap();

    let stop = CancellationToken::new();
    let senders: Vec<_> = (0..16)
        .map(|n| tokio::spawn(send(n, gate.clone(), stop.clone())))
        .collect();
    tokio::time::sleep(Duration::from_millis(700)).await;
    server.kill();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(gate.find_jobs(&owner("o"), &[]).await.is_err());
    server.start_again();
    let started = Instant::now();
    while gate.ping().await.is_err() {
        assert!(started.elapsed() < RECOVERY);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.cancel();

    let (mut stored, mut failed) = (0, 0);
    for answers in futures::future::join_all(senders).await {
        for (names, answer) in answers.unwrap() {
            let said = answer.ok();
            for (place, name) in names.iter().enumerate() {
                let found = find_at_last(&*gate, name, RECOVERY).await;
                if let Some(said) = &said {
                    assert_eq!(accepted(&found), new(said[place]), "{name}");
                    stored += 1;
                } else {
                    assert_ne!(found, Lookup::Unreachable, "{name}");
                    failed += 1;
                }
            }
        }
    }
    assert!(stored > 0 && failed > 0, "{stored} stored, {failed} failed");
    let twice = "SELECT COUNT(*) FROM (SELECT 1 FROM mill.jobs GROUP BY owner, job_id, attempt
                                       HAVING COUNT(*) > 1) AS twice";
    assert_eq!(server.sql(twice).trim(), "0");
    let whole = "SELECT COUNT(*) FROM mill.jobs LEFT JOIN mill.payloads ON record_id = id
                 WHERE record_id IS NULL";
    assert_eq!(server.sql(whole).trim(), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_begins_without_a_server_and_ids_survive_its_restart() {
    let mut server = MariaDb::start();
    server.create_database("mill");
    let url = StoreUrl::parse(&server.url("mill")).unwrap();
    let options = Options {
        password: Some(crate::rig::mariadb::PASSWORD.to_owned().into()),
        ..Options::default()
    };
    server.stop();
    let open = move || {
        let (url, options) = (url.clone(), options.clone());
        async move { buffer::open(&url, &options).await }
    };
    let gate = Gate::start(open, LIMIT, CancellationToken::new());
    assert_eq!(find(&*gate, "1").await, Lookup::Unreachable);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(is_unreachable(&gate.ping().await));
    server.start_again();
    tokio::time::timeout(RECOVERY, gate.opened())
        .await
        .unwrap()
        .unwrap();
    let before = store_new(&*gate, "o", vec![job("1"), job("2")]).await;

    server.sql("DELETE FROM mill.payloads; DELETE FROM mill.jobs");
    server.stop();
    server.start_again();
    let started = Instant::now();
    let after = loop {
        match gate.store(request("o", vec![job("3")])).await {
            Ok(stored) => break new(stored[0]),
            Err(error) => assert!(started.elapsed() < RECOVERY, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(after > before[1], "{after} {before:?}");
}
