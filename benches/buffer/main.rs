//! What the task buffer costs, as ratios to raw statements on the same schema: each pair is
//! measured in one interleaved run. `cargo bench --bench buffer`; with names
//! of parts behind `--`, only these (`sqlite-claims`, `mariadb-depth`, …).
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod claims;
mod documents;
mod raw;
#[path = "../../tests/it/rig/mod.rs"]
mod rig;
mod running;
mod table;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gristmill::bridge::{Bridge, Origin, ReplyRoom, Settings};
use gristmill::buffer::{self, Options, StoreUrl, TaskBuffer};
use gristmill::job::Owner;
use gristmill::job::policy::Clock;
use gristmill::windmill::{Answer, Limits, ReceiptResult, Reply};
use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use documents::{execute, statuses};
use raw::{RawMysql, RawSqlite};
use rig::mariadb::{MariaDb, PASSWORD};
use table::Table;

const ROUNDS: usize = 7;
const BATCH: usize = 1000;
/// Requests of a stream.
const STREAM: usize = 6;
/// One-job requests in all.
const SINGLES: usize = 1024;

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A bridge over a store, and names of jobs that were never used before.
struct Subject {
    bridge: Arc<Bridge>,
    used: AtomicUsize,
}

impl Subject {
    async fn open(url: &str, password: Option<&str>) -> Self {
        let url = StoreUrl::parse(url).unwrap();
        Self::new(buffer::open(&url, &options(password)).await.unwrap())
    }

    fn new(store: Arc<dyn TaskBuffer>) -> Self {
        let settings = Settings {
            jobs_wanted: 1000,
            wanted_when_unable: None,
            limits: Limits {
                max_bytes: 8 << 20,
                max_jobs: BATCH,
            },
            receipts: true,
            strict: false,
            max_age: Duration::from_mins(10),
            timeout: Duration::from_mins(1),
        };
        Self {
            bridge: Arc::new(Bridge::new(store, Arc::new(SystemClock), settings)),
            used: AtomicUsize::new(0),
        }
    }

    /// Requests of new jobs.
    fn requests(&self, count: usize, jobs: usize) -> Vec<Arc<String>> {
        let first = self.used.fetch_add(count * jobs, Ordering::Relaxed);
        (0..count)
            .map(|n| Arc::new(execute(first + n * jobs, jobs)))
            .collect()
    }

    /// From bytes to the answer's bytes.
    async fn answer(&self, document: &str) -> Reply {
        let origin = origin();
        let request = self.bridge.read(document.as_bytes(), &origin).await;
        let request = request.unwrap();
        let reply = self.bridge.answer(request, &origin).await;
        assert!(!self.bridge.write(&reply).is_empty());
        reply
    }

    /// The next request is read while this one is stored.
    async fn stream(&self, documents: &[Arc<String>]) {
        let origin = origin();
        let read = |document: Option<&Arc<String>>| {
            let (bridge, document, origin) =
                (self.bridge.clone(), document.cloned(), origin.clone());
            let here = Handle::current();
            spawn_blocking(move || {
                let read = |document: Arc<String>| {
                    here.block_on(bridge.read(document.as_bytes(), &origin))
                };
                document.map(|document| read(document).unwrap())
            })
        };
        let mut documents = documents.iter();
        let mut next = read(documents.next());
        while let Some(request) = next.await.unwrap() {
            next = read(documents.next());
            let reply = self.bridge.answer(request, &origin).await;
            assert!(!self.bridge.write(&reply).is_empty());
        }
    }

    /// So many senders share these one-job requests.
    async fn senders(self: &Arc<Self>, senders: usize, documents: &[Arc<String>]) {
        let tasks = documents.chunks(documents.len() / senders).map(|share| {
            let (subject, share) = (self.clone(), share.to_vec());
            tokio::spawn(async move {
                for document in share {
                    subject.answer(&document).await;
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    }
}

fn options(password: Option<&str>) -> Options {
    Options {
        password: password.map(|password| password.to_owned().into()),
        timeout: Duration::from_mins(1),
        ..Options::default()
    }
}

fn origin() -> Origin {
    Origin {
        owner: Owner::new("bench").unwrap(),
        arrived: tokio::time::Instant::now(),
        sent_at: None,
        line_empty_at: None,
        stanza_id: None,
        room: ReplyRoom::ENDLESS,
    }
}

async fn timed(work: impl Future) -> f64 {
    let started = Instant::now();
    work.await;
    started.elapsed().as_secs_f64()
}

/// The record IDs of a reply, which must have stored all jobs.
fn record_ids(reply: &Reply) -> Vec<u64> {
    let Ok(Answer::Receipts(receipts)) = &reply.content else {
        panic!("{reply:?}");
    };
    let id = |receipt: &gristmill::windmill::Receipt| match receipt.result {
        ReceiptResult::Stored(id) => id.get(),
        _ => panic!("{receipt:?}"),
    };
    receipts.iter().map(id).collect()
}

async fn mariadb(table: &mut Table) {
    let server = MariaDb::start();
    server.create_database("mill");
    server.create_database("raw");
    Subject::open(&server.url("raw"), Some(PASSWORD)).await;
    let subject = Arc::new(Subject::open(&server.url("mill"), Some(PASSWORD)).await);
    let mut raw = RawMysql::connect(&server.url_with_password("raw"), 16).await;
    for round in 0..=ROUNDS {
        // The first round warms up.
        table.counts(round > 0);
        let stream = subject.requests(STREAM, BATCH);
        let raw_stream = timed(raw.batches(&stream)).await / stream.len() as f64;
        let ours = timed(subject.stream(&stream)).await / stream.len() as f64;
        table.cost(
            "1",
            "stream of requests, bytes to answer",
            ours / raw_stream,
            1.25,
        );
        let again = timed(subject.answer(&stream[0])).await;
        table.gain("2", "the same request sent again", raw_stream / again, 1.6);
        let lone = subject.requests(1, BATCH);
        let raw_lone = timed(raw.batches(&lone)).await;
        let mut reply = None;
        let ours = timed(async { reply = Some(subject.answer(&lone[0]).await) }).await;
        table.cost("1", "a lone request, bytes to answer", ours / raw_lone, 1.6);

        let ids = record_ids(&reply.unwrap());
        let first = subject.used.load(Ordering::Relaxed) - BATCH;
        let question = statuses(first, &ids);
        let raw_ids = raw.last_ids();
        let raw_question = timed(raw.select(&raw_ids)).await;
        let ours = timed(subject.answer(&question)).await;
        table.cost(
            "6",
            "status of 1,000 jobs, XML to XML",
            ours / raw_question,
            2.0,
        );

        let singles = subject.requests(SINGLES, 1);
        let one = timed(raw.singles(&singles[..SINGLES / 4], 1)).await * 4.0;
        let sixteen = timed(raw.singles(&singles, 16)).await;
        let ours = timed(subject.senders(64, &singles)).await;
        table.gain("3", "64 senders, to one autocommit client", one / ours, 5.0);
        table.gain(
            "3",
            "64 senders, to sixteen autocommit clients",
            sixteen / ours,
            1.4,
        );
    }
}

async fn sqlite(table: &mut Table, folder: &Path) {
    let url = |name: &str| format!("sqlite:{}/{name}.db", folder.display());
    Subject::open(&url("raw"), None).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let subject = Arc::new(Subject::open(&url("mill"), None).await);
    let mut raw = RawSqlite::open(&folder.join("raw.db"));
    for round in 0..=ROUNDS {
        table.counts(round > 0);
        let stream = subject.requests(STREAM, BATCH);
        let raw_stream = raw.batches(&stream) / stream.len() as f64;
        let ours = timed(subject.stream(&stream)).await / stream.len() as f64;
        table.cost(
            "8",
            "stream of requests, bytes to answer",
            ours / raw_stream,
            1.3,
        );
        let again = timed(subject.answer(&stream[0])).await;
        table.gain("2", "the same request sent again", raw_stream / again, 1.6);
        let lone = subject.requests(1, BATCH);
        let raw_lone = raw.batches(&lone);
        let mut reply = None;
        let ours = timed(async { reply = Some(subject.answer(&lone[0]).await) }).await;
        table.cost("1", "a lone request, bytes to answer", ours / raw_lone, 1.6);

        let ids = record_ids(&reply.unwrap());
        let first = subject.used.load(Ordering::Relaxed) - BATCH;
        let question = statuses(first, &ids);
        let raw_question = raw.select();
        let ours = timed(subject.answer(&question)).await;
        table.cost(
            "6",
            "status of 1,000 jobs, XML to XML",
            ours / raw_question,
            2.0,
        );

        let singles = subject.requests(SINGLES, 1);
        let one = raw.singles(&singles[..SINGLES / 4]) * 4.0;
        let ours = timed(subject.senders(16, &singles)).await;
        table.gain("8", "16 senders, to one autocommit client", one / ours, 2.5);
    }
}

/// Which parts to measure: those that the command line names, else all.
struct Parts(Vec<String>);

impl Parts {
    fn named() -> Self {
        // Cargo adds options of its own.
        let names = std::env::args()
            .skip(1)
            .filter(|name| !name.starts_with('-'));
        Self(names.collect())
    }

    async fn measure(&self, name: &str, part: impl Future<Output = ()>) {
        if self.0.is_empty() || self.0.iter().any(|wanted| wanted == name) {
            part.await;
        }
    }
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, parts) = (folder.path(), Parts::named());
    let mut table = Table::new("SQLite");
    parts
        .measure("sqlite-requests", sqlite(&mut table, folder))
        .await;
    parts
        .measure("sqlite-claims", running::sqlite(&mut table, folder))
        .await;
    parts
        .measure("sqlite-depth", running::sqlite_depth(&mut table, folder))
        .await;
    table.print();
    let mut table = Table::new("MariaDB");
    parts.measure("mariadb-requests", mariadb(&mut table)).await;
    parts
        .measure("mariadb-claims", running::mariadb(&mut table))
        .await;
    parts
        .measure("mariadb-depth", running::mariadb_depth(&mut table))
        .await;
    table.print();
}
