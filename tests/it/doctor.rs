//! What the doctor says of real servers that are well, ill, or away.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use gristmill::error::Code;
use serde_json::Value;

use crate::rig::ejabberd::Ejabberd;
use crate::rig::folder;
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, SUPERVISOR, secret};
use crate::rig::mariadb::MariaDb;
use crate::rig::pki::{Authority, Identity};
use crate::rig::process::{PATIENCE, command};
use crate::rig::prosody::{Prosody, Setup};
use crate::rig::site::site;
use crate::rig::slixmpp::Supervisor;

/// What is said of one thing.
#[derive(Debug)]
struct Line {
    check: String,
    verdict: String,
    code: Option<String>,
    what: String,
    remedy: Option<String>,
}

fn doctor(daemon: &Gristmill, flags: &[&str]) -> (i32, Vec<Line>) {
    let mut words = vec!["doctor", "--json"];
    words.extend(flags.iter().flat_map(|flag| ["--set", flag]));
    let Output { status, stdout, .. } = daemon.ask(&words);
    let lines = String::from_utf8(stdout).unwrap();
    let lines = lines.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| line[key].as_str().map(str::to_owned);
        Line {
            check: text("check").unwrap(),
            verdict: text("verdict").unwrap(),
            code: text("code"),
            what: text("what").unwrap(),
            remedy: text("remedy"),
        }
    });
    (status.code().unwrap(), lines.collect())
}

/// The one line about something that is not well, with a remedy.
#[track_caller]
fn ill<'a>(lines: &'a [Line], check: &str, verdict: &str) -> &'a Line {
    let found: Vec<_> = lines.iter().filter(|line| line.check == check).collect();
    let ill = found.iter().find(|line| line.verdict != "ok");
    let ill = ill.unwrap_or_else(|| panic!("{check} is well: {lines:?}"));
    assert_eq!(ill.verdict, verdict, "{ill:?}");
    assert!(ill.remedy.is_some(), "{ill:?}");
    ill
}

#[track_caller]
fn warning<'a>(lines: &'a [Line], check: &str) -> &'a str {
    &ill(lines, check, "warning").what
}

/// The same, with an error.
#[track_caller]
fn error<'a>(lines: &'a [Line], check: &str, code: Code) -> &'a str {
    let ill = ill(lines, check, "error");
    assert_eq!(ill.code, Some(code.to_string()), "{ill:?}");
    &ill.what
}

#[track_caller]
fn well(lines: &[Line], checks: &[&str]) {
    for check in checks {
        let found: Vec<_> = lines.iter().filter(|line| line.check == *check).collect();
        assert!(!found.is_empty(), "nothing of {check}: {lines:?}");
        assert!(found.iter().all(|line| line.verdict == "ok"), "{found:?}");
    }
}

#[test]
fn a_running_daemon_is_well_and_is_not_disturbed() {
    let (mut server, store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
    store.create_database("mill");
    let mut daemon = Gristmill::on_mariadb(&server, &store.url("mill"), &[]);
    let mut supervisor = Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    let (code, lines) = doctor(&daemon, &[]);
    well(
        &lines,
        &[
            "configuration",
            "secrets",
            "store",
            "schema",
            "clock",
            "XMPP server",
            "certificate",
            "log-in",
            "XMPP clock",
            "runner",
            "daemon",
        ],
    );
    assert_eq!(code, 0, "{lines:?}");
    let said = daemon.ask(&["doctor"]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.lines().count(), lines.len(), "{said}");
    supervisor.wait_until_served();
    assert!(!daemon.log().contains("another client"), "{}", daemon.log());
    server.stop();
    let deadline = Instant::now() + PATIENCE;
    let lines = loop {
        let (_, lines) = doctor(&daemon, &[]);
        let is_told = |line: &Line| line.check == "daemon" && line.verdict == "error";
        if lines.iter().any(is_told) {
            break lines;
        }
        assert!(Instant::now() < deadline, "it is well: {lines:?}");
    };
    assert!(error(&lines, "daemon", Code::DaemonNotReady).contains("XMPP offline"));
    daemon.stop();
}

#[test]
fn the_clock_of_the_xmpp_server_is_looked_at() {
    let server = Prosody::start_with(&Setup {
        accounts: ACCOUNTS,
        ahead: Duration::from_mins(5),
        ..Setup::default()
    });
    let (_, lines) = doctor(&Gristmill::prepared(&server), &[]);
    let what = warning(&lines, "XMPP clock");
    assert!(what.contains("4m") || what.contains("5m"), "{what}");
    assert!(what.contains("ahead of this machine's"), "{what}");

    // It has no module that tells the time.
    let server = Ejabberd::start(ACCOUNTS);
    let (_, lines) = doctor(&Gristmill::prepared(&server), &[]);
    let clock = lines
        .iter()
        .find(|line| line.check == "XMPP clock")
        .unwrap();
    assert_eq!(clock.verdict, "ok");
    assert!(clock.what.contains("is not known"), "{clock:?}");
}

#[test]
fn certificates_are_looked_at() {
    let of = |identity| {
        let setup = Setup {
            accounts: ACCOUNTS,
            identity,
            ..Setup::default()
        };
        let server = Prosody::start_with(&setup);
        doctor(&Gristmill::prepared(&server), &[])
    };
    let (code, lines) = of(Identity::EndsSoon);
    let said = warning(&lines, "certificate");
    assert!(said.contains("9 day(s) left"), "{said}");
    assert_eq!(code, 0, "a warning is no failure");
    let (code, lines) = of(Identity::Expired);
    assert!(error(&lines, "certificate", Code::CertificateRefused).contains("expired"));
    assert_eq!(code, 4);
}

#[test]
fn a_wrong_authority_or_password_is_found() {
    let server = Prosody::start(ACCOUNTS);
    let daemon = Gristmill::prepared(&server);
    let elsewhere = folder::new();
    let other = Authority::new(elsewhere.path());
    let (code, lines) = doctor(
        &daemon,
        &[&format!("xmpp.ca_file={}", other.file.display())],
    );
    error(&lines, "certificate", Code::CertificateRefused);
    assert_eq!(code, 4);

    let password = elsewhere.path().join("password");
    secret(&password, "wrong");
    let (code, lines) = doctor(
        &daemon,
        &[&format!("xmpp.password_file={}", password.display())],
    );
    well(&lines, &["XMPP server", "certificate"]);
    error(&lines, "log-in", Code::LoginFailed);
    assert_eq!(code, 4);
}

#[test]
fn servers_that_are_away_are_told_apart() {
    let (mut server, mut store) = (Prosody::start(ACCOUNTS), MariaDb::start());
    store.create_database("mill");
    let daemon = Gristmill::prepared_on_mariadb(&server, &store.url("mill"));
    let (code, lines) = doctor(&daemon, &[]);
    assert!(warning(&lines, "schema").contains("not there yet"));
    assert_eq!(code, 0);

    store.stop();
    let (code, lines) = doctor(&daemon, &[]);
    error(&lines, "store", Code::StoreUnreachable);
    well(&lines, &["log-in"]);
    assert_eq!(code, 4);

    store.start_again();
    server.stop();
    let (code, lines) = doctor(&daemon, &[]);
    error(&lines, "XMPP server", Code::ServerUnreachable);
    well(&lines, &["store"]);
    assert_eq!(code, 4);
}

#[test]
fn folders_and_runner_are_looked_at() {
    let server = Prosody::start(ACCOUNTS);
    let daemon = Gristmill::prepared(&server);
    let programs = daemon.folder().join("transformations");
    fs::remove_dir_all(&programs).unwrap();
    let (code, lines) = doctor(&daemon, &["conductor.enabled=true"]);
    assert!(error(&lines, "runner", Code::ProgramsMissing).contains("transformations"));
    assert_eq!(code, 3);
    fs::create_dir(&programs).unwrap();
    let (code, lines) = doctor(&daemon, &["conductor.enabled=true"]);
    assert!(error(&lines, "rights", Code::ProgramsMissing).contains("is empty"));
    assert_eq!(code, 3);

    daemon.script("run", "exit 0");
    let (code, lines) = doctor(&daemon, &["conductor.enabled=true"]);
    well(&lines, &["runner", "rights"]);
    assert_eq!(code, 0, "{lines:?}");

    fs::set_permissions(&programs, Permissions::from_mode(0o777)).unwrap();
    let (_, lines) = doctor(&daemon, &["conductor.enabled=true"]);
    assert!(error(&lines, "rights", Code::ProgramsOpen).contains("everybody"));
    fs::set_permissions(&programs, Permissions::from_mode(0o755)).unwrap();

    let flags = ["conductor.enabled=true", "runner.in_process=false"];
    let (code, lines) = doctor(&daemon, &flags);
    assert!(error(&lines, "runner", Code::RunnerAway).contains("runner.sock"));
    assert_eq!(code, 4);

    let (code, lines) = doctor(&daemon, &["buffer.url=sqlite:/nonexistent/buffer.db"]);
    assert!(error(&lines, "rights", Code::FolderUnwritable).contains("/nonexistent"));
    error(&lines, "store", Code::StoreInvalid);
    assert_eq!(code, 3);

    let (code, lines) = doctor(&daemon, &["bridge.queue=0"]);
    assert!(error(&lines, "configuration", Code::Contradiction).contains("bridge.queue"));
    assert_eq!((code, lines.len()), (3, 1));
}

/// A small file system in memory.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Self {
        let folder = folder::new();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "gristmill-test"]);
        let mounted = mount.arg(folder.path()).status().expect("mount");
        assert!(mounted.success(), "a small file system (are you root?)");
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_disk_without_room_is_found() {
    let server = Prosody::start(ACCOUNTS);
    let daemon = Gristmill::prepared(&server);
    let disk = SmallDisk::new();
    let flag = format!("buffer.url=sqlite:{}/buffer.db", disk.0.path().display());
    let (code, lines) = doctor(&daemon, &[&flag]);
    assert!(error(&lines, "disk", Code::DiskFull).contains("8.0 MiB"));
    assert_eq!(code, 1);
}

/// A pipe that nobody writes into looks like a file system that hangs.
#[test]
fn a_look_that_waits_for_ever_is_given_up() {
    let server = Prosody::start(ACCOUNTS);
    let daemon = Gristmill::prepared(&server);
    let pipe = daemon.folder().join("pipe");
    let made = Command::new("mkfifo")
        .args(["--mode", "600"])
        .arg(&pipe)
        .status();
    assert!(made.unwrap().success());
    let (code, lines) = doctor(
        &daemon,
        &[&format!("xmpp.password_file={}", pipe.display())],
    );
    for check in ["rights", "xmpp"] {
        assert!(error(&lines, check, Code::CheckLate).contains("no answer"));
    }
    well(&lines, &["daemon", "limits"]);
    assert_eq!(code, 4);
}

/// The daemon knows its own cgroup; whoever asks has another one.
#[test]
fn what_holds_runs_is_told_as_the_runner_found_it() {
    let server = Prosody::start(ACCOUNTS);
    let nowhere = ["conductor.enabled=true", "runner.process.cgroup=/not/there"];
    let mut daemon = Gristmill::on_sqlite(&server, &nowhere);
    let start = Instant::now();
    loop {
        let (_, lines) = doctor(&daemon, &nowhere);
        let polled = |line: &&Line| line.what.contains("runs have no cgroups");
        if let Some(line) = lines.iter().find(polled) {
            assert_eq!((&*line.check, &*line.verdict), ("limits", "warning"));
            assert!(line.remedy.is_some(), "{line:?}");
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{lines:?}");
    }
    assert!(daemon.log().contains("runs have no cgroups"));
    daemon.stop();
}

/// What an editor left beside a password is told before a server refuses it.
#[test]
fn an_odd_password_is_a_warning() {
    let site = site();
    let config = site.path().join("gristmill.toml");
    let asked = |words: &[&str]| {
        let mut command = command(env!("CARGO_BIN_EXE_gristmill"));
        command.args(words).arg("--config").arg(&config);
        let Output { stdout, stderr, .. } = command.output().unwrap();
        String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap()
    };
    for (password, odd) in [
        ("\u{feff}open sesame\n", "begins with a byte order mark"),
        ("open sesame \n", "ends with white space"),
        ("open sesame\n\n", "ends with a line break"),
        ("open sesame\r\n\r\n", "ends with a line break"),
        ("open\nsesame\n", "has several lines"),
        (" open sesame\n", "begins with white space"),
        ("open sesame\r\n", ""),
    ] {
        secret(&site.path().join("password"), password);
        for words in [&["doctor"][..], &["config", "check"]] {
            let said = asked(words);
            let warning = format!("xmpp.password_file: the password {odd}");
            assert_eq!(said.contains(&warning), !odd.is_empty(), "{said}");
            assert!(!said.contains("sesame"), "{said}");
        }
    }
}

/// The code of the last line is that of a finding; the count of findings has none.
#[test]
fn a_count_of_errors_has_no_code_of_its_own() {
    let site = site();
    let config = site.path().join("gristmill.toml");
    for flag in ["log.level=info", "xmpp.security=unheard-of"] {
        let mut doctor = command(env!("CARGO_BIN_EXE_gristmill"));
        doctor.args(["doctor", "--set", flag, "--config"]);
        let said = doctor.arg(&config).output().unwrap();
        let said = String::from_utf8(said.stderr).unwrap();
        let reports: Vec<_> = said
            .lines()
            .filter(|line| line.contains("error["))
            .collect();
        let [report] = reports[..] else {
            panic!("not one error: {said}");
        };
        assert!(!report.contains("error(s)"), "{said}");
        let code: Code = report["error[".len()..]
            .split_once(']')
            .unwrap()
            .0
            .parse()
            .unwrap();
        assert!(report.ends_with(code.title()), "{said}");
    }
}
