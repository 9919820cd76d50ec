//! The store stops, hangs and comes back while a supervisor asks.

use std::time::{Duration, Instant};

use crate::rig::documents::{about_records, execute_jobs, get_executor_data, num_jobs_wanted};
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, SUPERVISOR};
use crate::rig::mariadb::MariaDb;
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::{Carrier, Reply, Supervisor};

/// `buffer.timeout` (2 s) and one more.
const ANSWER: Duration = Duration::from_secs(3);

/// Within this the first right answer comes after the store is back.
const RECOVERY: Duration = Duration::from_secs(5);

struct Scene {
    store: MariaDb,
    _server: Prosody,
    _daemon: Gristmill,
    supervisor: Supervisor,
    records: Vec<String>,
}

impl Scene {
    /// Jobs 1 and 2 are stored.
    fn new() -> Self {
        let (server, store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
        store.create_database("mill");
        let daemon = Gristmill::on_mariadb(&server, &store.url("mill"), &[]);
        let mut supervisor = Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID);
        supervisor.wait_until_served();
        let reply = supervisor.ask(Carrier::Iq, "e", &execute_jobs("e", &["1", "2"]));
        let records = reply.each("taskBufferRecordID");
        let records = records.into_iter().map(str::to_owned).collect();
        Self {
            store,
            _server: server,
            _daemon: daemon,
            supervisor,
            records,
        }
    }

    fn ask(&mut self, id: &str, document: &str) -> Reply {
        self.supervisor
            .ask_within(ANSWER, Carrier::Iq, id, document)
    }

    fn nobody_gets_a_verdict(&mut self) {
        for (carrier, id) in Carrier::ALL.into_iter().zip(["a", "b", "c"]) {
            let question = get_executor_data(id, &["1", "2", "99"]);
            let data = self.supervisor.ask_within(ANSWER, carrier, id, &question);
            assert_eq!(data.error(), "");
            assert_eq!(data.each("status"), ["unknown", "unknown", "unknown"]);
        }
        let pairs = [("1", self.records[0].clone()), ("99", "7".to_owned())];
        let pairs = pairs
            .each_ref()
            .map(|(job, record)| (*job, record.as_str()));
        let status = self.ask("s", &about_records("getStatus", "s", &pairs));
        assert_eq!(status.each("status"), ["unknown", "unknown"]);
        for (id, document) in [
            ("x", execute_jobs("x", &["3"])),
            ("k", about_records("killJobs", "k", &pairs)),
            ("f", about_records("fixJobs", "f", &pairs)),
        ] {
            assert_eq!(self.ask(id, &document).error(), "database-unavailable");
        }
        let wanted = self.ask("w", &num_jobs_wanted("w"));
        assert_eq!(wanted.document.child("numJobs").unwrap().text, "1000");
    }

    /// Asks until the store is seen again: the same record IDs as before.
    fn the_records_are_back(&mut self) {
        let right = ["accepted", "accepted", "rejected"];
        let deadline = Instant::now() + RECOVERY;
        loop {
            let data = self.ask("r", &get_executor_data("r", &["1", "2", "99"]));
            let told = data.each("status");
            if told == right {
                assert_eq!(data.each("taskBufferRecordID")[..2], self.records);
                return;
            }
            let mut pairs = told.iter().zip(right);
            assert!(
                pairs.all(|(told, right)| [right, "unknown"].contains(told)),
                "{told:?}"
            );
            assert!(
                Instant::now() < deadline,
                "still unknown {RECOVERY:?} after its return"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn a_store_that_stops_is_unknown_and_comes_back() {
    let mut scene = Scene::new();
    scene.store.stop();
    scene.nobody_gets_a_verdict();
    scene.store.start_again();
    scene.the_records_are_back();
    let data = scene.ask("y", &get_executor_data("y", &["3"]));
    assert_eq!(data.each("status"), ["rejected"]);
}

#[test]
fn a_store_that_was_killed_is_unknown_and_comes_back() {
    let mut scene = Scene::new();
    scene.store.kill();
    scene.nobody_gets_a_verdict();
    scene.store.start_again();
    scene.the_records_are_back();
}

/// A job whose storing was in doubt is accepted or rejected in the end, and stays so.
#[test]
fn a_store_that_hangs_is_unknown_and_comes_back() {
    let mut scene = Scene::new();
    scene.store.pause();
    let reply = scene.ask("x", &execute_jobs("x", &["3"]));
    assert_eq!(reply.error(), "database-unavailable");
    scene.nobody_gets_a_verdict();
    scene.store.resume();
    scene.the_records_are_back();
    let deadline = Instant::now() + RECOVERY;
    let mut verdict = "unknown".to_owned();
    while verdict == "unknown" {
        assert!(Instant::now() < deadline, "job 3 is in doubt for ever");
        let data = scene.ask("y", &get_executor_data("y", &["3"]));
        verdict = data.each("status")[0].to_owned();
    }
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(200));
        let data = scene.ask("z", &get_executor_data("z", &["3"]));
        assert_eq!(data.each("status"), [verdict.as_str()]);
    }
}

#[test]
fn a_daemon_starts_without_its_store() {
    let (server, mut store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
    store.create_database("mill");
    let url = store.url("mill");
    store.stop();
    let _daemon = Gristmill::on_mariadb(&server, &url, &[]);
    let mut supervisor = Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_online();
    let question = get_executor_data("a", &["1"]);
    let data = supervisor.ask_within(ANSWER, Carrier::Iq, "a", &question);
    assert_eq!(data.each("status"), ["unknown"]);
    store.start_again();
    let deadline = Instant::now() + RECOVERY;
    while supervisor.ask(Carrier::Iq, "a", &question).each("status") != ["rejected"] {
        assert!(
            Instant::now() < deadline,
            "still unknown {RECOVERY:?} after its start"
        );
    }
    let reply = supervisor.ask(Carrier::Iq, "e", &execute_jobs("e", &["1"]));
    assert_eq!(reply.each("result"), ["stored"]);
}

/// From memory: the store is not asked for it.
#[test]
fn fewer_jobs_are_wanted_while_they_cannot_be_stored_where_that_is_configured() {
    let (server, mut store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
    store.create_database("mill");
    let url = store.url("mill");
    store.stop();
    let _daemon = Gristmill::on_mariadb(&server, &url, &["bridge.wanted_when_unable=3"]);
    let mut supervisor = Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_online();
    let mut wanted = || {
        let question = num_jobs_wanted("w");
        let reply = supervisor.ask_within(ANSWER, Carrier::Iq, "w", &question);
        reply.document.child("numJobs").unwrap().text.clone()
    };
    assert_eq!(wanted(), "3");
    store.start_again();
    let deadline = Instant::now() + RECOVERY;
    while wanted() != "1000" {
        assert!(Instant::now() < deadline, "it can store, and says no");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Also in the middle of its migration.
#[test]
fn a_store_that_dies_while_a_daemon_starts_is_found_again() {
    let (server, mut store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
    for delay_ms in [20, 60, 100, 140, 180, 250] {
        let database = format!("mill{delay_ms}");
        store.create_database(&database);
        let mut daemon = Gristmill::on_mariadb(&server, &store.url(&database), &[]);
        std::thread::sleep(Duration::from_millis(delay_ms));
        store.kill();
        let mut supervisor = Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID);
        supervisor.wait_until_online();
        store.start_again();
        supervisor.wait_until_served();
        let reply = supervisor.ask(Carrier::Iq, "e", &execute_jobs("e", &["1"]));
        assert_eq!(reply.each("result"), ["stored"]);
        daemon.stop();
    }
}
