//! What only a server does: deny, deadlock, scan.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gristmill::buffer::{
    self, BufferError, KnownJob, Lookup, MysqlBuffer, MysqlUrl, OpenError, Options, StoreUrl,
    Stored, TaskBuffer,
};
use gristmill::job::RecordId;
use mysql_async::prelude::Queryable;

use super::place::Place;
use super::write::{job, job_id, owner, request, store_new};
use crate::rig::mariadb::MariaDb;
use crate::rig::pki::Authority;

pub fn place() -> (Arc<MariaDb>, Place) {
    let server = Arc::new(MariaDb::start());
    let place = Place::mysql(&server, "mill");
    (server, place)
}

pub async fn connection(server: &MariaDb) -> mysql_async::Conn {
    let opts = mysql_async::Opts::from_url(&server.url_with_password("mill")).unwrap();
    mysql_async::Conn::new(opts).await.unwrap()
}

pub fn accepted(found: &Lookup<KnownJob>) -> RecordId {
    match found {
        Lookup::Found(KnownJob::Accepted { id, .. }) => *id,
        other => panic!("{other:?}"),
    }
}

pub fn is_unreachable<T>(answer: &Result<T, BufferError>) -> bool {
    matches!(answer, Err(BufferError::Unreachable(_)))
}

/// Another transaction holds a key that we want: lock time-outs and deadlocks are tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlocks_and_lock_timeouts_are_tried_again() {
    const INSERT: &str = "INSERT INTO jobs (owner, job_id, attempt, state, priority_neg,
        content_hash, accepted_at, since, batch) VALUES ('o', ?, 1, 'ready', 0, 'x', 0, 0, 0)";
    let (server, place) = place();
    server.sql("SET GLOBAL innodb_lock_wait_timeout = 1");
    let buffer = place.open().await;
    let mut other = connection(&server).await;

    // 1205: theirs is rolled back after two time-outs.
    other.query_drop("BEGIN").await.unwrap();
    other.exec_drop(INSERT, ("1",)).await.unwrap();
    let storing = {
        let buffer = buffer.clone();
        tokio::spawn(async move { buffer.store(request("o", vec![job("0"), job("1")])).await })
    };
    tokio::time::sleep(Duration::from_millis(2300)).await;
    assert!(!storing.is_finished());
    other.query_drop("ROLLBACK").await.unwrap();
    let stored = storing.await.unwrap().unwrap();
    assert!(
        stored.iter().all(|stored| matches!(stored, Stored::New(_))),
        "{stored:?}"
    );

    // 1213: they hold b and want a, we hold a and want b; they have done more and survive.
    server.sql("SET GLOBAL innodb_lock_wait_timeout = 50");
    let buffer = MysqlBuffer::open(&mysql_url(&place), &place.options())
        .await
        .unwrap();
    let buffer: Arc<dyn TaskBuffer> = Arc::new(buffer);
    other.query_drop("BEGIN").await.unwrap();
    for n in 0..200 {
        other
            .exec_drop(INSERT, (format!("theirs {n}"),))
            .await
            .unwrap();
    }
    other.exec_drop(INSERT, ("b",)).await.unwrap();
    let storing = tokio::spawn(async move {
        buffer
            .store(request("o", vec![job("b"), job("a"), job("c")]))
            .await
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    other.exec_drop(INSERT, ("a",)).await.unwrap();
    other.query_drop("COMMIT").await.unwrap();
    let stored = storing.await.unwrap().unwrap();
    assert_eq!(stored[..2], [Stored::Conflict, Stored::Conflict]);
    assert!(matches!(stored[2], Stored::New(_)));
}

/// A cluster's server gives each third ID only: what was inserted is found all the same, and each
/// payload belongs to its own record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_need_not_follow_one_another() {
    let (server, place) = place();
    server.sql("SET GLOBAL auto_increment_increment = 3");
    let buffer = place.open().await;
    let jobs: Vec<_> = (0..700).map(|n| job(&format!("job {n}"))).collect();
    let ids = store_new(&*buffer, "o", jobs.clone()).await;
    assert_eq!(ids[1].get() - ids[0].get(), 3);
    for (job, id) in jobs.iter().zip(&ids).step_by(50) {
        let Lookup::Found(dossier) = buffer.show(*id).await.unwrap() else {
            panic!("no record {id}");
        };
        assert_eq!(dossier.record.key, job.key);
        assert_eq!(dossier.payload.as_ref(), Some(&job.payload));
    }
    let again = buffer.store(request("o", jobs)).await.unwrap();
    let ids: Vec<_> = ids.into_iter().map(Stored::Duplicate).collect();
    assert_eq!(again, ids);
}

fn mysql_url(place: &Place) -> MysqlUrl {
    match place.url() {
        StoreUrl::Mysql(url) => url,
        StoreUrl::Sqlite(path) => panic!("{} is no server", path.display()),
    }
}

/// Look-ups go by the unique key and the record ID: they read no row that is not asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn look_ups_do_not_scan() {
    let (server, place) = place();
    let buffer = place.open().await;
    server.sql(
        "USE mill; INSERT INTO jobs (owner, job_id, attempt, state, priority_neg, content_hash,
                                accepted_at, since, batch)
         SELECT 'o', CONCAT('job ', seq), 1, 'ready', 0, REPEAT('x', 32), 0, 0, 0
         FROM seq_1_to_50000",
    );
    let name = |n: usize| format!("job {}", 1 + 50 * n);
    server.sql("ANALYZE TABLE mill.jobs");
    let scanned = || -> i64 {
        let query = "SELECT SUM(variable_value) FROM information_schema.global_status
                     WHERE variable_name IN ('Handler_read_rnd_next', 'Handler_read_next')";
        server.sql(query).trim().parse().unwrap()
    };
    let idle = scanned();
    let idle = scanned() - idle;
    let names: Vec<_> = (0..1000).map(|n| (job_id(&name(n)), None)).collect();
    let before = scanned();
    let found = buffer.find_jobs(&owner("o"), &names).await.unwrap();
    let pairs = names.iter().zip(&found);
    let pairs: Vec<_> = pairs
        .map(|((name, _), found)| (name.clone(), accepted(found)))
        .collect();
    let found = buffer.find_records(&owner("o"), &pairs).await.unwrap();
    assert!(found.iter().all(|found| matches!(found, Lookup::Found(_))));
    let again: Vec<_> = (0..1000).map(|n| job(&name(n))).collect();
    buffer.store(request("o", again)).await.unwrap();
    let steps = scanned() - before - idle;
    // Each range of the unique key takes a step to see that it has ended.
    assert!(steps <= 3 * 1000, "{steps} steps");
}

#[tokio::test]
async fn whoever_is_not_let_in_hears_why() {
    let (server, place) = place();
    let wrong = Options {
        password: Some("wrong".to_owned().into()),
        ..place.options()
    };
    let error = buffer::open(&place.url(), &wrong).await.err().unwrap();
    assert!(matches!(error, OpenError::Refused(_)), "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");
    let nowhere = StoreUrl::parse(&server.url("nowhere")).unwrap();
    let error = buffer::open(&nowhere, &place.options())
        .await
        .err()
        .unwrap();
    assert!(
        matches!(&error, OpenError::Refused(why) if why.contains("nowhere")),
        "{error}"
    );

    // By this name the server is not known to be on this machine.
    let remote = server.url("mill").replace("127.0.0.1", "127.1");
    let error = buffer::open(&StoreUrl::parse(&remote).unwrap(), &place.options()).await;
    let error = error.err().unwrap();
    assert!(
        matches!(&error, OpenError::Refused(why) if why.contains("TLS")),
        "{error}"
    );

    let socket = format!(
        "mysql://{}@localhost/mill?socket={}",
        crate::rig::mariadb::USER,
        server.socket().display()
    );
    let buffer = buffer::open(&StoreUrl::parse(&socket).unwrap(), &place.options())
        .await
        .unwrap();
    store_new(&*buffer, "o", vec![job("1")]).await;

    let dead = StoreUrl::parse("mysql://gristmill@127.0.0.1:1/mill").unwrap();
    let error = buffer::open(&dead, &place.options()).await.err().unwrap();
    assert!(error.is_transient(), "{error}");
}

/// What the log says while a store is opened.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A server that is quick at the price of durability is served, and its operator is told.
#[tokio::test]
async fn a_server_that_forgets_commits_is_warned_of() {
    let (server, place) = place();
    for (value, warned) in [(1, false), (2, true), (0, true)] {
        server.sql(&format!(
            "SET GLOBAL innodb_flush_log_at_trx_commit = {value}"
        ));
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
        let listening = tracing::subscriber::set_default(subscriber.finish());
        let buffer = place.open().await;
        drop(listening);
        let said = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let advice = "set innodb_flush_log_at_trx_commit = 1";
        assert_eq!(said.contains(advice), warned, "{value}: {said}");
        store_new(&*buffer, "o", vec![job(&value.to_string())]).await;
    }
}

/// With `ca_file` the server must prove who it is, also on this machine.
#[tokio::test]
async fn tls_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let certificate = authority.issue(folder.path(), "127.0.0.1");
    let server = MariaDb::start_with(vec![
        format!("--ssl-cert={}", certificate.chain.display()),
        format!("--ssl-key={}", certificate.key.display()),
        "--require-secure-transport=ON".to_owned(),
    ]);
    let place = Place::mysql(&Arc::new(server), "mill");
    let with = |ca_file| Options {
        ca_file,
        ..place.options()
    };
    let buffer = buffer::open(&place.url(), &with(Some(authority.file.clone())))
        .await
        .unwrap();
    store_new(&*buffer, "o", vec![job("1")]).await;

    let stranger = tempfile::tempdir().unwrap();
    let stranger = Authority::new(stranger.path()).file;
    let absent = folder.path().join("absent.pem");
    let mistakes = [
        (Some(stranger), ["certificate", "certificate"]),
        (Some(absent), ["absent.pem", "absent.pem"]),
        // MariaDB 10.11, and later ones.
        (None, ["Access denied", "insecure transport"]),
    ];
    for (ca_file, reasons) in mistakes {
        let error = buffer::open(&place.url(), &with(ca_file))
            .await
            .err()
            .unwrap();
        assert!(!error.is_transient(), "{error}");
        let said = error.to_string();
        assert!(reasons.iter().any(|why| said.contains(why)), "{said}");
    }
}
