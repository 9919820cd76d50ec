//! What a supervisor sees: the built daemon behind a real Prosody, over a private MariaDB, with
//! ratios to raw statements on the same server in the same run; and the daemon's memory.
//! `cargo bench --bench xmpp`.
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

#[path = "../buffer/documents.rs"]
mod documents;
#[path = "../buffer/raw.rs"]
mod raw;
#[path = "../../tests/it/rig/mod.rs"]
mod rig;
#[path = "../buffer/table.rs"]
mod table;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use gristmill::buffer::{self, Options, StoreUrl};
use gristmill::windmill::{Answer, ReceiptResult, read_reply};
use gristmill::xmpp::peer::{Carrier, Peer};
use gristmill::xmpp::{Security, Settings, TimeLimits};

use documents::{execute, statuses};
use raw::RawMysql;
use rig::DOMAIN;
use rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, SUPERVISOR};
use rig::mariadb::{MariaDb, PASSWORD};
use rig::prosody::Prosody;
use table::Table;

const ROUNDS: usize = 5;
/// A thousand jobs, as servers with their default limits let them through.
const REQUESTS: usize = 20;
const JOBS_IN_A_REQUEST: usize = 50;
const JOBS: usize = REQUESTS * JOBS_IN_A_REQUEST;
/// Jobs that wait when the daemon's memory is measured.
const WAITING: [usize; 3] = [10_000, 50_000, 100_000];
const LIMIT: Duration = Duration::from_mins(1);

/// A supervisor that is online, and the names of jobs that were never used before.
struct Supervisor {
    peer: Peer,
    used: usize,
}

impl Supervisor {
    async fn log_in(server: &Prosody) -> Self {
        let settings = Settings {
            jid: format!("{}@{DOMAIN}/bench", SUPERVISOR.0).parse().unwrap(),
            password: SUPERVISOR.1.to_owned().into(),
            server: Some(server.address().to_string().parse().unwrap()),
            security: Security::StartTls,
            ca_file: Some(server.ca_file().to_owned()),
            allow_plain: false,
            max_stanza: 8 << 20,
            max_request: 8 << 20,
            supervisors: Vec::new(),
            queue: 64,
            limits: TimeLimits::default(),
        };
        let executor = EXECUTOR_JID.parse().unwrap();
        let peer = Peer::connect(settings, executor, LIMIT).await.unwrap();
        Self { peer, used: 0 }
    }

    /// Requests of new jobs, a thousand in all.
    fn requests(&mut self) -> Vec<Arc<String>> {
        let first = self.used;
        self.used += JOBS;
        let starts = (first..first + JOBS).step_by(JOBS_IN_A_REQUEST);
        starts
            .map(|start| Arc::new(execute(start, JOBS_IN_A_REQUEST)))
            .collect()
    }

    /// All at once; the answers in order.
    async fn ask(&self, carrier: Carrier, documents: &[Arc<String>]) -> Vec<String> {
        let asked = documents
            .iter()
            .map(|document| self.peer.ask(carrier, document, LIMIT));
        join_all(asked)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect()
    }

    /// Hands a thousand new jobs over; their record IDs.
    async fn hand_over(&self, carrier: Carrier, documents: &[Arc<String>]) -> Vec<u64> {
        let answers = self.ask(carrier, documents).await;
        answers
            .iter()
            .flat_map(|answer| record_ids(answer))
            .collect()
    }
}

/// The record IDs of a reply, which must have stored all jobs.
fn record_ids(reply: &str) -> Vec<u64> {
    let reply = read_reply(reply).unwrap();
    let Ok(Answer::Receipts(receipts)) = &reply.content else {
        panic!("{reply:?}");
    };
    let id = |receipt: &gristmill::windmill::Receipt| match receipt.result {
        ReceiptResult::Stored(id) => id.get(),
        _ => panic!("{receipt:?}"),
    };
    receipts.iter().map(id).collect()
}

async fn timed<T>(work: impl Future<Output = T>) -> (f64, T) {
    let started = Instant::now();
    let done = work.await;
    (started.elapsed().as_secs_f64(), done)
}

async fn rates(table: &mut Table, supervisor: &mut Supervisor, raw: &mut RawMysql) {
    let mut fastest = f64::MAX;
    // The first batch into an empty table is numbered from 1.
    let raw_ids: Vec<_> = (1..=JOBS as u64).collect();
    for round in 0..=ROUNDS {
        table.counts(round > 0);
        let batch = [Arc::new(execute(supervisor.used, JOBS))];
        let (raw_batch, ()) = timed(raw.batches(&batch)).await;
        let requests = supervisor.requests();
        let (by_iq, ids) = timed(supervisor.hand_over(Carrier::Iq, &requests)).await;
        fastest = fastest.min(by_iq);
        table.observe("1,000 jobs in 20 IQs, to one raw batch", by_iq / raw_batch);
        let (again, _) = timed(supervisor.ask(Carrier::Iq, &requests)).await;
        table.observe("the same sent again", again / raw_batch);

        let first = supervisor.used - JOBS;
        let questions = (first..)
            .step_by(JOBS_IN_A_REQUEST)
            .zip(ids.chunks(JOBS_IN_A_REQUEST));
        let questions: Vec<_> = questions
            .map(|(first, ids)| Arc::new(statuses(first, ids)))
            .collect();
        let (raw_select, ()) = timed(raw.select(&raw_ids)).await;
        let (status, _) = timed(supervisor.ask(Carrier::Iq, &questions)).await;
        table.observe(
            "status of 1,000 in 20 IQs, to one raw IN",
            status / raw_select,
        );

        for (carrier, what) in [
            (
                Carrier::Message,
                "1,000 jobs in 20 messages, to one raw batch",
            ),
            (Carrier::Body, "1,000 jobs in 20 bodies, to one raw batch"),
        ] {
            let requests = supervisor.requests();
            let (taken, _) = timed(supervisor.hand_over(carrier, &requests)).await;
            table.observe(what, taken / raw_batch);
        }
    }
    println!(
        "\nThe quickest thousand over XMPP: {:.0} jobs/s",
        JOBS as f64 / fastest
    );
}

/// The same tables for the raw statements.
async fn migrate(url: &str) {
    let options = Options {
        password: Some(PASSWORD.to_owned().into()),
        ..Options::default()
    };
    buffer::migrate(&StoreUrl::parse(url).unwrap(), &options)
        .await
        .unwrap();
}

/// In MiB.
fn resident(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<f64>()
        .unwrap()
        / 1024.0
}

async fn memory(supervisor: &mut Supervisor, daemon: &Gristmill) {
    println!("\nGoal 10, resident memory of the daemon: under 64 MiB with 100,000 jobs waiting");
    for waiting in WAITING {
        while supervisor.used < waiting {
            let requests = supervisor.requests();
            supervisor.hand_over(Carrier::Iq, &requests).await;
        }
        println!("  {waiting:>7} waiting: {:.1} MiB", resident(daemon.id()));
    }
}

#[tokio::main]
async fn main() {
    let prosody = Prosody::start_fast(ACCOUNTS);
    let mariadb = MariaDb::start();
    for database in ["mill", "raw"] {
        mariadb.create_database(database);
    }
    let daemon = Gristmill::on_mariadb(&prosody, &mariadb.url("mill"), &["buffer.timeout=1m"]);
    migrate(&mariadb.url("raw")).await;
    let mut supervisor = Supervisor::log_in(&prosody).await;
    let mut raw = RawMysql::connect(&mariadb.url_with_password("raw"), 1).await;
    println!(
        "before the first request: {:.1} MiB resident",
        resident(daemon.id())
    );
    let mut table = Table::new("XMPP through Prosody, MariaDB");
    rates(&mut table, &mut supervisor, &mut raw).await;
    table.print();
    memory(&mut supervisor, &daemon).await;
}
