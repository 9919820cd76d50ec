//! A conversation with a real server is captured, and replayed as a test of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

use crate::rig::documents::{about_records, document, execute_jobs, get_executor_data};
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, OTHER_SUPERVISOR, SUPERVISOR};
use crate::rig::process::PATIENCE;
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::{Carrier, Supervisor};

fn login(server: &Prosody, account: (&str, &str)) -> Supervisor {
    let mut supervisor = Supervisor::login(server, account, EXECUTOR_JID);
    supervisor.wait_until_served();
    supervisor
}

fn progress(daemon: &Gristmill) -> Value {
    let said = daemon.ask(&["capture", "status", "--json"]);
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    said["progress"].clone()
}

fn wait_until_captured(daemon: &Gristmill, exchanges: u64) -> Value {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let progress = progress(daemon);
        if progress["captured"].as_u64() >= Some(exchanges) {
            return progress;
        }
        assert!(std::time::Instant::now() < deadline, "{progress}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn replay(folder: &Path) -> (bool, String) {
    let mut command = Command::cargo_bin("gristmill").unwrap();
    let replay = command.env_clear().args(["replay", "--expect"]).arg(folder);
    let output = replay.output().unwrap();
    (
        output.status.success(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// Jobs, a duplicate, a refusal, questions by record ID, a kill, a call that there is not.
fn converse(supervisor: &mut Supervisor) {
    let mut ask = |id: &str, document: &str| supervisor.ask(Carrier::Iq, id, document).document;
    let stored = ask("c1", &execute_jobs("c1", &["11", "12"]));
    let jobs = stored.all("job");
    let records = [jobs[0], jobs[1]].map(|job| job.attribute("taskBufferRecordID"));
    ask("c2", &execute_jobs("c2", &["12", "13"]));
    ask("c3", &get_executor_data("c3", &["13", "99", "11"]));
    let known = [("11", records[0]), ("12", records[1]), ("11", "4000000")];
    ask("c4", &about_records("getStatus", "c4", &known));
    ask("c5", &about_records("killJobs", "c5", &known[..1]));
    ask("c6", &about_records("getStatus", "c6", &known[..1]));
    supervisor.ask(Carrier::Body, "c7", &document("frobnicate", "c7", ""));
}

#[test]
fn a_conversation_becomes_a_test() {
    let server = Prosody::start_fast(ACCOUNTS);
    let mut daemon = Gristmill::on_sqlite(&server, &["conductor.enabled=false"]);
    let mut supervisor = login(&server, SUPERVISOR);
    // The records that are captured do not begin with 1.
    supervisor.ask(Carrier::Iq, "b", &execute_jobs("b", &["1", "2", "3"]));
    let folder = daemon.folder().join("captured");
    daemon.command(&["capture", "on", folder.to_str().unwrap()]);
    converse(&mut supervisor);
    let mut other = login(&server, OTHER_SUPERVISOR);
    other.ask(Carrier::Iq, "o", &execute_jobs("o", &["11"]));
    let progress = wait_until_captured(&daemon, 8);
    assert_eq!(progress["dropped"], 0);
    daemon.command(&["capture", "off"]);
    supervisor.ask(Carrier::Iq, "a", &execute_jobs("a", &["14"]));

    let ours = folder.join("prodsys");
    let mut names: Vec<_> = fs::read_dir(&ours).unwrap().map(Result::unwrap).collect();
    names.sort_by_key(fs::DirEntry::file_name);
    assert!(names.iter().all(|file| {
        let mode = file.metadata().unwrap().permissions().mode();
        mode & 0o777 == 0o600
    }));
    let captured = names.iter().any(|file| {
        let text = fs::read_to_string(file.path()).unwrap();
        text.contains("c1") && !text.contains("\"14\"")
    });
    assert!(captured, "{names:?}");
    let (same, said) = replay(&ours);
    assert!(same && said.contains(" 0 different, 0 without"), "{said}");

    // What was said is held against what is said.
    let reply = ours.join(
        names
            .iter()
            .map(|file| file.file_name().into_string().unwrap())
            .find(|name| name.ends_with("-getExecutorData.reply.xml"))
            .unwrap(),
    );
    let text = fs::read_to_string(&reply).unwrap();
    fs::write(&reply, text.replace("rejected", "unknown")).unwrap();
    let (same, said) = replay(&ours);
    assert!(!same && said.contains(" 1 different"), "{said}");
    daemon.stop();
}

#[test]
fn a_daemon_captures_from_its_first_answer_to_its_last() {
    let server = Prosody::start_fast(ACCOUNTS);
    let mut daemon = Gristmill::prepared(&server);
    let folder = daemon.folder().join("captured");
    let flag = folder.to_str().unwrap().to_owned();
    daemon.start_with_words(&["--capture", &flag, "--set", "capture.max_exchanges=5"]);
    let mut supervisor = login(&server, SUPERVISOR);
    let asked = ["1", "2", "3"];
    for job in asked {
        supervisor.ask(Carrier::Iq, job, &execute_jobs(job, &[job]));
    }
    daemon.stop();
    let ours = folder.join("prodsys");
    let held = || fs::read_dir(&ours).unwrap().count() / 2;
    assert!(held() >= asked.len(), "{}", held());
    let (same, said) = replay(&ours);
    assert!(same, "{said}");

    daemon.start_again();
    supervisor.wait_until_served();
    for job in ["4", "5", "6", "7", "8"] {
        supervisor.ask(Carrier::Iq, job, &execute_jobs(job, &[job]));
    }
    daemon.stop();
    assert_eq!(held(), 5, "the folder is full");
    assert!(daemon.log().contains("max_exchanges"), "{}", daemon.log());
    let ended = progress(&daemon)["ended"].clone();
    assert_eq!(
        ended,
        Value::Null,
        "nothing is captured by who does not run"
    );
}

#[test]
fn a_folder_that_the_daemon_cannot_write_to_is_said() {
    let server = Prosody::start_fast(ACCOUNTS);
    let daemon = Gristmill::on_sqlite(&server, &[]);
    login(&server, SUPERVISOR);
    let file = daemon.config_file().join("inside");
    let said = daemon.ask(&["capture", "on", file.to_str().unwrap()]);
    let error = String::from_utf8(said.stderr).unwrap();
    assert_eq!(said.status.code(), Some(1), "{error}");
    assert!(error.contains("gristmill.toml"), "{error}");
}
