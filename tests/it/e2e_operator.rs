//! What an operator does beside a running daemon, with real servers.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::rig::XmppServer;
use crate::rig::documents::{about_records, execute_jobs};
use crate::rig::ejabberd::Ejabberd;
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, SUPERVISOR, secret};
use crate::rig::mariadb::MariaDb;
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::{Carrier, Supervisor};

fn run(daemon: &Gristmill, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gristmill"));
    command
        .args(arguments)
        .arg("--config")
        .arg(daemon.config_file());
    command.output().expect("gristmill")
}

fn stdout(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn jobs(daemon: &Gristmill) -> Vec<Value> {
    let listed = stdout(&run(daemon, &["job", "list", "--json"]));
    listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The records of two jobs, of which the second is killed, as the operator sees them.
fn an_operator_sees_the_jobs(server: &dyn XmppServer, daemon: &Gristmill) {
    let mut supervisor = Supervisor::login(server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    let reply = supervisor.ask(Carrier::Iq, "a", &execute_jobs("a", &["one", "two"]));
    let records = reply.each("taskBufferRecordID");
    let pair = [("two", records[1])];
    supervisor.ask(Carrier::Iq, "b", &about_records("killJobs", "b", &pair));
    let jobs = jobs(daemon);
    assert_eq!(jobs.len(), 2, "{jobs:?}");
    let text = serde_json::to_string(&jobs).unwrap();
    for word in ["one", "two", "ready", "cancelled", "prodsys"] {
        assert!(text.contains(&format!("\"{word}\"")), "no {word} in {text}");
    }
    let shown = stdout(&run(daemon, &["job", "show", records[1]]));
    assert!(
        shown.contains("cancelled") && shown.contains("<jobName>"),
        "{shown}"
    );
    let absent = run(daemon, &["job", "show", "987654"]);
    assert_eq!(absent.status.code(), Some(5));
}

#[test]
fn jobs_are_seen_beside_a_daemon_on_sqlite() {
    let server = Prosody::start_fast(ACCOUNTS);
    let daemon = Gristmill::on_sqlite(&server, &[]);
    an_operator_sees_the_jobs(&server, &daemon);
}

#[test]
fn jobs_are_seen_beside_a_daemon_on_mariadb() {
    let (server, store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
    store.create_database("mill");
    let daemon = Gristmill::on_mariadb(&server, &store.url("mill"), &[]);
    an_operator_sees_the_jobs(&server, &daemon);
}

/// An operator hands a job in beside the daemon and acts on it; its supervisor hears of it.
fn an_operator_acts_on_jobs(server: &dyn XmppServer, daemon: &Gristmill) {
    let mut supervisor = Supervisor::login(server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.xml");
    std::fs::write(&file, execute_jobs("a", &["one", "two"])).unwrap();
    let submit = [
        "job",
        "submit",
        file.to_str().unwrap(),
        "--owner",
        "prodsys",
    ];
    let stored = stdout(&run(daemon, &submit));
    assert!(stored.contains("one#1  stored  record 1"), "{stored}");
    let again = supervisor.ask(Carrier::Iq, "a", &execute_jobs("a", &["one"]));
    assert_eq!(again.each("taskBufferRecordID"), ["1"]);

    stdout(&run(daemon, &["job", "hold", "1", "--reason", "new disks"]));
    let why = stdout(&run(daemon, &["job", "why", "1"]));
    assert!(why.contains("new disks"), "{why}");
    let mut status = |id: &str, record: &str, job: &str| {
        let question = about_records("getStatus", id, &[(job, record)]);
        supervisor
            .ask(Carrier::Iq, id, &question)
            .each("status")
            .join(" ")
    };
    assert_eq!(status("b", "1", "one"), "pending");
    stdout(&run(daemon, &["job", "kill", "1", "2"]));
    assert_eq!(status("c", "1", "one"), "finished");
    stdout(&run(daemon, &["job", "rerun", "1", "--force"]));
    assert_eq!(status("d", "1", "one"), "pending");
    stdout(&run(daemon, &["job", "kill", "--state", "ready", "--yes"]));
    stdout(&run(daemon, &["purge", "--older-than", "0s"]));
    assert_eq!(status("e", "1", "one"), "finished");
    stdout(&run(daemon, &["drain", "--all"]));
    assert!(stdout(&run(daemon, &["drain", "--list"])).contains("every daemon"));
    stdout(&run(daemon, &["undrain", "--all"]));
}

#[test]
fn jobs_are_acted_on_beside_a_daemon_on_sqlite() {
    let server = Prosody::start_fast(ACCOUNTS);
    let daemon = Gristmill::on_sqlite(&server, &["conductor.enabled=false"]);
    an_operator_acts_on_jobs(&server, &daemon);
}

#[test]
fn a_check_tries_the_store_and_the_log_in() {
    let (mut server, mut store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
    store.create_database("mill");
    let mut daemon = Gristmill::on_mariadb(&server, &store.url("mill"), &[]);
    let mut supervisor = Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    daemon.stop();
    let check = |daemon: &Gristmill| run(daemon, &["config", "check", "--connect"]);
    stdout(&check(&daemon));

    store.stop();
    let without_store = check(&daemon);
    assert_eq!(without_store.status.code(), Some(4), "{without_store:?}");
    store.start_again();
    server.stop();
    let without_server = check(&daemon);
    assert_eq!(without_server.status.code(), Some(4), "{without_server:?}");
}

/// The fixtures are a regression suite, by each carrier.
fn fixtures_are_replayed(server: &dyn XmppServer, daemon: &Gristmill, carrier: &str) {
    let mut supervisor = Supervisor::login(server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    secret(&password, SUPERVISOR.1);
    let documents = documents();
    let mut arguments = vec!["replay", "--via", "xmpp", "--expect"];
    arguments.extend(documents.iter().map(String::as_str));
    arguments.extend(["--as", "supervisor@grid.test", "--carrier", carrier]);
    arguments.extend(["--password-file", password.to_str().unwrap(), "--json"]);
    let replies = stdout(&run(daemon, &arguments));
    let compared = replies
        .lines()
        .filter(|line| line.contains("\"matches\":true"));
    assert_eq!(compared.count(), documents.len(), "{replies}");
}

/// The fixtures that are calls, in their order; XMPP does not carry those that are attacks.
fn documents() -> Vec<String> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let files = std::fs::read_dir(fixtures)
        .unwrap()
        .map(|file| file.unwrap().path());
    let is_xml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "xml");
    let names = files
        .filter(is_xml)
        .map(|path| path.to_str().unwrap().to_owned());
    let mut documents: Vec<_> = names.filter(|name| !name.contains(".reply.")).collect();
    documents.sort();
    assert!(documents.len() >= 9, "{documents:?}");
    documents
}

#[test]
fn fixtures_are_replayed_by_iq() {
    let server = Prosody::start_fast(ACCOUNTS);
    let daemon = Gristmill::on_sqlite(&server, &[]);
    fixtures_are_replayed(&server, &daemon, "iq");
}

#[test]
fn fixtures_are_replayed_by_message() {
    let server = Ejabberd::start_fast(ACCOUNTS);
    let daemon = Gristmill::on_sqlite(&server, &[]);
    fixtures_are_replayed(&server, &daemon, "message");
}

#[test]
fn fixtures_are_replayed_as_text() {
    let (server, store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
    store.create_database("mill");
    let daemon = Gristmill::on_mariadb(&server, &store.url("mill"), &[]);
    fixtures_are_replayed(&server, &daemon, "body");
}
