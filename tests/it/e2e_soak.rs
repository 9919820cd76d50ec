//! Load and random faults for as long as wished, by `make soak MINUTES=n`; then the books balance.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::e2e_jobs::assert_each_ran_once;
use crate::rig::documents::{about_records, document};
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, SUPERVISOR};
use crate::rig::mariadb::MariaDb;
use crate::rig::prosody::Prosody;
use crate::rig::runner::{BESIDE, Runner};
use crate::rig::slixmpp::{Carrier, Supervisor};

/// How long all that was accepted may take to end, once nothing is broken any more.
const PATIENCE: Duration = Duration::from_mins(10);
const JOBS_OF_A_REQUEST: usize = 5;
/// One job of so many fails.
const FAILS: usize = 7;
/// What a daemon's memory may grow by while it serves, in KiB: the allocator's pools fill slowly.
const GROWTH_KIB: u64 = 24 * 1024;
/// A daemon is not measured before it has served for so long.
const WARM_UP: Duration = Duration::from_secs(20);

const FLAGS: [&str; 5] = [
    BESIDE,
    "conductor.enabled=true",
    "conductor.slots=8",
    "conductor.retry_after=100ms",
    // A killed daemon or runner takes no run with it, but a start that was on its way.
    "conductor.max_abandons=1000",
];

struct Soak {
    server: Prosody,
    store: MariaDb,
    daemon: Gristmill,
    runner: Runner,
    supervisor: Supervisor,
    dice: StdRng,
    /// Job and record.
    records: BTreeMap<usize, String>,
    sent: usize,
    started: Instant,
    /// Of the daemon that runs now, once it is warm, in KiB.
    first_memory: Option<u64>,
    faults: BTreeMap<&'static str, usize>,
}

impl Soak {
    fn begin(seed: u64) -> Self {
        let (server, store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
        store.create_database("mill");
        let daemon = Gristmill::on_mariadb(&server, &store.url("mill"), &FLAGS);
        let ends = format!("exit $(( $1 % {FAILS} == 0 ? 3 : 0 ))");
        daemon.script(
            "counted",
            &format!("echo begin $1 >>$LOG; sleep 0.$(($1 % 4)); echo end $1 >>$LOG; {ends}"),
        );
        let runner = Runner::beside(&daemon, None, &[]);
        let mut supervisor = Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID);
        supervisor.wait_until_served();
        Self {
            server,
            store,
            daemon,
            runner,
            supervisor,
            dice: StdRng::seed_from_u64(seed),
            records: BTreeMap::new(),
            sent: 0,
            started: Instant::now(),
            first_memory: None,
            faults: BTreeMap::new(),
        }
    }

    /// New jobs; the answer may get lost.
    fn send(&mut self) -> (String, Vec<usize>) {
        let jobs: Vec<_> = (self.sent..self.sent + JOBS_OF_A_REQUEST).collect();
        self.sent += JOBS_OF_A_REQUEST;
        let job = |name: &usize| {
            format!(
                "<job jobID='{name}'><transformation><transPath>counted</transPath>\
                 </transformation><jobPars>{name}</jobPars></job>"
            )
        };
        let entries: String = jobs.iter().map(job).collect();
        let text = document("executeJobs", &format!("e{}", self.sent), &entries);
        self.supervisor.send(Carrier::Iq, &text);
        (text, jobs)
    }

    /// Sends again what was sent, and learns the records.
    fn settle(&mut self, (text, jobs): &(String, Vec<usize>)) {
        let reply = self.supervisor.ask(Carrier::Iq, "", text);
        let words = reply.each("result");
        assert_eq!(words.len(), jobs.len(), "{reply:?}");
        for ((job, word), record) in jobs.iter().zip(words).zip(reply.each("taskBufferRecordID")) {
            assert!(["stored", "duplicate"].contains(&word), "{job}: {word}");
            let before = self.records.insert(*job, record.to_owned());
            assert_eq!(before, None, "{job}");
        }
    }

    fn break_and_mend(&mut self) {
        let pause = Duration::from_millis(self.dice.random_range(0..2500));
        let name = match self.dice.random_range(0..8) {
            0 => {
                self.daemon.kill();
                sleep(pause);
                self.daemon.start_again();
                (self.started, self.first_memory) = (Instant::now(), None);
                "daemon killed"
            }
            1 | 2 => {
                self.runner.kill();
                sleep(pause);
                self.runner.start_again();
                "runner killed"
            }
            3 => {
                self.server.kill();
                self.supervisor.wait_offline();
                sleep(pause);
                self.server.start_again();
                self.supervisor.connect();
                "XMPP server killed"
            }
            4 => {
                self.store.kill();
                sleep(pause);
                self.store.start_again();
                "store killed"
            }
            5 => {
                self.store.pause();
                sleep(pause * 2);
                self.store.resume();
                "store frozen"
            }
            _ => {
                sleep(pause);
                "nothing"
            }
        };
        *self.faults.entry(name).or_default() += 1;
    }

    fn round(&mut self) {
        let mut sent = Vec::new();
        for _ in 0..self.dice.random_range(1..5) {
            sent.push(self.send());
        }
        self.break_and_mend();
        sent.push(self.send());
        self.supervisor.wait_until_served();
        for request in &sent {
            self.settle(request);
        }
        self.supervisor.drain(Duration::from_millis(50));
        self.measure();
    }

    /// A daemon takes what it needs when it begins, and then no more.
    fn measure(&mut self) {
        if self.started.elapsed() < WARM_UP {
            return;
        }
        let status = fs::read_to_string(format!("/proc/{}/status", self.daemon.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let now = line
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        let first = *self.first_memory.get_or_insert(now);
        eprintln!("{} jobs, {now} KiB, {first} KiB at first", self.sent);
        assert!(now < first + GROWTH_KIB, "{first} KiB became {now} KiB");
    }

    /// What is said of all jobs.
    fn words(&mut self) -> BTreeMap<usize, String> {
        let mut words = BTreeMap::new();
        let records: Vec<_> = self.records.clone().into_iter().collect();
        for some in records.chunks(100) {
            let names: Vec<_> = some.iter().map(|(job, id)| (job.to_string(), id)).collect();
            let pairs: Vec<_> = names.iter().map(|(job, id)| (&**job, &***id)).collect();
            let question = about_records("getStatus", "s", &pairs);
            let reply = self.supervisor.ask(Carrier::Iq, "s", &question);
            for ((job, _), entry) in some.iter().zip(reply.jobs()) {
                let [status, result] = ["status", "result"].map(|name| entry.attribute(name));
                assert_ne!(status, "rejected", "{job}");
                words.insert(*job, format!("{status} {result}"));
            }
        }
        words
    }

    fn books_balance(&mut self) {
        let limit = Instant::now() + PATIENCE;
        let words = loop {
            let words = self.words();
            if words.values().all(|word| word.starts_with("finished")) {
                break words;
            }
            assert!(Instant::now() < limit, "{words:?}");
            sleep(Duration::from_secs(1));
        };
        for (job, word) in &words {
            let wanted = if job % FAILS == 0 {
                "failed"
            } else {
                "succeeded"
            };
            assert_eq!(word, &format!("finished {wanted}"), "{job}");
        }
        assert_eq!(words.len(), self.sent);
        let records: BTreeSet<_> = self.records.values().collect();
        assert_eq!(records.len(), self.sent, "a record was given twice");
        let rows = self.store.sql("SELECT COUNT(*) FROM mill.jobs");
        let rows = rows.split_ascii_whitespace().last().unwrap();
        assert_eq!(rows, self.sent.to_string());
        assert_each_ran_once(&self.daemon.job_log(), self.sent);
    }
}

#[test]
#[ignore = "takes as long as wished: make soak MINUTES=n"]
fn books_balance_after_a_long_bad_day() {
    let number = |name| {
        env::var(name)
            .ok()
            .map(|text| text.parse().expect("a number"))
    };
    let minutes: u64 = number("SOAK_MINUTES").unwrap_or(3);
    let seed = number("SOAK_SEED").unwrap_or_else(rand::random);
    eprintln!("SOAK_SEED={seed}, {minutes} minutes");
    let end = Instant::now() + Duration::from_mins(minutes);
    let mut soak = Soak::begin(seed);
    while Instant::now() < end {
        soak.round();
    }
    soak.books_balance();
    eprintln!("{} jobs ended once each; {:?}", soak.sent, soak.faults);
}
