//! Commits of which the answer is late or lost.

use std::sync::Arc;
use std::time::Instant;

use gristmill::buffer::{
    self, BufferError, Gate, Lookup, MysqlServer, Options, StoreUrl, Stored, TaskBuffer,
};
use mysql_async::prelude::Queryable;
use tokio_util::sync::CancellationToken;

use super::gate::{LIMIT, assert_in_doubt, find, find_at_last, gate};
use super::mysql::{accepted, connection, is_unreachable, place};
use super::outage::RECOVERY;
use super::place::Place;
use super::proxy::{Mischief, Proxy};
use super::write::{job, job_of, key, new, request, store_new};
use crate::rig::mariadb::MariaDb;

/// The store's URL through a proxy, with short time limits.
pub fn through(proxy: &Proxy, place: &Place) -> (StoreUrl, Options) {
    let StoreUrl::Mysql(mut url) = place.url() else {
        panic!("no server");
    };
    url.server = MysqlServer::Tcp {
        host: "127.0.0.1".to_owned(),
        port: proxy.port(),
    };
    let options = Options {
        timeout: LIMIT,
        ..place.options()
    };
    (StoreUrl::Mysql(url), options)
}

/// An open gate whose store is reached through a proxy.
async fn gate_through(proxy: &Proxy, place: &Place) -> Arc<Gate> {
    let (url, options) = through(proxy, place);
    let open = move || {
        let (url, options) = (url.clone(), options.clone());
        async move { buffer::open(&url, &options).await }
    };
    let gate = Gate::start(open, LIMIT, CancellationToken::new());
    gate.opened().await.unwrap();
    gate
}

/// The answer to a COMMIT is lost in each way: the store finds out what became of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_an_answer_is_read_back() {
    let (server, place) = place();
    let proxy = Proxy::start(server.port()).await;
    let (url, options) = through(&proxy, &place);
    let buffer = buffer::open(&url, &options).await.unwrap();
    let known = store_new(&*buffer, "o", vec![job("known")]).await[0];

    for mischief in [Mischief::CutAfterCommit, Mischief::SwallowAnswer] {
        let name = format!("{mischief:?}");
        proxy.spoil_next_commit(mischief);
        let jobs = vec![job("known"), job(&name), job_of(key("known", 1), "other")];
        let stored = buffer.store(request("o", jobs)).await.unwrap();
        assert!(proxy.has_spoilt());
        assert_eq!(stored[0], Stored::Duplicate(known));
        assert_eq!(accepted(&find(&*buffer, &name).await), new(stored[1]));
        assert_eq!(stored[2], Stored::Conflict);
        let again = buffer.store(request("o", vec![job(&name)])).await.unwrap();
        assert_eq!(again, [Stored::Duplicate(new(stored[1]))]);
    }

    proxy.spoil_next_commit(Mischief::CutBeforeCommit);
    let lost = buffer.store(request("o", vec![job("lost")])).await;
    assert!(is_unreachable(&lost), "{lost:?}");
    assert_eq!(find(&*buffer, "lost").await, Lookup::Absent);
    store_new(&*buffer, "o", vec![job("lost")]).await;
    assert_eq!(place.number("SELECT COUNT(*) FROM payloads"), 4);
}

/// While the commit is in doubt nobody hears `absent`; the others are served by a new session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swallowed_answer_is_unknown_meanwhile() {
    let (server, place) = place();
    let proxy = Proxy::start(server.port()).await;
    let gate = gate_through(&proxy, &place).await;
    proxy.spoil_next_commit(Mischief::SwallowAnswer);
    let stored = gate.store(request("o", vec![job("1")])).await;
    assert!(is_unreachable(&stored), "{stored:?}");
    // The commit took effect: what would be absent by a careless look-up is found.
    assert!(matches!(
        find(&*gate, "1").await,
        Lookup::Found(_) | Lookup::Unreachable
    ));
    accepted(&find_at_last(&*gate, "1", RECOVERY).await);
    let started = Instant::now();
    while gate.store(request("o", vec![job("2")])).await.is_err() {
        assert!(started.elapsed() < RECOVERY);
    }
}

/// A commit that the server holds back: unknown as long as it may still happen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_commit_is_unknown_until_it_is_known() {
    let (server, place) = place();
    let gate = gate(&place);
    gate.opened().await.unwrap();
    store_new(&*gate, "o", vec![job("before")]).await;
    let mut other = connection(&server).await;
    for stage in ["START", "FLUSH", "BLOCK_DDL", "BLOCK_COMMIT"] {
        other
            .query_drop(format!("BACKUP STAGE {stage}"))
            .await
            .unwrap();
    }
    let started = Instant::now();
    let stored = gate.store(request("o", vec![job("1"), job("2")])).await;
    assert!(is_unreachable(&stored), "{stored:?}");
    assert!(started.elapsed() < 2 * LIMIT, "{:?}", started.elapsed());
    for _ in 0..5 {
        assert_in_doubt(&*gate, "1").await;
        assert_in_doubt(&*gate, "2").await;
        assert_eq!(find(&*gate, "3").await, Lookup::Absent);
        assert!(matches!(find(&*gate, "before").await, Lookup::Found(_)));
        tokio::time::sleep(LIMIT / 3).await;
    }
    other.query_drop("BACKUP STAGE END").await.unwrap();
    let id = accepted(&find_at_last(&*gate, "1", RECOVERY).await);
    let stored = gate.store(request("o", vec![job("1")])).await.unwrap();
    assert_eq!(stored, [Stored::Duplicate(id)]);
}

/// A commit that is held back for longer than its session may live: it is ended, and then the
/// truth is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_never_ends_is_ended() {
    let (server, place) = place();
    let options = Options {
        timeout: LIMIT,
        ..place.options()
    };
    let buffer = buffer::open(&place.url(), &options).await.unwrap();
    let mut other = connection(&server).await;
    for stage in ["START", "FLUSH", "BLOCK_DDL", "BLOCK_COMMIT"] {
        other
            .query_drop(format!("BACKUP STAGE {stage}"))
            .await
            .unwrap();
    }
    let started = Instant::now();
    let stored = buffer.store(request("o", vec![job("1")])).await;
    assert!(started.elapsed() > 2 * LIMIT, "{:?}", started.elapsed());
    match (&stored, find(&*buffer, "1").await) {
        (Err(BufferError::Unreachable(_)), Lookup::Absent) => {}
        (Ok(stored), found) => assert_eq!(new(stored[0]), accepted(&found)),
        other => panic!("{other:?}"),
    }
    other.query_drop("BACKUP STAGE END").await.unwrap();
    let again = buffer.store(request("o", vec![job("1")])).await.unwrap();
    let id = accepted(&find(&*buffer, "1").await);
    match stored {
        Ok(_) => assert_eq!(again, [Stored::Duplicate(id)]),
        Err(_) => assert_eq!(again, [Stored::New(id)]),
    }
}

/// The address leads to another server now: what that one lacks is no proof of anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_does_not_settle_a_commit_in_doubt() {
    let ((old, place), other) = (place(), MariaDb::start());
    let proxy = Proxy::start(old.port()).await;
    let gate = gate_through(&proxy, &place).await;
    let before = store_new(&*gate, "o", vec![job("before")]).await[0];
    old.copy_database("mill", &other);
    // It is no older copy, as far as is known.
    other.sql("UPDATE mill.generation SET number = number + 1000");
    proxy.lead_to(other.port());
    proxy.spoil_next_commit(Mischief::CutAfterCommit);
    let stored = gate.store(request("o", vec![job("1")])).await;
    assert!(is_unreachable(&stored), "{stored:?}");
    assert!(proxy.has_spoilt());
    old.kill_sessions("mill");
    let found = find_at_last(&*gate, "before", RECOVERY).await;
    assert_eq!(accepted(&found), before);
    for _ in 0..10 {
        assert_eq!(find(&*gate, "1").await, Lookup::Unreachable);
        assert_eq!(find(&*gate, "2").await, Lookup::Absent);
        tokio::time::sleep(LIMIT / 3).await;
    }
    // Handed in again, it is settled.
    let id = store_new(&*gate, "o", vec![job("1")]).await[0];
    assert_eq!(accepted(&find_at_last(&*gate, "1", RECOVERY).await), id);
}
