//! Each real loop of the built program, stuck: the threads that turn it are stopped, as by a call
//! into a kernel that hangs.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::systemd::Ear;
use crate::rig::DOMAIN;
use crate::rig::gristmill::{ACCOUNTS, Gristmill, SUPERVISOR};
use crate::rig::http::{Answer, get};
use crate::rig::process::{command, spawn};
use crate::rig::prosody::Prosody;

/// Longer than the limit of every loop.
const PATIENCE: Duration = Duration::from_mins(2);

/// A daemon is fed for several times in this.
const SILENCE: Duration = Duration::from_secs(3);

/// Threads that stand still until it is dropped.
struct Frozen(Child);

impl Frozen {
    /// The threads of this name; `main`: the first one.
    fn threads(process: u32, name: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = command(root.join(".venv/bin/python"));
        command.arg(root.join("tests/clients/freeze.py"));
        command.args([&process.to_string(), name]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn(command);
        let mut said = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut said).unwrap();
        assert_eq!(said, "frozen\n");
        Self(child)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// `/healthz` says that this loop does not turn.
fn wait_until_stuck(socket: &Path, name: &str) {
    let limit = Instant::now() + PATIENCE;
    let is_it = |answer: &Answer| answer.json()["loops"][name]["ok"] == false;
    let health = loop {
        match get(socket, "/healthz") {
            Some(answer) if is_it(&answer) => break answer,
            answer => assert!(Instant::now() < limit, "{answer:?}"),
        }
        sleep(Duration::from_millis(200));
    };
    assert_eq!(health.status, 503, "{health:?}");
    assert_eq!(health.json()["status"], "stuck");
    let unready = get(socket, "/readyz").unwrap();
    assert_eq!(unready.status, 503);
    let why = format!("the loop {name} does not turn");
    assert!(unready.body.contains(&why), "{unready:?}");
}

/// While the threads of this name stand still, these loops are seen not to turn and the watchdog
/// is not fed; afterwards all goes on.
fn is_seen(thread: &str, loops: &[&str]) {
    let server = Prosody::start_fast(ACCOUNTS);
    let folder = tempfile::tempdir().unwrap();
    let notify = folder.path().join("notify");
    let mut ear = Ear::at(&notify);
    let environment = [
        ("NOTIFY_SOCKET", notify.to_str().unwrap()),
        ("WATCHDOG_USEC", "1500000"),
    ];
    let supervisor = format!("{}@{DOMAIN}", SUPERVISOR.0);
    let told = format!("supervisor=[{{ jid = '{supervisor}', notify = true }}]");
    let flags = ["conductor.enabled=true", told.as_str()];
    let daemon = Gristmill::under_a_manager(&server, &flags, &environment);
    ear.wait_for("READY=1");
    ear.wait_for("WATCHDOG=1");
    let socket = daemon.http_socket();

    let frozen = Frozen::threads(daemon.id(), thread);
    for name in loops {
        wait_until_stuck(&socket, name);
    }
    while ear.next().is_some() {}
    sleep(SILENCE);
    let heard: Vec<_> = std::iter::from_fn(|| ear.next()).collect();
    assert!(!heard.contains(&"WATCHDOG=1".to_owned()), "{heard:?}");

    drop(frozen);
    ear.wait_for("WATCHDOG=1");
    let health = get(&socket, "/healthz").unwrap();
    assert_eq!(health.status, 200, "{health:?}");
}

#[test]
fn a_door_that_is_stuck() {
    is_seen("main", &["door"]);
}

/// What works off requests and tells supervisors unasked is seen as well.
#[test]
fn a_conductor_and_all_that_runs_beside_it_that_are_stuck() {
    let loops = ["conductor", "housekeeping", "requests", "notifications"];
    is_seen("tokio-rt-worker", &loops);
}
