//! A server that takes no writes any more: it answers what only reads, and is left for one that
//! takes them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill::buffer::{
    self, BufferError, Claims, Gate, Lookup, Options, Renewed, StoreUrl, TaskBuffer,
};
use gristmill::job::Token;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::doubt::through;
use super::gate::find;
use super::mysql::{accepted, place};
use super::place::Place;
use super::proxy::Proxy;
use super::write::{job, job_id, owner, request, store_new};
use crate::rig::mariadb::{MariaDb, ORDINARY};

/// A question may take so long here: the tests are about what is answered, not how soon.
const LIMIT: Duration = Duration::from_secs(5);

/// A store that refused a write counts as well again within this.
const CALM: Duration = Duration::from_secs(30);

/// A gate before a store that is opened by an account that `read_only` binds.
async fn ordinary_gate((url, options): (StoreUrl, Options)) -> Arc<Gate> {
    let StoreUrl::Mysql(mut url) = url else {
        panic!("no server");
    };
    ORDINARY.clone_into(&mut url.user);
    let url = StoreUrl::Mysql(url);
    let open = move || {
        let (url, options) = (url.clone(), options.clone());
        async move { buffer::open(&url, &options).await }
    };
    let gate = Gate::start(open, LIMIT, CancellationToken::new());
    gate.opened().await.unwrap();
    gate
}

fn read_only_place() -> (Arc<MariaDb>, Place) {
    let (server, place) = place();
    server.create_ordinary_account("mill");
    (server, place)
}

async fn until(what: &str, patience: Duration, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < patience, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_read_only<T>(answer: &Result<T, BufferError>) -> bool {
    matches!(answer, Err(BufferError::ReadOnly(_)))
}

/// The store that was opened becomes read-only and lives on; new connections reach another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demoted_server_is_left_for_the_one_that_took_its_place() {
    let ((old, place), new) = (read_only_place(), MariaDb::start());
    let proxy = Proxy::start(old.port()).await;
    let gate = ordinary_gate(through(&proxy, &place)).await;
    let id = store_new(&*gate, "o", vec![job("before")]).await[0];
    old.sql("UPDATE mill.jobs SET state = 'claimed', token = 7, holder = 'mill-1'");
    // All sessions are there, and several connections for reading.
    let claims = [(id, Token(7))];
    assert_eq!(gate.renew(&claims).await.unwrap(), [Renewed::Held]);
    let reads = (0..4).map(|_| find(&*gate, "before"));
    futures::future::join_all(reads).await;
    old.sql("SET GLOBAL read_only = 1");
    old.copy_database("mill", &new);
    new.create_ordinary_account("mill");
    proxy.lead_to(new.port());

    // The first try of each, without a loss.
    assert_eq!(gate.renew(&claims).await.unwrap(), [Renewed::Held]);
    store_new(&*gate, "o", vec![job("after")]).await;
    assert_eq!(accepted(&find(&*gate, "before").await), id);
    assert!(matches!(find(&*gate, "after").await, Lookup::Found(_)));
    let there = |server: &MariaDb| server.sql("SELECT job_id FROM mill.jobs ORDER BY id");
    assert_eq!(
        (there(&old), there(&new)),
        ("before\n".into(), "before\nafter\n".into())
    );
    let renewals = new.sql("SELECT renewal FROM mill.jobs WHERE job_id = 'before'");
    assert_eq!(renewals.trim(), "2");
    until("all is well", CALM, || gate.can_store().is_ok()).await;
}

/// Nothing is written: the look that is taken now and then finds out, and reading moves, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demoted_server_is_left_also_where_nothing_is_written() {
    let ((old, place), new) = (read_only_place(), MariaDb::start());
    let proxy = Proxy::start(old.port()).await;
    let gate = ordinary_gate(through(&proxy, &place)).await;
    store_new(&*gate, "o", vec![job("before")]).await;
    old.sql("SET GLOBAL read_only = 1");
    old.copy_database("mill", &new);
    new.create_ordinary_account("mill");
    new.sql("UPDATE mill.jobs SET job_id = 'promoted'");
    proxy.lead_to(new.port());
    let started = Instant::now();
    while !matches!(find(&*gate, "promoted").await, Lookup::Found(_)) {
        assert!(started.elapsed() < CALM, "still with the old one");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// It is known without any write of ours, reads have true answers, and it ends by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_server_is_up_and_cannot_store() {
    let (server, place) = read_only_place();
    let gate = ordinary_gate((place.url(), place.options())).await;
    let id = store_new(&*gate, "o", vec![job("1")]).await[0];
    gate.can_store().unwrap();
    server.sql("SET GLOBAL read_only = 1");
    until("it is known", CALM, || is_read_only(&gate.can_store())).await;
    for _ in 0..20 {
        assert_eq!(accepted(&find(&*gate, "1").await), id);
        assert_eq!(find(&*gate, "2").await, Lookup::Absent);
        let stored = gate.store(request("o", vec![job("2")])).await;
        assert!(is_read_only(&stored), "{stored:?}");
        let (asked, now) = ([(job_id("2"), None)], Timestamp::now());
        let rejected = gate.remember_rejected(&owner("o"), &asked, now, now).await;
        assert!(is_read_only(&rejected), "{rejected:?}");
        assert!(is_read_only(&gate.can_store()));
        gate.is_up().unwrap();
    }
    server.sql("SET GLOBAL read_only = 0");
    store_new(&*gate, "o", vec![job("2")]).await;
    until("it is over", CALM, || gate.can_store().is_ok()).await;
}

/// Every connection is closed by the server. What changes nothing is asked again on another one,
/// and so is what was not sent to be committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_on_a_closed_connection_is_asked_again() {
    let (server, place) = place();
    let buffer = place.open().await;
    let id = store_new(&*buffer, "o", vec![job("1")]).await[0];
    for _ in 0..20 {
        let reads = (0..4).map(|_| find(&*buffer, "1"));
        futures::future::join_all(reads).await;
        server.kill_sessions("mill");
        assert_eq!(accepted(&find(&*buffer, "1").await), id);
        let (asked, now) = ([(job_id("2"), None)], Timestamp::now());
        let rejected = buffer
            .remember_rejected(&owner("o"), &asked, now, now)
            .await;
        assert_eq!(rejected.unwrap(), [true]);
    }
}
