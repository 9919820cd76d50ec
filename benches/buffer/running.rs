//! Goals 4, 5 and 9: claims and settlements, and whether depth slows the store down.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gristmill::buffer::{Claims, MysqlBuffer, SqliteBuffer, StoreUrl, TaskBuffer};

use crate::claims::{claim_lots, one_each, settle_lots};
use crate::raw::{RawMysql, RawSqlite};
use crate::rig::mariadb::{MariaDb, PASSWORD};
use crate::table::Table;
use crate::{BATCH, ROUNDS, Subject, options, timed};

/// Requests whose jobs are claimed in lots.
const LOTS: usize = 3;
/// Workers with one job each.
const WORKERS: usize = 8;

/// How many records the stores have whose rates are compared: in all, and of them waiting.
const SHALLOW: (usize, usize) = (10_000, 10_000);
const DEEP: (usize, usize) = (1_000_000, 100_000);

/// A store to fill by requests and to empty by claims.
struct Mill {
    subject: Subject,
    claims: Arc<dyn Claims>,
}

/// Seconds for a lot of jobs each.
struct Pace {
    accept: f64,
    claim: f64,
    settle: f64,
}

impl Mill {
    fn new<Store: TaskBuffer + Claims + 'static>(store: Store) -> Self {
        let store = Arc::new(store);
        Self {
            subject: Subject::new(store.clone()),
            claims: store,
        }
    }

    async fn mysql(server: &MariaDb, database: &str) -> Self {
        let StoreUrl::Mysql(url) = StoreUrl::parse(&server.url(database)).unwrap() else {
            panic!("no server");
        };
        Self::new(
            MysqlBuffer::open(&url, &options(Some(PASSWORD)))
                .await
                .unwrap(),
        )
    }

    async fn sqlite(path: &Path) -> Self {
        Self::new(SqliteBuffer::open(path, &options(None)).await.unwrap())
    }

    /// Stores, claims and settles so many requests' jobs.
    async fn pace(&self, requests: usize) -> Pace {
        let requests = self.subject.requests(requests, BATCH);
        let accept = timed(self.subject.stream(&requests)).await;
        let mut lots = Vec::new();
        let claim = timed(async {
            lots = claim_lots(&self.claims, BATCH, requests.len() * BATCH).await;
        });
        let claim = claim.await;
        let settle = timed(settle_lots(&self.claims, &lots)).await;
        Pace {
            accept,
            claim,
            settle,
        }
    }
}

pub async fn mariadb(table: &mut Table) {
    let server = MariaDb::start();
    server.create_database("mill");
    server.create_database("raw");
    Mill::mysql(&server, "raw").await;
    let mill = Mill::mysql(&server, "mill").await;
    let mut raw = RawMysql::connect(&server.url_with_password("raw"), WORKERS).await;
    for round in 0..=ROUNDS {
        table.counts(round > 0);
        let insert = timed(raw.batches(&mill.subject.requests(LOTS, BATCH))).await;
        lots(table, &mill.pace(LOTS).await, insert);

        let requests = mill.subject.requests(1, BATCH);
        raw.batches(&requests).await;
        mill.subject.stream(&requests).await;
        let updates = timed(raw.updates(WORKERS)).await;
        let plain = timed(raw.skip_locked(WORKERS, BATCH)).await;
        let ours = timed(one_each(&mill.claims, WORKERS, BATCH)).await;
        table.gain(
            "4",
            "8 workers, to 8 clients' one-row updates",
            updates / ours,
            0.45,
        );
        table.gain("4", "8 workers, to plain SKIP LOCKED", plain / ours, 3.0);
    }
}

pub async fn sqlite(table: &mut Table, folder: &Path) {
    let file = |name: &str| folder.join(format!("{name}.db"));
    drop(Mill::sqlite(&file("raw claims")).await);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mill = Mill::sqlite(&file("mill claims")).await;
    let mut raw = RawSqlite::open(&file("raw claims"));
    for round in 0..=ROUNDS {
        table.counts(round > 0);
        let insert = raw.batches(&mill.subject.requests(LOTS, BATCH));
        lots(table, &mill.pace(LOTS).await, insert);

        let requests = mill.subject.requests(1, BATCH);
        raw.batches(&requests);
        mill.subject.stream(&requests).await;
        let updates = raw.updates();
        let ours = timed(one_each(&mill.claims, WORKERS, BATCH)).await;
        table.gain(
            "4",
            "8 workers, to one client's one-row updates",
            updates / ours,
            0.45,
        );
    }
}

fn lots(table: &mut Table, pace: &Pace, insert: f64) {
    table.gain(
        "5",
        "claims in lots, to the raw insert",
        insert / pace.claim,
        0.6,
    );
    let both = insert / (pace.claim + pace.settle);
    table.observe("claims and settlements in lots, to the same", both);
}

/// A store with few records and one with many, in turns.
async fn depth(table: &mut Table, shallow: &Mill, deep: &Mill) {
    for round in 0..=ROUNDS {
        table.counts(round > 0);
        let (few, many) = (shallow.pace(1).await, deep.pace(1).await);
        table.gain(
            "9",
            "accept, deep to shallow",
            few.accept / many.accept,
            0.7,
        );
        table.gain("9", "claim, deep to shallow", few.claim / many.claim, 0.7);
        table.gain(
            "9",
            "settle, deep to shallow",
            few.settle / many.settle,
            0.7,
        );
    }
}

pub async fn mariadb_depth(table: &mut Table) {
    let server = MariaDb::start();
    let mut mills = Vec::new();
    for (database, (stored, waiting)) in [("shallow", SHALLOW), ("deep", DEEP)] {
        server.create_database(database);
        let mill = Mill::mysql(&server, database).await;
        server.sql(&format!(
            "USE {database};
             INSERT INTO jobs (owner, job_id, attempt, state, priority_neg, content_hash,
                               accepted_at, since, batch)
             SELECT 'fill', seq, 1, IF(seq > {stored} - {waiting}, 'ready', 'succeeded'), 0,
                    REPEAT('x', 32), 0, 0, 0 FROM seq_1_to_{stored};
             INSERT INTO payloads (record_id, xml)
             SELECT id, REPEAT('x', 3600) FROM jobs WHERE state = 'ready'"
        ));
        mills.push(mill);
    }
    depth(table, &mills[0], &mills[1]).await;
}

pub async fn sqlite_depth(table: &mut Table, folder: &Path) {
    let mut mills = Vec::new();
    for (name, (stored, waiting)) in [("shallow", SHALLOW), ("deep", DEEP)] {
        let path = folder.join(format!("{name}.db"));
        let mill = Mill::sqlite(&path).await;
        let fill = rusqlite::Connection::open(&path).unwrap();
        fill.execute_batch(&format!(
            "BEGIN IMMEDIATE;
             WITH RECURSIVE numbers (n) AS
                 (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {stored})
             INSERT INTO jobs (owner, job_id, attempt, state, priority_neg, content_hash,
                               accepted_at, since)
             SELECT 'fill', n, 1, IIF(n > {stored} - {waiting}, 'ready', 'succeeded'), 0,
                    zeroblob(32), 0, 0 FROM numbers;
             INSERT INTO payloads (record_id, xml)
             SELECT id, printf('%.3600c', 'x') FROM jobs WHERE state = 'ready';
             COMMIT"
        ))
        .unwrap();
        mills.push(mill);
    }
    depth(table, &mills[0], &mills[1]).await;
}
