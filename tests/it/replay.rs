//! The fixtures as a regression suite: in this process, and to a daemon behind a real Prosody.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use assert_cmd::Command;

use crate::rig::DOMAIN;
use crate::rig::gristmill::{ACCOUNTS, Gristmill, SUPERVISOR};
use crate::rig::prosody::Prosody;

fn fixtures(folder: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(folder)
}

fn replay() -> Command {
    let mut command = Command::cargo_bin("gristmill").unwrap();
    command.env_clear().args(["replay", "--expect"]);
    command
}

/// The documents at the top of the folder, in order of their names.
fn plain_calls() -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(fixtures("")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_call = |path: &PathBuf| {
        path.extension().is_some_and(|ending| ending == "xml")
            && path.with_extension("").extension().is_none()
    };
    paths.filter(is_call).collect()
}

fn said(command: &mut Command) -> String {
    let done = command.assert().success();
    String::from_utf8(done.get_output().stderr.clone()).unwrap()
}

#[test]
fn every_fixture_is_answered_as_it_says() {
    let said = said(replay().arg(fixtures("")));
    assert!(said.contains(" 0 different"), "{said}");
}

fn wait_until_online(daemon: &Gristmill) {
    let begun = Instant::now();
    while !daemon.log().contains("online") {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{}",
            daemon.log()
        );
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_daemon_answers_the_fixtures_by_each_carrier() {
    let prosody = Prosody::start(ACCOUNTS);
    let password = tempfile::NamedTempFile::new().unwrap();
    fs::write(&password, SUPERVISOR.1).unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    for carrier in ["iq", "message", "body"] {
        let daemon = Gristmill::on_sqlite(&prosody, &[]);
        wait_until_online(&daemon);
        let mut command = replay();
        command
            .args(["--via", "xmpp", "--carrier", carrier, "--config"])
            .arg(daemon.config_file())
            .args([
                "--as",
                &format!("{}@{DOMAIN}", SUPERVISOR.0),
                "--password-file",
            ])
            .arg(password.path())
            .args(plain_calls());
        let said = said(&mut command);
        assert!(
            said.contains("9 sent: 9 as expected, 0 different"),
            "{carrier}: {said}"
        );
    }
}
