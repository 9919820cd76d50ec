//! Errors of the program, of its configuration, and of what a daemon finds around itself, each by
//! what causes it. Those of jobs, of the doctor and of replays stand with their tests.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use gristmill::error::Code;
use rstest::rstest;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::rig::DOMAIN;
use crate::rig::failure::fails;
use crate::rig::folder;
use crate::rig::gristmill::{ACCOUNTS, Gristmill, SUPERVISOR, secret};
use crate::rig::mariadb::MariaDb;
use crate::rig::process::{PATIENCE, program};
use crate::rig::prosody::Prosody;
use crate::rig::site::site;

/// How long a command may take to find out that it cannot go on, on a busy machine.
const LIMIT_SECONDS: &str = "120";

const GRISTMILL: &str = env!("CARGO_BIN_EXE_gristmill");

/// A configuration that is sound, over an XMPP server that is not there.
struct Site(TempDir);

impl Site {
    fn new() -> Self {
        Self(site())
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    /// A key with a path in the folder.
    fn set(&self, key: &str, name: &str) -> String {
        format!("{key}{}/{name}", self.folder().display())
    }

    /// Runs a command with these flags.
    fn run(&self, words: &[&str], flags: &[&str]) -> Output {
        let mut command = Command::new("timeout");
        command
            .args([LIMIT_SECONDS, GRISTMILL])
            .args(words)
            .arg("--config")
            .arg(self.folder().join("gristmill.toml"));
        for flag in flags {
            command.args(["--set", flag]);
        }
        command.env_clear().stdin(Stdio::null()).output().unwrap()
    }

    #[track_caller]
    fn fails(&self, words: &[&str], flags: &[&str], code: Code) -> String {
        fails(&self.run(words, flags), code)
    }
}

/// What a shell's script ends with that runs `"$@"`, the program with these words.
fn shell(script: &str, words: &[&str]) -> Output {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script, "sh", GRISTMILL]).args(words);
    shell.output().unwrap()
}

#[test]
fn a_process_without_room_for_its_needs_says_so() {
    // Libraries are opened one by one; the runtime wants more than one file.
    fails(
        &shell("ulimit -n 4; exec \"$@\"", &["doctor"]),
        Code::SystemRefuses,
    );
    let full = shell("exec \"$@\" >/dev/full", &["config", "default"]);
    fails(&full, Code::OutputUnwritable);
    fails(
        &shell("exec \"$@\"", &["man", "--output", "/proc/none"]),
        Code::FileUnwritable,
    );
    fails(
        &shell("exec \"$@\"", &["explain", "GM9999"]),
        Code::UnknownCode,
    );
}

/// What becomes of a question at a terminal that is answered so.
fn answered(site: &Site, answer: &[u8]) -> String {
    let file = site.folder().join("gristmill.toml");
    let words = format!(
        "{GRISTMILL} job hold --state ready --config {}; echo ended $?",
        file.display()
    );
    let mut terminal = Command::new(program("script", "bsdutils"));
    terminal.args(["--quiet", "--command", &words, "/dev/null"]);
    let mut terminal = terminal
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    terminal.stdin.take().unwrap().write_all(answer).unwrap();
    let said = terminal.wait_with_output().unwrap().stdout;
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn what_is_answered_at_a_terminal_counts() {
    let site = Site::new();
    let job = "<executeJobs><job jobID='1'><transformation><transPath>run</transPath>\
               </transformation><jobPars/></job></executeJobs>";
    fs::write(site.folder().join("job.xml"), job).unwrap();
    let file = site.folder().join("job.xml");
    let stored = site.run(&["replay", file.to_str().unwrap()], &[]);
    assert!(stored.status.success());
    for (answer, code) in [
        (&b"n\n"[..], Code::NothingDone),
        (b"\xff\n", Code::AnswerUnreadable),
    ] {
        let said = answered(&site, answer);
        let report = format!("error[{code}]");
        assert!(
            said.contains(&report) && said.contains("ended 1"),
            "{code:?}: {said}"
        );
    }
    site.fails(&["top"], &[], Code::NoTerminal);
    let said = answered(&site, b"y\n");
    assert!(
        said.contains("1  held") && said.contains("ended 0"),
        "{said}"
    );
}

#[rstest]
#[case::not_toml("[xmpp\n", Code::ConfigSyntax)]
#[case::misspelt("bridge.qeue = 1\n", Code::UnknownKey)]
#[case::no_jid("[[supervisor]]\njid = \"a@b\"\n", Code::MissingKey)]
#[case::no_duration("buffer.timeout = \"soon\"\n", Code::WrongValue)]
#[case::no_queue("bridge.queue = 0\n", Code::Contradiction)]
#[case::no_owner("supervisor = [{ jid = \"a@b\", owner = \"\" }]\n", Code::OwnerInvalid)]
fn a_wrong_configuration_says_what_is_wrong(#[case] text: &str, #[case] code: Code) {
    let folder = folder::new();
    let file = folder.path().join("gristmill.toml");
    let least = "xmpp.jid = \"executor@localhost/panda\"\n";
    let least = if code == Code::MissingKey { "" } else { least };
    let supervisor = if text.contains("supervisor") {
        ""
    } else {
        "supervisor = [{ jid = \"a@b\" }]\n"
    };
    fs::write(&file, format!("{least}{supervisor}{text}")).unwrap();
    let mut check = Command::new(GRISTMILL);
    let check = check.args(["config", "check", "--config"]).arg(&file);
    fails(&check.env_clear().output().unwrap(), code);
}

#[test]
fn what_the_configuration_leads_to_must_be_there() {
    let site = Site::new();
    let check = ["config", "check"];
    assert!(site.run(&check, &[]).status.success());
    fails(
        &shell("exec \"$@\"", &["config", "check", "--config", "/none"]),
        Code::ConfigUnreadable,
    );
    site.fails(&check, &["=1"], Code::KeyForm);
    let no_certificate = site.set("xmpp.ca_file=", "password");
    site.fails(&check, &[&no_certificate], Code::AuthoritiesUnusable);
    let password = site.folder().join("password");
    fs::set_permissions(&password, Permissions::from_mode(0o644)).unwrap();
    site.fails(&check, &[], Code::SecretUnusable);
    let file = site.folder().join("gristmill.toml");
    let text = fs::read_to_string(&file).unwrap();
    let without: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with("password_file"))
        .collect();
    fs::write(&file, without.join("\n")).unwrap();
    site.fails(&check, &[], Code::SecretMissing);
}

#[test]
fn a_server_that_refuses_the_password_is_told_from_one_that_is_away() {
    let site = Site::new();
    let server = MariaDb::start();
    server.create_database("mill");
    let url = format!("buffer.url={}", server.url("mill"));
    site.fails(
        &["job", "list"],
        &[&url, &site.set("buffer.password_file=", "password")],
        Code::StoreRefused,
    );

    let server = Prosody::start(ACCOUNTS);
    let daemon = Gristmill::prepared(&server);
    let wrong = daemon.folder().join("wrong");
    secret(&wrong, "wrong");
    let wrong = format!("xmpp.password_file={}", wrong.display());
    fails(&daemon.ask(&["serve", "--set", &wrong]), Code::DoorRefused);
    fails(
        &daemon.ask(&["config", "check", "--connect", "--set", &wrong]),
        Code::LoginFailed,
    );
}

#[test]
fn a_folder_of_runs_that_cannot_serve_is_refused() {
    let site = Site::new();
    let serve = ["serve"];
    site.fails(
        &serve,
        &["runner.process.work_dir=/proc/none"],
        Code::WorkDirUnusable,
    );
    fs::create_dir(site.folder().join("work")).unwrap();
    fs::write(site.folder().join("work/holder"), "x".repeat(300) + "\n").unwrap();
    site.fails(&serve, &[], Code::HolderName);
    fs::create_dir_all(site.folder().join("work/runs/1-1")).unwrap();
    fs::write(site.folder().join("work/holder"), "").unwrap();
    site.fails(&serve, &[], Code::HolderMissing);
    fs::remove_dir_all(site.folder().join("work")).unwrap();

    // One store's jobs are run there, and then it is brought to another.
    let other = site.set("buffer.url=sqlite:", "other.db");
    assert!(site.run(&["migrate"], &[]).status.success());
    assert!(site.run(&["migrate"], &[&other]).status.success());
    let store = Connection::open(site.folder().join("buffer.db")).unwrap();
    let id: String = store
        .query_row("SELECT id FROM store_id", [], |row| row.get(0))
        .unwrap();
    fs::create_dir(site.folder().join("work")).unwrap();
    fs::write(site.folder().join("work/store"), id + "\n").unwrap();
    site.fails(&serve, &[&other], Code::OtherStore);
}

#[test]
fn a_kernel_that_hides_children_runs_no_jobs() {
    let site = Site::new();
    let config = site.folder().join("gristmill.toml");
    let hidden =
        "exec unshare --mount /bin/sh -c 'mount -t tmpfs none /proc && exec \"$@\"' sh \"$@\"";
    let words = [
        "runner",
        "--set",
        "runner.in_process=false",
        "--config",
        config.to_str().unwrap(),
    ];
    fails(&shell(hidden, &words), Code::KernelTooOld);
}

#[test]
fn a_place_to_listen_at_must_be_free_and_fit() {
    let site = Site::new();
    let taken = UnixListener::bind(site.folder().join("http.sock")).unwrap();
    site.fails(&["serve"], &[], Code::ListenTaken);
    drop(taken);
    let file = site.set("http.listen=unix:", "password");
    site.fails(&["serve"], &[&file], Code::ListenUnusable);

    let separate = "runner.in_process=false";
    let file = site.set("runner.socket=", "password");
    site.fails(&["runner"], &[separate, &file], Code::SocketUnusable);
}

#[test]
fn word_for_a_capture_must_find_its_place() {
    let site = Site::new();
    fs::create_dir(site.folder().join("capture")).unwrap();
    site.fails(&["capture", "status"], &[], Code::CaptureControl);
    // The folder in which it is asked has gone.
    let gone = "cd \"$(mktemp --directory)\" && rmdir \"$PWD\" && exec \"$@\"";
    fails(&shell(gone, &["capture", "on", "here"]), Code::FolderName);

    let server = Prosody::start(ACCOUNTS);
    let daemon = Gristmill::on_sqlite(&server, &[]);
    let deadline = Instant::now() + PATIENCE;
    let ordered = loop {
        let ordered = daemon.ask(&["capture", "on", "/proc/none"]);
        if !ordered.status.success() {
            break ordered;
        }
        assert!(Instant::now() < deadline, "no daemon hears it");
    };
    fails(&ordered, Code::CaptureFailed);
}

/// Not a program may be run where temporary files are.
#[test]
fn a_demo_that_cannot_go_well_does_not_end_well() {
    fails(
        &shell("TMPDIR=/nonexistent exec \"$@\"", &["demo"]),
        Code::DemoBroken,
    );
    let folder = folder::new();
    let bare = format!(
        "exec unshare --mount /bin/sh -c \
         'mount -t tmpfs -o noexec none \"$0\" && TMPDIR=\"$0\" exec \"$@\"' {} \"$@\"",
        folder.path().display()
    );
    fails(&shell(&bare, &["demo", "--jobs", "4"]), Code::DemoSurprised);
}

#[test]
fn what_a_daemon_does_not_answer_is_told_when_replayed() {
    let server = Prosody::start(ACCOUNTS);
    let daemon = Gristmill::prepared(&server);
    let (password, document) = (
        daemon.folder().join("supervisor"),
        daemon.folder().join("a.xml"),
    );
    secret(&password, SUPERVISOR.1);
    let jid = format!("{}@{DOMAIN}", SUPERVISOR.0);
    let replay = |bytes: &[u8]| {
        fs::write(&document, bytes).unwrap();
        let paths = [&document, &password].map(|path| path.to_str().unwrap());
        daemon.ask(&[
            "replay",
            paths[0],
            "--via",
            "xmpp",
            "--as",
            &jid,
            "--password-file",
            paths[1],
        ])
    };
    fails(&replay(b"<numJobsWanted/>"), Code::NoReply);
    fails(&replay(b"<\xff/>"), Code::NotUtf8);
    secret(&password, "wrong");
    fails(&replay(b"<numJobsWanted/>"), Code::SupervisorOffline);
}
