//! Whatever breaks, in whatever order: what was said stays true.
//!
//! A job that was answered `stored` is never `rejected`, and keeps its record. A job that was
//! answered `rejected` is never stored by a request that was sent before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::rig::documents::{execute_jobs, get_executor_data};
use crate::rig::ejabberd::Ejabberd;
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, SUPERVISOR};
use crate::rig::mariadb::MariaDb;
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::{Carrier, Element, Supervisor};

const ROUNDS: usize = 12;
const REQUESTS: usize = 8;
const JOBS: usize = 3;

/// What the supervisor knows, and must be able to rely on.
#[derive(Default)]
struct Knowledge {
    /// Jobs that were sent.
    sent: Vec<String>,
    /// The records of those that were answered `stored`, or `accepted` since.
    records: BTreeMap<String, String>,
    /// Those that were answered `rejected`.
    rejected: BTreeSet<String>,
}

impl Knowledge {
    fn learn(&mut self, document: &Element) {
        // Servers send back what they could not deliver.
        let answers = ["executeJobsResponse", "getExecutorDataResponse"];
        if !answers.contains(&document.name.as_str()) {
            return;
        }
        for job in document.all("job") {
            let name = job.attribute("jobID");
            let word = job.attribute("status").to_owned() + job.attribute("result");
            match word.as_str() {
                "stored" | "duplicate" | "accepted" => {
                    assert!(
                        !self.rejected.contains(name),
                        "{name} was rejected, now {word}"
                    );
                    let record = job.attribute("taskBufferRecordID").to_owned();
                    let before = self.records.insert(name.to_owned(), record.clone());
                    assert!(
                        before.as_ref().is_none_or(|before| *before == record),
                        "{name} had record {before:?}, now {record}"
                    );
                }
                "rejected" => {
                    assert!(
                        !self.records.contains_key(name),
                        "{name} was stored, now {word}"
                    );
                    self.rejected.insert(name.to_owned());
                }
                "unknown" => {}
                other => panic!("{name} is {other}"),
            }
        }
    }
}

struct Scene<'a> {
    supervisor: Supervisor,
    knowledge: Knowledge,
    dice: StdRng,
    /// How many documents were sent.
    sent: usize,
    break_something: &'a mut dyn FnMut(&mut StdRng, &mut Supervisor, Step),
}

/// A fault begins, or is mended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Break(usize),
    Mend(usize),
}

impl Scene<'_> {
    fn play(mut self, faults: usize) {
        for _ in 0..ROUNDS {
            let fault = self.dice.random_range(0..faults);
            self.send_and_ask();
            (self.break_something)(&mut self.dice, &mut self.supervisor, Step::Break(fault));
            self.send_and_ask();
            (self.break_something)(&mut self.dice, &mut self.supervisor, Step::Mend(fault));
            self.send_and_ask();
            self.listen(Duration::from_millis(200));
        }
        self.supervisor.wait_until_served();
        self.listen(Duration::from_secs(3));
        self.every_job_has_a_verdict();
    }

    fn send_and_ask(&mut self) {
        for _ in 0..REQUESTS {
            self.sent += 1;
            let names: Vec<_> = (0..JOBS)
                .map(|job| format!("{}-{job}", self.sent))
                .collect();
            let refs: Vec<_> = names.iter().map(String::as_str).collect();
            let document = execute_jobs(&format!("e{}", self.sent), &refs);
            self.supervisor.send(Carrier::Child, &document);
            self.knowledge.sent.extend(names);
        }
        self.sent += 1;
        let some: Vec<_> = self
            .knowledge
            .sent
            .sample(&mut self.dice, 20)
            .cloned()
            .collect();
        let some: Vec<_> = some.iter().map(String::as_str).collect();
        let document = get_executor_data(&format!("d{}", self.sent), &some);
        self.supervisor.send(Carrier::Iq, &document);
    }

    /// Takes in what was answered, in its order.
    fn listen(&mut self, silence: Duration) {
        for document in self.supervisor.drain(silence) {
            self.knowledge.learn(&document);
        }
    }

    /// In the end nothing is unknown.
    fn every_job_has_a_verdict(&mut self) {
        let sent = self.knowledge.sent.clone();
        let unknown = |knowledge: &Knowledge| {
            let known = |name: &&String| {
                knowledge.records.contains_key(*name) || knowledge.rejected.contains(*name)
            };
            sent.iter().filter(|name| !known(name)).count()
        };
        for _ in 0..2 {
            for (number, names) in sent.chunks(200).enumerate() {
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                let id = format!("end{number}");
                let question = get_executor_data(&id, &names);
                let reply = self.supervisor.ask(Carrier::Iq, &id, &question);
                self.knowledge.learn(&reply.document);
            }
        }
        assert_eq!(unknown(&self.knowledge), 0);
        let (stored, rejected) = (self.knowledge.records.len(), self.knowledge.rejected.len());
        eprintln!(
            "{} jobs sent, {stored} stored, {rejected} rejected",
            sent.len()
        );
        assert!(stored > sent.len() / 4, "only {stored} jobs were stored");
        let records: BTreeSet<_> = self.knowledge.records.values().collect();
        assert_eq!(records.len(), stored, "a record ID was given twice");
    }
}

fn dice() -> StdRng {
    let seed = rand::random();
    eprintln!("seed {seed}");
    StdRng::seed_from_u64(seed)
}

fn pause(dice: &mut StdRng) {
    std::thread::sleep(Duration::from_millis(dice.random_range(0..1500)));
}

#[test]
fn what_was_said_stays_true_on_prosody_and_mariadb() {
    let (mut server, mut store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
    store.create_database("mill");
    let mut daemon = Gristmill::on_mariadb(&server, &store.url("mill"), &[]);
    let mut supervisor = Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    let mut break_something = |dice: &mut StdRng, supervisor: &mut Supervisor, step| match step {
        Step::Break(0) => store.kill(),
        Step::Mend(0) => store.start_again(),
        Step::Break(1) => {
            store.pause();
            pause(dice);
            std::thread::sleep(Duration::from_secs(2));
        }
        Step::Mend(1) => store.resume(),
        Step::Break(2) => daemon.kill(),
        Step::Mend(2) => {
            pause(dice);
            daemon.start_again();
        }
        Step::Break(3) => {
            server.kill();
            supervisor.wait_offline();
        }
        Step::Mend(3) => {
            server.start_again();
            supervisor.connect();
        }
        Step::Break(_) => server.pause(),
        Step::Mend(_) => {
            pause(dice);
            server.resume();
        }
    };
    let scene = Scene {
        supervisor,
        knowledge: Knowledge::default(),
        dice: dice(),
        sent: 0,
        break_something: &mut break_something,
    };
    scene.play(5);
}

#[test]
fn what_was_said_stays_true_on_ejabberd_and_sqlite() {
    let server = Ejabberd::start_fast(ACCOUNTS);
    let mut daemon = Gristmill::on_sqlite(&server, &[]);
    let mut supervisor = Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    let mut break_something = |dice: &mut StdRng, _: &mut Supervisor, step| match step {
        Step::Break(0) => daemon.kill(),
        Step::Break(1) => daemon.stop(),
        Step::Mend(0 | 1) => {
            pause(dice);
            daemon.start_again();
        }
        Step::Break(_) => daemon.pause(),
        Step::Mend(_) => {
            pause(dice);
            daemon.resume();
        }
    };
    let scene = Scene {
        supervisor,
        knowledge: Knowledge::default(),
        dice: dice(),
        sent: 0,
        break_something: &mut break_something,
    };
    scene.play(3);
}
