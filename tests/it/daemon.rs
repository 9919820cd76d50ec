//! Why `serve` ends by itself: what it says, and its exit code. No XMPP server is needed for that.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;
use gristmill::error::Code;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::rig::failure::fails;

/// How long `serve` may take to find out that it cannot go on.
const LIMIT: Duration = Duration::from_secs(20);

const JOB: &str = "<executeJobs><job jobID='1'><transformation><transPath>run</transPath>\
                   </transformation><jobPars/></job></executeJobs>";

/// A configuration whose XMPP server is not there, over an SQLite file.
fn site(owner: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let password = path.join("password");
    fs::write(&password, "secret").unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let config = format!(
        "[xmpp]\njid = \"executor@localhost/panda\"\nserver = \"127.0.0.1:1\"\n\
         password_file = \"{}\"\n\
         [[supervisor]]\njid = \"supervisor@localhost\"\nowner = \"{owner}\"\n\
         [buffer]\nurl = \"sqlite:{}\"\n[conductor]\nenabled = false\n\
         [http]\nlisten = \"\"\n[runner.process]\nwork_dir = \"{}\"\n",
        password.display(),
        store(path).display(),
        path.join("work").display()
    );
    fs::write(path.join("gristmill.toml"), config).unwrap();
    folder
}

fn store(folder: &Path) -> std::path::PathBuf {
    folder.join("buffer.db")
}

fn gristmill(site: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("gristmill").unwrap();
    command
        .env_clear()
        .args(arguments)
        .arg("--config")
        .arg(site.path().join("gristmill.toml"));
    command.timeout(LIMIT);
    command
}

/// Waits for `serve` to end with this error; what it said.
#[track_caller]
fn serve_ends(site: &TempDir, flags: &[&str], code: Code) -> String {
    let mut command = gristmill(site, &["serve"]);
    fails(&command.args(flags).output().unwrap(), code)
}

fn store_a_job(site: &TempDir) {
    gristmill(site, &["replay", "-"])
        .write_stdin(JOB)
        .assert()
        .success();
}

#[test]
fn jobs_of_an_owner_that_nobody_has_are_not_left_alone() {
    let site = site("prodsys");
    store_a_job(&site);
    let renamed = r#"supervisor=[{ jid = "supervisor@localhost", owner = "other" }]"#;
    let said = serve_ends(&site, &["--set", renamed], Code::Orphans);
    assert!(
        said.contains("prodsys (1 unfinished, 0 not reported)") && said.contains("allow_orphans"),
        "{said}"
    );
}

#[test]
fn a_store_of_a_newer_program_is_refused() {
    let site = site("prodsys");
    store_a_job(&site);
    let history = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
                   VALUES (99, 'future', '2026-01-01T00:00:00Z', '0')";
    Connection::open(store(site.path()))
        .unwrap()
        .execute(history, [])
        .unwrap();
    let said = serve_ends(&site, &[], Code::SchemaTooNew);
    assert!(
        said.contains("version 99") && said.contains("newer gristmill"),
        "{said}"
    );
}

#[test]
fn a_store_is_not_migrated_against_the_operators_will() {
    let said = serve_ends(&site("prodsys"), &["--no-migrate"], Code::SchemaTooOld);
    assert!(said.contains("gristmill migrate"), "{said}");
}

#[test]
fn a_store_has_one_daemon() {
    let site = site("prodsys");
    store_a_job(&site);
    let lock = fs::File::options()
        .write(true)
        .open(site.path().join("buffer.db.lock"))
        .unwrap();
    lock.lock().unwrap();
    let said = serve_ends(&site, &[], Code::StoreInUse);
    assert!(said.contains("in use by another gristmill"), "{said}");
}

#[test]
fn a_wrong_configuration_is_said_before_anything_is_begun() {
    let site = site("prodsys");
    let said = serve_ends(&site, &["--set", "bridge.queue=0"], Code::Contradiction);
    assert!(said.contains("bridge.queue"), "{said}");
    assert!(!store(site.path()).exists());
}
