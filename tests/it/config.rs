//! Each file below `fixtures/config/invalid` holds one mistake, and says in its first line what the
//! report must contain (several parts apart by `|`); those below `unusable` name what this machine
//! cannot have. What `config check` passes, `serve` begins with.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use gristmill::config::{FileChoice, Sources, load};
use gristmill::error::{Code, Kind};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rstest::rstest;

use crate::rig::failure::{assert_says, fails};
use crate::rig::process::{PATIENCE, Process, command, command_as};
use crate::rig::site::site;

/// The number of a user that nobody has.
const STRANGE_USER: u32 = 61_300;

/// Whether it begins with the file, a line and a column.
fn has_place(what: &str, file: &Path) -> bool {
    let place = what.strip_prefix(&format!("{}:", file.display()));
    let mut numbers = place.unwrap_or_default().splitn(3, ':');
    let mut is_number = || numbers.next().is_some_and(|one| one.parse::<u32>().is_ok());
    is_number() && is_number()
}

#[test]
fn every_mistake_is_reported_with_its_place_and_a_way_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config/invalid");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let wanted = text
            .lines()
            .next()
            .unwrap()
            .strip_prefix("# expect: ")
            .unwrap();
        let file = FileChoice::Named(path.clone());
        let report = load(&Sources {
            file,
            ..Sources::default()
        })
        .expect_err(&format!("{} must be refused", path.display()));
        assert_eq!(report.kind(), Kind::Configuration);
        assert!(has_place(&report.what, &path), "{report}");
        assert!(report.hint.is_some(), "{}: no hint", path.display());
        assert!(!report.to_string().contains("secret"), "a secret is shown");
        for part in wanted.split('|') {
            let report = report.to_string();
            assert!(
                report.contains(part),
                "{}:\n{report}\nlacks {part}",
                path.display()
            );
        }
        seen += 1;
    }
    assert!(seen >= 25, "{seen} files");
}

fn gristmill(words: &[&str], file: &Path, flags: &[String]) -> Output {
    let mut command = command(env!("CARGO_BIN_EXE_gristmill"));
    command.args(words).arg("--config").arg(file);
    for flag in flags {
        command.args(["--set", flag]);
    }
    command.output().unwrap()
}

#[test]
fn what_this_machine_cannot_have_is_found_before_anything_is_begun() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config/unusable");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let wanted = text.lines().next().unwrap().strip_prefix("# expect: ");
        for words in [&["config", "check"][..], &["serve"]] {
            let output = gristmill(words, &path, &[]);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(3), "{said}");
            for part in wanted.unwrap().split('|') {
                assert!(
                    said.contains(part),
                    "{}: no {part} in {said}",
                    path.display()
                );
            }
            assert!(said.contains("\n  next: "), "{said}");
        }
        seen += 1;
    }
    assert!(seen >= 10, "{seen} files");
}

#[rstest]
#[case("runner.allow_users=['no-such-user']", Code::UserUnknown)]
#[case("runner.socket=/proc/version", Code::SocketUnusable)]
#[case("runner.socket=/nonexistent/deep/runner.sock", Code::SocketUnusable)]
#[case("runner.socket=/tmp/runner.sock", Code::SocketUnusable)]
#[case("runner.process.work_dir=/proc/version/work", Code::WorkDirUnusable)]
fn what_a_runner_cannot_have_is_found_in_the_same_way(#[case] flag: &str, #[case] code: Code) {
    let site = site();
    let flags = ["runner.in_process=false", flag].map(str::to_owned);
    for words in [&["config", "check"][..], &["runner"]] {
        let file = site.path().join("gristmill.toml");
        fails(&gristmill(words, &file, &flags), code);
    }
}

/// A pipe can be read once.
#[test]
fn a_password_may_come_by_a_pipe() {
    let site = site();
    let pipe = site.path().join("pipe");
    let mut made = std::process::Command::new("mkfifo");
    let made = made.args(["--mode", "600"]).arg(&pipe).status();
    assert!(made.unwrap().success());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::write(pipe, "secret").unwrap()
    });
    let flag = format!("xmpp.password_file={}", pipe.display());
    let (serves, said) = serves(site.path(), &[flag]);
    assert!(serves, "{said}");
    writer.join().unwrap();
}

/// Nobody else may write in the site's folder.
#[rstest]
#[case("log.level=info", Code::StoreInvalid)]
#[case("buffer.url=mysql://u@localhost/d", Code::ListenUnusable)]
fn who_may_not_write_where_it_must_is_told(#[case] flag: &str, #[case] code: Code) {
    let site = site();
    fs::set_permissions(site.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for words in [&["config", "check"][..], &["serve"]] {
        let mut command = command_as(STRANGE_USER, env!("CARGO_BIN_EXE_gristmill"));
        command.args(words).args(["--set", flag, "--config"]);
        let output = command.arg(site.path().join("gristmill.toml")).output();
        let said = fails(&output.unwrap(), code);
        assert!(said.contains("you may not write in"), "{said}");
    }
}

/// Keys with values that all can be, and in the end one that cannot. `~` is the site's folder.
const CHOICES: &[(&str, &[&str])] = &[
    ("xmpp.server", &["127.0.0.1:1", "localhost:1", "127.0.0.1"]),
    (
        "xmpp.security",
        &["starttls", "direct-tls", "plaintext", "none"],
    ),
    ("xmpp.max_stanza", &["10 KB", "256 KiB", "1 GiB", "2 GiB"]),
    ("xmpp.password_file", &["~/password", "~/none"]),
    (
        "xmpp.ca_file",
        &["/etc/ssl/certs/ca-certificates.crt", "~/password"],
    ),
    ("bridge.queue", &["1", "65536", "65537"]),
    ("bridge.wanted_when_unable", &["0", "9", "none"]),
    ("bridge.max_jobs_per_request", &["1", "1000000", "1000001"]),
    ("bridge.max_request", &["1 B", "1 GiB", "1 TiB"]),
    ("bridge.max_age", &["1s", "87840h", "87841h"]),
    (
        "buffer.url",
        &[
            "sqlite:~/buffer.db",
            "sqlite:~/other.db",
            "sqlite:~/none/b.db",
        ],
    ),
    ("buffer.timeout", &["1s", "2s", "9s", "0s"]),
    ("buffer.pool", &["1", "1024", "1025"]),
    ("buffer.keep_keys", &["forever", "9000w", "1h"]),
    ("conductor.enabled", &["true", "false", "maybe"]),
    ("conductor.slots", &["0", "1", "65536", "65537"]),
    ("conductor.lease", &["30s", "87840h", "1s"]),
    ("conductor.retry_longest", &["10m", "87840h", "1ms"]),
    ("runner.in_process", &["true", "false", "2"]),
    ("runner.user", &["root", "nobody", "61999", "no-such-user"]),
    (
        "runner.process.work_dir",
        &["~/work", "~/deep/er/work", "~/password/work"],
    ),
    ("runner.process.timeout", &["1ms", "87840h", "87841h"]),
    ("runner.process.limits.memory", &["1 B", "1 EiB", "1"]),
    (
        "http.listen",
        &["", "unix:~/http.sock", "127.9.9.9:0", "unix:~/password"],
    ),
    ("capture.control", &["~/capture", "~"]),
    ("capture.max_size", &["1 B", "1 EiB", "1"]),
    ("log.level", &["error", "trace", "loud"]),
    ("log.format", &["json", "text", "prose"]),
];

/// Some keys with some values; one in three has one that cannot be.
fn some(dice: &mut StdRng, site: &Path) -> Vec<String> {
    let mut flags = Vec::new();
    for (key, values) in CHOICES.sample(dice, CHOICES.len() / 2) {
        let (_, sound) = values.split_last().unwrap();
        flags.push(format!("{key}={}", sound.choose(dice).unwrap()));
    }
    if dice.random_ratio(1, 3) {
        let (key, values) = CHOICES.choose(dice).unwrap();
        flags.push(format!("{key}={}", values.last().unwrap()));
    }
    let site = site.display().to_string();
    flags.iter().map(|flag| flag.replace('~', &site)).collect()
}

/// Whether `serve` gets as far as to its store; what it says.
fn serves(site: &Path, flags: &[String]) -> (bool, String) {
    let (log, mut serve) = (site.join("log"), command(env!("CARGO_BIN_EXE_gristmill")));
    let _ = fs::remove_file(&log);
    serve
        .arg("serve")
        .arg("--config")
        .arg(site.join("gristmill.toml"));
    serve.args(flags.iter().flat_map(|flag| ["--set", flag]));
    let mut process = Process::start("gristmill", serve, &log);
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = process.wait(Duration::from_millis(50)) {
            assert_eq!(status.code(), Some(3), "{flags:?}: {}", said());
            return (false, said());
        }
        // The log may be silent.
        if site.join("buffer.db-wal").exists() || site.join("other.db-wal").exists() {
            let status = process.stop();
            assert_eq!(status.code(), Some(0), "{flags:?}: {}", said());
            return (true, said());
        }
        assert!(Instant::now() < deadline, "{flags:?}: {}", said());
    }
}

/// As where two daemons of one machine have a configuration with nothing about it.
#[test]
fn a_daemon_starts_where_the_default_address_is_taken() {
    let (site, taken) = (site(), default_address());
    let file = site.path().join("gristmill.toml");
    let text = fs::read_to_string(&file).unwrap();
    let socket = format!("listen = \"unix:{}/http.sock\"\n", site.path().display());
    fs::write(&file, text.replace(&socket, "")).unwrap();
    let (serves, said) = serves(site.path(), &[]);
    assert!(serves, "{said}");
    assert_says(&said, Code::ListenTaken);
    let configured = ["http.listen=127.0.0.1:8470".to_owned()];
    fails(
        &gristmill(&["serve"], &file, &configured),
        Code::ListenTaken,
    );
    drop(taken);
}

/// Takes it, where no other process has it.
fn default_address() -> Option<TcpListener> {
    TcpListener::bind("127.0.0.1:8470").ok()
}

#[test]
fn what_passes_the_check_is_served_and_nothing_else() {
    let (mut sound, mut unsound) = (0, 0);
    for seed in 0..24 {
        let site = site();
        let flags = some(&mut StdRng::seed_from_u64(seed), site.path());
        let file = site.path().join("gristmill.toml");
        let check = gristmill(&["config", "check"], &file, &flags);
        let passes = check.status.success();
        let (serves, said) = serves(site.path(), &flags);
        let check = String::from_utf8_lossy(&check.stderr);
        assert_eq!(passes, serves, "seed {seed}, {flags:?}:\n{check}\n{said}");
        *if passes { &mut sound } else { &mut unsound } += 1;
    }
    assert!(sound >= 8 && unsound >= 4, "{sound} pass, {unsound} do not");
}
