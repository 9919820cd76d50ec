//! The commands that need no server: what they print, where, and with which exit code.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use assert_cmd::Command;
use gristmill::error::Code;
use tempfile::TempDir;

use crate::rig::failure::fails;

const EXECUTE: &str = r#"<executeJobs id="s-1">
  <job jobID="5173021"><transformation><transPath>run</transPath></transformation><jobPars>a</jobPars></job>
  <job jobID="5173022"><transformation><transPath/></transformation><jobPars/></job>
</executeJobs>"#;
const EXECUTED: &str = r#"<executeJobsResponse xmlns="urn:windmill:executor:1" inReplyTo="s-1"
    received="2" stored="1" refused="1">
  <job jobID="5173021" attempt="1" result="stored" taskBufferRecordID="1"/>
  <job jobID="5173022" attempt="1" result="refused"><reason code="missing-field">REASON</reason></job>
</executeJobsResponse>"#;

fn gristmill() -> Command {
    let mut command = Command::cargo_bin("gristmill").unwrap();
    command.env_clear();
    command
}

fn stdout(command: &mut Command) -> String {
    let output = command.assert().success().get_output().clone();
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn stderr_of_failure(command: &mut Command, code: Code) -> String {
    let output = command.output().unwrap();
    assert!(output.stdout.is_empty(), "data that is none");
    fails(&output, code)
}

/// A folder with a configuration over an SQLite file in it.
fn site() -> TempDir {
    let folder = TempDir::new().unwrap();
    let store = folder.path().join("buffer.db");
    let config = format!(
        "[xmpp]\njid = \"executor@grid.example/panda\"\n\
         [[supervisor]]\njid = \"supervisor@grid.example\"\nowner = \"prodsys\"\n\
         [buffer]\nurl = \"sqlite:{}\"\n",
        store.display()
    );
    fs::write(folder.path().join("gristmill.toml"), config).unwrap();
    folder
}

fn at(site: &TempDir, arguments: &[&str]) -> Command {
    let mut command = gristmill();
    command
        .args(arguments)
        .arg("--config")
        .arg(site.path().join("gristmill.toml"));
    command
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

#[test]
fn usage_errors_are_exit_code_2() {
    for arguments in [&["frobnicate"][..], &["serve", "--frob"], &["replay"], &[]] {
        gristmill().args(arguments).assert().code(2);
    }
    gristmill().arg("--help").assert().success();
    gristmill().arg("--version").assert().success();
}

#[test]
fn a_missing_configuration_says_where_it_was_looked_for() {
    let said = stderr_of_failure(gristmill().args(["job", "list"]), Code::MissingKey);
    assert!(said.contains("/etc/gristmill/gristmill.toml"), "{said}");
    let said = stderr_of_failure(
        gristmill().args(["config", "check", "--config", "/no/file"]),
        Code::ConfigUnreadable,
    );
    assert!(said.contains("/no/file"), "{said}");
}

#[test]
fn the_password_is_part_of_the_check() {
    let site = site();
    let said = stderr_of_failure(&mut at(&site, &["config", "check"]), Code::SecretMissing);
    assert!(said.contains("xmpp.password_file"), "{said}");
    let password = site.path().join("password");
    fs::write(&password, "secret").unwrap();
    fs::set_permissions(
        &password,
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    let set = format!("xmpp.password_file={}", password.display());
    at(&site, &["config", "check", "--set", &set])
        .assert()
        .success();
    let shown = stdout(&mut at(&site, &["config", "show", "--set", &set]));
    assert!(!shown.contains("secret"));
}

#[test]
fn values_are_shown_with_their_origin() {
    let site = site();
    let mut command = at(&site, &["config", "show", "--origin"]);
    let shown = stdout(command.env("GRISTMILL_BRIDGE__QUEUE", "7"));
    assert!(
        shown.contains("bridge.queue = 7  # environment GRISTMILL_BRIDGE__QUEUE"),
        "{shown}"
    );
    assert!(
        shown.contains("supervisor.0.owner = \"prodsys\"  # "),
        "{shown}"
    );
    let json = stdout(&mut at(&site, &["config", "show", "--json"]));
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert!(first.get("key").is_some() && first.get("origin").is_some());
}

#[test]
fn the_printed_defaults_are_the_compiled_in_ones() {
    let shown = stdout(gristmill().args(["config", "default"]));
    assert_eq!(shown, gristmill::config::DEFAULTS);
}

#[test]
fn man_pages_and_completions_come_from_the_arguments() {
    assert!(stdout(gristmill().arg("man")).contains(".TH gristmill 1"));
    let folder = TempDir::new().unwrap();
    gristmill()
        .arg("man")
        .arg("--output")
        .arg(folder.path())
        .assert()
        .success();
    let page = fs::read_to_string(folder.path().join("gristmill-replay.1")).unwrap();
    assert!(page.contains("expect"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(stdout(gristmill().args(["completions", shell])).contains("replay"));
    }
}

#[test]
fn whoever_stops_reading_is_no_failure() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_gristmill"))
        .args(["config", "default"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert!(
        ended.status.success(),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
}

#[test]
fn jobs_are_replayed_listed_and_shown() {
    let site = site();
    write(site.path(), "execute.xml", EXECUTE);
    let document = site.path().join("execute.xml");
    let reply = stdout(at(&site, &["replay"]).arg(&document));
    assert!(reply.contains(r#"stored="1""#), "{reply}");

    let listed = stdout(&mut at(&site, &["job", "list", "--json"]));
    let job: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(job["jobID"], "5173021");
    assert_eq!(
        (&job["owner"], &job["state"]),
        (&"prodsys".into(), &"ready".into())
    );
    let table = stdout(&mut at(
        &site,
        &["job", "list", "--state", "ready", "--since", "30d"],
    ));
    assert!(table.contains("5173021"), "{table}");
    assert!(stdout(&mut at(&site, &["job", "list", "--owner", "other"])).is_empty());

    let shown = stdout(&mut at(&site, &["job", "show", "1"]));
    assert!(shown.contains("<transPath>run</transPath>"), "{shown}");
    let events = stdout(&mut at(&site, &["job", "events", "1", "--json"]));
    let event: serde_json::Value = serde_json::from_str(&events).unwrap();
    assert_eq!(event["code"], "accepted");
    stderr_of_failure(&mut at(&site, &["job", "events", "2"]), Code::NoSuchRecord);
    stderr_of_failure(&mut at(&site, &["job", "show", "2"]), Code::NoSuchRecord);
    at(&site, &["job", "list", "--state", "flying"])
        .assert()
        .code(2);
}

#[test]
fn a_store_that_is_not_there_is_exit_code_4() {
    let site = site();
    let said = stderr_of_failure(&mut at(&site, &["job", "list"]), Code::StoreUnreachable);
    assert!(said.contains("buffer.db"), "{said}");
}

#[test]
fn migrations_are_planned_and_taken() {
    let site = site();
    let plan = stdout(&mut at(&site, &["migrate", "--plan"]));
    assert!(!plan.is_empty());
    let json = stdout(&mut at(&site, &["migrate", "--plan", "--json"]));
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(first["version"], 1);
    assert_eq!(stdout(&mut at(&site, &["migrate"])), plan);
    assert!(stdout(&mut at(&site, &["migrate", "--plan"])).is_empty());
}

#[test]
fn expectations_are_held_against_replies() {
    let folder = TempDir::new().unwrap();
    let replay = || {
        let mut command = gristmill();
        command.args(["replay", "--expect"]).arg(folder.path());
        command
    };
    stderr_of_failure(&mut replay(), Code::NoDocument);
    write(folder.path(), "a.xml", EXECUTE);
    fails(&replay().output().unwrap(), Code::NothingCompared);
    write(
        folder.path(),
        "a.reply.xml",
        &EXECUTED.replace("REASON", "transPath is empty"),
    );
    let said = replay().assert().get_output().clone();
    let said = String::from_utf8(said.stderr).unwrap() + &String::from_utf8(said.stdout).unwrap();
    replay().assert().success();
    assert!(said.contains("1 as expected"), "{said}");
    let by_name = ["a.reply.xml", "a.xml"].map(|name| folder.path().join(name));
    gristmill()
        .args(["replay", "--expect"])
        .args(by_name)
        .assert()
        .success();
    write(
        folder.path(),
        "a.reply.xml",
        &EXECUTED.replace("REASON", "something else"),
    );
    fails(&replay().output().unwrap(), Code::RepliesDiffer);
}

#[test]
fn documents_can_come_from_standard_input() {
    let mut command = gristmill();
    let wanted = command
        .args(["replay", "-", "--json"])
        .write_stdin("<numJobsWanted id='7'/>");
    let reply: serde_json::Value = serde_json::from_str(&stdout(wanted)).unwrap();
    let reply = reply["reply"].as_str().unwrap();
    assert!(reply.contains("<numJobs>1000</numJobs>") && reply.contains(r#"inReplyTo="7""#));
}

#[test]
fn what_cannot_be_replayed_says_why() {
    let failure = |words: &[&str], code| {
        let mut command = gristmill();
        fails(
            &command.args(["replay"]).args(words).output().unwrap(),
            code,
        )
    };
    let mut command = gristmill();
    let command = command.env("TMPDIR", "/nonexistent").args(["replay", "-"]);
    stderr_of_failure(command, Code::NoTemporaryRoom);
    let long = format!("{}@{}", "x".repeat(200), "y".repeat(60));
    failure(&["-", "--as", &long], Code::SenderInvalid);
    failure(&["/no/such/file.xml"], Code::FileUnreadable);

    let site = site();
    let config = site.path().join("gristmill.toml");
    let xmpp = ["-", "--via", "xmpp", "--config", config.to_str().unwrap()];
    failure(&xmpp, Code::AccountMissing);
}
