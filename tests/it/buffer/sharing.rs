//! Several daemons share the work of one MariaDB.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gristmill::buffer::{
    AdvanceRequest, Advanced, BufferError, Change, ClaimRequest, Claimed, Claims, Holder, Kill,
    Lookup, MysqlBuffer, Options, Renewed, StoreUrl, TaskBuffer,
};
use gristmill::job::policy::Backoff;
use gristmill::job::{Fence, Limits, RecordId, State, Step, Token};
use jiff::Timestamp;
use mysql_async::prelude::Queryable;

use super::doubt::through;
use super::gate::LIMIT;
use super::mysql::{connection, is_unreachable, place};
use super::outage::RECOVERY;
use super::place::Place;
use super::proxy::{Mischief, Proxy};
use super::write::{NOW, at, job, job_id, owner, store_new};

const LIMITS: Limits = Limits {
    max_runs: 3,
    max_abandons: 5,
    backoff: Backoff {
        first: Duration::from_secs(10),
        longest: Duration::from_mins(10),
    },
};

async fn open(url: &StoreUrl, options: &Options) -> Arc<MysqlBuffer> {
    match url {
        StoreUrl::Mysql(url) => Arc::new(MysqlBuffer::open(url, options).await.unwrap()),
        StoreUrl::Sqlite(path) => panic!("{} is no server", path.display()),
    }
}

pub async fn daemon(place: &Place) -> Arc<MysqlBuffer> {
    open(&place.url(), &place.options()).await
}

/// With a time limit that also a busy machine keeps.
async fn behind(proxy: &Proxy, place: &Place) -> Arc<MysqlBuffer> {
    let (url, options) = through(proxy, place);
    let timeout = Duration::from_secs(1);
    open(&url, &Options { timeout, ..options }).await
}

pub fn asking(holder: &str, most: u32) -> ClaimRequest {
    ClaimRequest {
        holder: Holder::new(holder.to_owned()).unwrap(),
        most,
        pass_over: None,
        now: at(NOW + 1),
    }
}

fn change(id: RecordId, token: Token, step: Step) -> Change {
    Change {
        id,
        fence: Fence {
            token,
            renewal: None,
        },
        step,
        dice: 0.5,
        reason: None,
        report: None,
    }
}

fn advancing(changes: Vec<Change>, now: Timestamp) -> AdvanceRequest {
    AdvanceRequest {
        changes,
        limits: LIMITS,
        now,
    }
}

/// Of these claims: each started and ended well.
pub fn ending(claims: &[(RecordId, Token)]) -> AdvanceRequest {
    let steps = [Step::Start, Step::Succeed];
    let changes = claims
        .iter()
        .flat_map(|(id, token)| steps.map(|step| change(*id, *token, step)));
    advancing(changes.collect(), at(NOW + 2))
}

pub fn claims(claimed: &[Claimed]) -> Vec<(RecordId, Token)> {
    claimed.iter().map(|job| (job.id, job.token)).collect()
}

pub fn names(from: usize, to: usize) -> Vec<gristmill::buffer::NewJob> {
    (from..to).map(|n| job(&format!("job {n}"))).collect()
}

/// What the store really asks, as the server has logged it: the claim index gives the order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_walk_the_index_in_its_order() {
    let (server, place) = place();
    let daemon = daemon(&place).await;
    server.sql(
        "USE mill; INSERT INTO jobs (owner, job_id, attempt, state, priority_neg, content_hash,
                                accepted_at, since, batch)
         SELECT 'o', seq, 1, IF(seq % 3, 'ready', 'succeeded'), seq % 7, REPEAT('x', 32), 0, 0, 0
         FROM seq_1_to_20000;
         INSERT INTO payloads (record_id, xml) SELECT id, '<job/>' FROM jobs",
    );
    server.sql("ANALYZE TABLE mill.jobs, mill.payloads");
    server.sql("SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = 1");
    let claimed = daemon.claim(asking("a", 100)).await.unwrap();
    server.sql("SET GLOBAL general_log = 0");
    assert_eq!(claimed.len(), 100);
    let statements = server.sql(
        "SELECT REGEXP_REPLACE(argument, '\\\\s+', ' ') FROM mysql.general_log
         WHERE command_type = 'Execute' AND argument LIKE '%SKIP LOCKED%'",
    );
    let explain = |what: &str| {
        let statement = statements.lines().find(|line| line.contains(what)).unwrap();
        server.sql(&format!("USE mill; EXPLAIN {statement}"))
    };
    let plan = explain("priority_neg");
    assert!(plan.contains("jobs_by_claim"), "{plan}");
    assert!(!plan.contains("filesort"), "{plan}");
    assert!(!plan.contains("temporary"), "{plan}");
    assert!(plan.contains("eq_ref"), "{plan}");
    let plan = explain("due_at <=");
    assert!(plan.contains("jobs_by_due"), "{plan}");
}

/// Whoever comes second gets the next ones, at once, and nobody gets what is locked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_passes_by_what_others_have_locked() {
    let (server, place) = place();
    let daemon = daemon(&place).await;
    let mut ids = store_new(&*daemon, "o", names(0, 30)).await;
    ids.sort_unstable();
    let mut other = connection(&server).await;
    other
        .query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; BEGIN")
        .await
        .unwrap();
    let lock = "SELECT id FROM jobs WHERE state = 'ready' ORDER BY priority_neg, id LIMIT 10
                FOR UPDATE SKIP LOCKED";
    let locked: Vec<u64> = other.query(lock).await.unwrap();
    assert_eq!(locked.len(), 10);
    let started = Instant::now();
    let second = claims(&daemon.claim(asking("a", 10)).await.unwrap());
    assert!(started.elapsed() < Duration::from_secs(1));
    let of = |claims: &[(RecordId, Token)]| claims.iter().map(|(id, _)| *id).collect::<Vec<_>>();
    assert_eq!(of(&second), ids[10..20]);
    other.query_drop("ROLLBACK").await.unwrap();
    let rest = claims(&daemon.claim(asking("a", 100)).await.unwrap());
    let left: Vec<_> = ids[..10].iter().chain(&ids[20..]).copied().collect();
    assert_eq!(of(&rest), left);
}

/// Lots of several sizes, settled, renewed, given back, while more jobs come: every claim is
/// given once, and every job ends once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_daemons_claim_and_settle_at_once() {
    const JOBS: usize = 4000;
    let (_server, place) = place();
    let storing = daemon(&place).await;
    store_new(&*storing, "o", names(0, 1000)).await;
    let ended = Arc::new(AtomicUsize::new(0));
    let mut workers = Vec::new();
    for worker in 0..6_u32 {
        let (daemon, ended) = (daemon(&place).await, ended.clone());
        workers.push(tokio::spawn(async move {
            let mut given = Vec::new();
            let mut lot = Vec::new();
            while ended.load(Ordering::Relaxed) < JOBS {
                let next = daemon.claim(asking(&worker.to_string(), 1 + 30 * worker));
                let (next, ()) = tokio::join!(next, settle(&daemon, &lot, &ended));
                lot = claims(&next.unwrap());
                given.extend(lot.iter().copied());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert!(lot.is_empty());
            given
        }));
    }
    for from in (1000..JOBS).step_by(500) {
        store_new(&*storing, "o", names(from, from + 500)).await;
    }
    let mut given: HashMap<RecordId, Vec<Token>> = HashMap::new();
    for worker in workers {
        let claims = worker.await.unwrap();
        assert!(!claims.is_empty(), "a worker has starved");
        for (id, token) in claims {
            given.entry(id).or_default().push(token);
        }
    }
    assert_eq!(given.len(), JOBS);
    let mut claims = 0;
    for (id, mut tokens) in given {
        tokens.sort_unstable();
        let wanted: Vec<_> = (1..=tokens.len() as u64).map(Token).collect();
        assert_eq!(tokens, wanted, "{id}");
        claims += tokens.len();
    }
    let count = |condition: &str| place.number(&format!("SELECT COUNT(*) FROM {condition}"));
    assert_eq!(
        count("jobs WHERE state = 'succeeded' AND holder IS NULL"),
        4000
    );
    assert_eq!(
        count("events WHERE code = 'claim'"),
        i64::try_from(claims).unwrap()
    );
    assert_eq!(count("events WHERE code = 'succeed'"), 4000);
    assert_eq!(count("jobs WHERE renewal = 1"), 4000);
}

/// Renews all, gives every ninth of the first claims back, and has the others end well.
async fn settle(daemon: &MysqlBuffer, lot: &[(RecordId, Token)], ended: &AtomicUsize) {
    let renewed = daemon.renew(lot).await.unwrap();
    assert!(renewed.iter().all(|renewed| *renewed == Renewed::Held));
    let is_unwanted =
        |(id, token): &(RecordId, Token)| id.get().is_multiple_of(9) && *token == Token(1);
    let (back, done): (Vec<_>, Vec<_>) = lot.iter().copied().partition(is_unwanted);
    let back = back
        .iter()
        .map(|(id, token)| change(*id, *token, Step::GiveBack));
    let back = advancing(back.collect(), at(NOW + 2));
    let (back, done_too) = tokio::join!(daemon.advance(back), daemon.advance(ending(&done)));
    let is_done = |advanced: &Advanced| matches!(advanced, Advanced::Done(_));
    assert!(back.unwrap().iter().all(is_done));
    assert!(done_too.unwrap().iter().all(is_done));
    ended.fetch_add(done.len(), Ordering::Relaxed);
}

/// Somebody else holds a row: who wants it killed waits, or tries again, and gets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_row_is_waited_for() {
    let (server, place) = place();
    server.sql("SET GLOBAL innodb_lock_wait_timeout = 1");
    let daemon = daemon(&place).await;
    store_new(&*daemon, "o", names(0, 2)).await;
    let held = claims(&daemon.claim(asking("a", 2)).await.unwrap());
    let mut other = connection(&server).await;
    other.query_drop("BEGIN").await.unwrap();
    let lock = "SELECT id FROM jobs WHERE id = ? FOR UPDATE";
    other.exec_drop(lock, (held[1].0.get(),)).await.unwrap();
    let killing = {
        let (daemon, wanted) = (daemon.clone(), [(job_id("job 1"), held[1].0)]);
        tokio::spawn(async move { daemon.kill(&owner("o"), &wanted, at(NOW + 2)).await })
    };
    tokio::time::sleep(Duration::from_millis(2300)).await;
    assert!(!killing.is_finished());
    other.query_drop("ROLLBACK").await.unwrap();
    let killed = killing.await.unwrap().unwrap();
    assert_eq!(killed, [Lookup::Found(Kill::Requested(State::Claimed))]);
}

/// The answer to a COMMIT is lost in each way: who asked hears that nothing is known, and a
/// repetition tells what became of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_advance_in_doubt_may_be_repeated() {
    let (server, place) = place();
    let proxy = Proxy::start(server.port()).await;
    let daemon = behind(&proxy, &place).await;
    store_new(&*daemon, "o", names(0, 3)).await;
    let held = claims(&daemon.claim(asking("a", 3)).await.unwrap());
    let mischiefs = [
        Mischief::CutAfterCommit,
        Mischief::SwallowAnswer,
        Mischief::CutBeforeCommit,
    ];
    for ((id, token), mischief) in held.into_iter().zip(mischiefs) {
        let start = || advancing(vec![change(id, token, Step::Start)], at(NOW + 2));
        proxy.spoil_next_commit(mischief);
        let started = daemon.advance(start()).await;
        assert!(proxy.has_spoilt());
        assert!(is_unreachable(&started), "{mischief:?}: {started:?}");
        let mut started = at_last(|| daemon.advance(start())).await;
        // The server may still hold what the cut connection had locked.
        while started == [Advanced::Busy] {
            tokio::time::sleep(Duration::from_millis(20)).await;
            started = at_last(|| daemon.advance(start())).await;
        }
        assert_eq!(started, [Advanced::Done(State::Running)], "{mischief:?}");
        let ended = daemon.advance(ending(&[(id, token)])).await.unwrap();
        assert_eq!(ended[1], Advanced::Done(State::Succeeded), "{mischief:?}");
    }
    assert_eq!(
        place.number("SELECT COUNT(*) FROM events WHERE code = 'start'"),
        3
    );
}

/// A claim whose commit is in doubt is nobody's answer, but it is among the leases: its holder
/// finds it there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_in_doubt_is_found_among_the_leases() {
    let (server, place) = place();
    let proxy = Proxy::start(server.port()).await;
    let daemon = behind(&proxy, &place).await;
    let ids = store_new(&*daemon, "o", names(0, 2)).await;
    proxy.spoil_next_commit(Mischief::CutAfterCommit);
    let lost = daemon.claim(asking("a", 1)).await;
    assert!(is_unreachable(&lost), "{lost:?}");
    let leases = at_last(|| daemon.leases()).await;
    assert_eq!(leases.len(), 1);
    assert_eq!((leases[0].id, leases[0].holder.as_str()), (ids[0], "a"));
    let back = change(leases[0].id, leases[0].token, Step::GiveBack);
    let back = daemon.advance(advancing(vec![back], at(NOW + 1))).await;
    assert_eq!(back.unwrap(), [Advanced::Done(State::Ready)]);
    let both = claims(&daemon.claim(asking("a", 5)).await.unwrap());
    assert_eq!(both, [(ids[0], Token(2)), (ids[1], Token(1))]);
}

/// Repeats a question until the store is back.
async fn at_last<T, Asking>(ask: impl Fn() -> Asking) -> T
where
    Asking: Future<Output = Result<T, BufferError>>,
{
    let started = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(BufferError::Unreachable(why)) => {
                assert!(started.elapsed() < RECOVERY, "{why}");
                tokio::time::sleep(LIMIT / 10).await;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// Every record is asked for once, whoever asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_askers_of_one_daemon_share_commits() {
    let (_server, place) = place();
    let daemon = daemon(&place).await;
    let ids = store_new(&*daemon, "o", names(0, 400)).await;
    let askers: Vec<_> = (0..40)
        .map(|n: u32| {
            let daemon = daemon.clone();
            let holder = ["a", "b"][n as usize % 2];
            tokio::spawn(async move { daemon.claim(asking(holder, 10)).await })
        })
        .collect();
    let mut given = HashSet::new();
    for asker in askers {
        let claimed = asker.await.unwrap().unwrap();
        assert_eq!(claimed.len(), 10);
        given.extend(claimed.into_iter().map(|job| job.id));
    }
    assert_eq!(given, ids.into_iter().collect());
    let holders = "SELECT COUNT(*) FROM jobs WHERE state = 'claimed' AND holder = 'a'";
    assert_eq!(place.number(holders), 200);
}
