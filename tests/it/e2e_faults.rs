//! The daemon is killed or stopped, its server is killed, its JID is taken.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gristmill::error::Code;

use crate::rig::XmppServer;
use crate::rig::documents::{execute_jobs, get_executor_data};
use crate::rig::ejabberd::Ejabberd;
use crate::rig::failure::assert_says;
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, SUPERVISOR};
use crate::rig::mariadb::MariaDb;
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::{Carrier, Element, Supervisor};

const REQUESTS: usize = 60;
const JOBS: usize = 5;

fn login(server: &dyn XmppServer) -> Supervisor {
    let mut supervisor = Supervisor::login(server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    supervisor
}

/// The names of the jobs of a request.
fn names(request: usize) -> Vec<String> {
    (0..JOBS).map(|job| format!("{request}-{job}")).collect()
}

fn request(number: usize) -> String {
    let names = names(number);
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    execute_jobs(&number.to_string(), &names)
}

/// The record IDs by job of every answer that says `stored` or `duplicate`.
fn accepted<'a>(replies: impl IntoIterator<Item = &'a Element>) -> BTreeMap<String, String> {
    let mut records = BTreeMap::new();
    for job in replies.into_iter().flat_map(|reply| reply.all("job")) {
        let (name, record) = (job.attribute("jobID"), job.attribute("taskBufferRecordID"));
        assert!(
            ["stored", "duplicate"].contains(&job.attribute("result")),
            "{job:?}"
        );
        let before = records.insert(name.to_owned(), record.to_owned());
        assert!(
            before.is_none_or(|before| before == record),
            "two records of {name}"
        );
    }
    records
}

/// Sends a stream of requests and kills the daemon when some are answered.
fn kill_amid_a_stream(server: &dyn XmppServer, daemon: &mut Gristmill) {
    let mut supervisor = login(server);
    for number in 0..REQUESTS {
        supervisor.send(Carrier::Child, &request(number));
    }
    let answered = supervisor.wait_for(Duration::from_secs(30), |stanza| {
        stanza.child("executeJobsResponse").is_some()
    });
    let answered = answered.expect("a first answer");
    daemon.kill();
    let mut replies: Vec<_> = answered
        .all("executeJobsResponse")
        .into_iter()
        .cloned()
        .collect();
    replies.extend(supervisor.drain(Duration::from_secs(2)));
    let told = accepted(&replies);
    assert!(!told.is_empty());

    daemon.start_again();
    supervisor.wait_until_served();
    let names: Vec<_> = told.keys().map(String::as_str).collect();
    let data = supervisor.ask(Carrier::Iq, "d", &get_executor_data("d", &names));
    let records: Vec<_> = told.values().map(String::as_str).collect();
    assert_eq!(
        data.each("taskBufferRecordID"),
        records,
        "what was told before is there"
    );

    for number in 0..REQUESTS {
        supervisor.ask(Carrier::Iq, &number.to_string(), &request(number));
    }
    let all: Vec<_> = (0..REQUESTS).flat_map(self::names).collect();
    let names: Vec<_> = all.iter().map(String::as_str).collect();
    let data = supervisor.ask(Carrier::Iq, "f", &get_executor_data("f", &names));
    let after: BTreeMap<_, _> = names
        .iter()
        .copied()
        .zip(data.each("taskBufferRecordID"))
        .collect();
    for (name, record) in &told {
        assert_eq!(after[name.as_str()], record, "job {name} has one record");
    }
    let mut records: Vec<_> = after.values().collect();
    records.sort_unstable();
    records.dedup();
    assert_eq!(
        records.len(),
        REQUESTS * JOBS,
        "each job has a record of its own"
    );
}

#[test]
fn a_killed_daemon_keeps_its_word_on_sqlite() {
    let server = Prosody::start_fast(ACCOUNTS);
    kill_amid_a_stream(&server, &mut Gristmill::on_sqlite(&server, &[]));
}

#[test]
fn a_killed_daemon_keeps_its_word_on_mariadb() {
    let (server, store) = (Ejabberd::start_fast(ACCOUNTS), MariaDb::start());
    store.create_database("mill");
    let mut daemon = Gristmill::on_mariadb(&server, &store.url("mill"), &[]);
    kill_amid_a_stream(&server, &mut daemon);
}

/// Stopping takes no longer.
const STOP: Duration = Duration::from_secs(5);

/// Back and answering within 10 s of the server's return.
const RETURN: Duration = Duration::from_secs(10);

#[test]
fn a_killed_prosody_is_found_again() {
    let mut server = Prosody::start_fast(ACCOUNTS);
    let _daemon = Gristmill::on_sqlite(&server, &[]);
    let mut supervisor = login(&server);
    let stored = supervisor.ask(Carrier::Iq, "a", &execute_jobs("a", &["1"]));
    for away in [Duration::ZERO, Duration::from_secs(8)] {
        server.kill();
        supervisor.wait_offline();
        std::thread::sleep(away);
        server.start_again();
        let back = Instant::now();
        supervisor.connect();
        supervisor.wait_until_served();
        assert!(
            back.elapsed() < RETURN,
            "answered {:?} after its return",
            back.elapsed()
        );
        let data = supervisor.ask(Carrier::Child, "b", &get_executor_data("b", &["1"]));
        assert_eq!(
            data.each("taskBufferRecordID"),
            stored.each("taskBufferRecordID")
        );
    }
}

#[test]
fn a_daemon_that_is_stopped_answers_what_it_has_in_hand() {
    let server = Prosody::start_fast(ACCOUNTS);
    let mut daemon = Gristmill::on_sqlite(&server, &[]);
    let mut supervisor = login(&server);
    let sent: Vec<_> = (0..20)
        .map(|number| supervisor.send(Carrier::Child, &request(number)))
        .collect();
    let first = supervisor.reply(Duration::from_secs(30), Carrier::Child, &sent[0], "0");
    assert_eq!(
        first.expect("a first answer").document.attribute("stored"),
        "5"
    );
    daemon.terminate();
    let status = daemon
        .wait(Duration::from_secs(5))
        .expect("an end within 5 s");
    assert_eq!(status.code(), Some(0));

    // What the daemon had not taken yet is with the server, and comes when it is back.
    daemon.start_again();
    for (number, stanza) in sent.iter().enumerate().skip(1) {
        let id = number.to_string();
        let reply = supervisor.reply(Duration::from_secs(20), Carrier::Child, stanza, &id);
        let reply = reply.unwrap_or_else(|| panic!("request {number} was lost without a word"));
        let stored = reply.document.attribute("stored") == "5";
        assert!(stored || reply.error() == "busy", "{reply:?}");
    }
}

#[test]
fn a_store_that_hangs_does_not_keep_a_daemon_from_stopping() {
    let (server, store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
    store.create_database("mill");
    let mut daemon = Gristmill::on_mariadb(&server, &store.url("mill"), &[]);
    let mut supervisor = login(&server);
    supervisor.ask(Carrier::Iq, "a", &execute_jobs("a", &["1"]));
    store.pause();
    let question = supervisor.send(Carrier::Child, &get_executor_data("b", &["1"]));
    let request = supervisor.send(Carrier::Iq, &execute_jobs("c", &["2"]));
    std::thread::sleep(Duration::from_millis(500));
    daemon.terminate();
    let status = daemon.wait(STOP).expect("an end within 5 s");
    assert_eq!(status.code(), Some(0));
    let limit = Duration::from_secs(1);
    let data = supervisor
        .reply(limit, Carrier::Child, &question, "b")
        .expect("an answer");
    assert_eq!(data.each("status"), ["unknown"]);
    let reply = supervisor
        .reply(limit, Carrier::Iq, &request, "c")
        .expect("an answer");
    assert_eq!(reply.error(), "database-unavailable");
    store.resume();
}

#[test]
fn a_server_that_is_away_does_not_keep_a_daemon_from_stopping() {
    let mut server = Prosody::start_fast(ACCOUNTS);
    let mut daemon = Gristmill::on_sqlite(&server, &[]);
    login(&server);
    server.kill();
    std::thread::sleep(Duration::from_secs(2));
    daemon.terminate();
    let status = daemon.wait(STOP).expect("an end within 5 s");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_server_that_hangs_does_not_keep_a_daemon_from_stopping() {
    let server = Prosody::start_fast(ACCOUNTS);
    let mut daemon = Gristmill::on_sqlite(&server, &[]);
    login(&server);
    server.pause();
    std::thread::sleep(Duration::from_secs(1));
    daemon.terminate();
    let status = daemon.wait(STOP).expect("an end within 5 s");
    assert_eq!(status.code(), Some(0));
    server.resume();
}

#[test]
fn two_daemons_with_one_jid_on_prosody_do_not_fight_for_ever() {
    two_daemons_with_one_jid(&Prosody::start_fast(ACCOUNTS));
}

#[test]
fn two_daemons_with_one_jid_on_ejabberd_do_not_fight_for_ever() {
    two_daemons_with_one_jid(&Ejabberd::start_fast(ACCOUNTS));
}

fn two_daemons_with_one_jid(server: &dyn XmppServer) {
    let mut first = Gristmill::on_sqlite(server, &[]);
    let mut supervisor = login(server);
    let mut second = Gristmill::on_sqlite(server, &[]);
    let deadline = Instant::now() + Duration::from_secs(100);
    let (gone, status, stays) = loop {
        assert!(Instant::now() < deadline, "both go on");
        if let Some(status) = first.wait(Duration::from_millis(100)) {
            break (&first, status, &second);
        }
        if let Some(status) = second.wait(Duration::from_millis(100)) {
            break (&second, status, &first);
        }
    };
    assert_eq!(status.code(), Some(6));
    assert_says(&gone.log(), Code::ResourceTaken);
    assert!(gone.log().contains("conflict"), "{}", gone.log());
    assert!(stays.log().contains("conflict"), "{}", stays.log());
    supervisor.wait_until_served();
}
