//! Each real loop of the built program, stuck. Nothing that a loop waits for is without a time
//! limit but its own log: who does not read it holds up whoever writes to it next.

use std::fs::OpenOptions;
use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Child;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use super::systemd::Ear;
use crate::rig::documents::num_jobs_wanted;
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, STRANGER};
use crate::rig::http::{Answer, get};
use crate::rig::mariadb::MariaDb;
use crate::rig::process;
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::{Carrier, Supervisor};

/// `O_NONBLOCK` of Linux.
const NON_BLOCKING: i32 = 0o4000;

/// Longer than the limit of every loop.
const PATIENCE: Duration = Duration::from_mins(2);

/// A daemon is fed for several times in this.
const SILENCE: Duration = Duration::from_secs(3);

/// What a daemon says that has nothing to do.
const IDLE: &str = "STATUS=XMPP online, 0 running, 0 waiting";

/// A daemon whose log nobody reads.
struct Daemon {
    child: Child,
    ear: Ear,
    written: PipeReader,
    writer: PipeWriter,
}

impl Daemon {
    /// Its loops turn, and it has said that it is so.
    fn start(prepared: &Gristmill, flags: &[&str], status: &str) -> Self {
        let socket = prepared.folder().join("notify");
        let ear = Ear::at(&socket);
        let (written, writer) = pipe().unwrap();
        let mut command = process::command(env!("CARGO_BIN_EXE_gristmill"));
        command
            .arg("serve")
            .arg("--config")
            .arg(prepared.config_file());
        command.args(flags.iter().flat_map(|flag| ["--set", flag]));
        command
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", "1500000");
        // A thread that is held up is not to be the only one, also on a machine with one core.
        command.env("TOKIO_WORKER_THREADS", "4");
        command.stderr(writer.try_clone().unwrap());
        let mut daemon = Self {
            child: process::spawn(command),
            ear,
            written,
            writer,
        };
        daemon.ear.wait_for("READY=1");
        daemon.ear.wait_for(status);
        daemon.ear.wait_for("WATCHDOG=1");
        daemon
    }

    /// From now on whoever writes to the log waits.
    fn fill_log(&self) {
        let again = format!("/proc/self/fd/{}", self.writer.as_raw_fd());
        let mut log = OpenOptions::new();
        let mut log = log
            .write(true)
            .custom_flags(NON_BLOCKING)
            .open(again)
            .unwrap();
        for piece in [4096, 1] {
            let full = loop {
                if let Err(error) = log.write_all(&b"\n".repeat(piece)) {
                    break error;
                }
            };
            assert_eq!(full.kind(), ErrorKind::WouldBlock);
        }
    }

    /// `/healthz` says that this loop does not turn, and the watchdog is not fed. Other loops may
    /// be held up with it, for they share threads.
    fn is_stuck(&mut self, prepared: &Gristmill, name: &str) {
        let socket = prepared.http_socket();
        let limit = Instant::now() + PATIENCE;
        let is_it = |answer: &Answer| answer.json()["loops"][name]["ok"] == false;
        let health = loop {
            match get(&socket, "/healthz") {
                Some(answer) if is_it(&answer) => break answer,
                answer => assert!(Instant::now() < limit, "{answer:?}"),
            }
            sleep(Duration::from_millis(200));
        };
        assert_eq!(health.status, 503, "{health:?}");
        assert_eq!(health.json()["status"], "stuck");
        let unready = get(&socket, "/readyz").unwrap();
        assert_eq!(unready.status, 503);
        assert!(
            unready
                .body
                .contains(&format!("the loop {name} does not turn")),
            "{unready:?}"
        );
        while self.ear.next().is_some() {}
        sleep(SILENCE);
        let heard: Vec<_> = std::iter::from_fn(|| self.ear.next()).collect();
        assert!(!heard.contains(&"WATCHDOG=1".to_owned()), "{heard:?}");
    }

    /// Somebody reads the log, and all goes on.
    fn goes_on(self, prepared: &Gristmill) {
        let Self {
            mut child,
            mut ear,
            mut written,
            writer,
        } = self;
        drop(writer);
        spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(1..) = written.read(&mut bytes) {}
        });
        ear.wait_for("WATCHDOG=1");
        let health = get(&prepared.http_socket(), "/healthz").unwrap();
        assert_eq!(health.status, 200, "{health:?}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_door_that_is_stuck() {
    let server = Prosody::start_fast(ACCOUNTS);
    let prepared = Gristmill::prepared(&server);
    let mut daemon = Daemon::start(&prepared, &["conductor.enabled=true"], IDLE);
    let mut stranger = Supervisor::login(&server, STRANGER, EXECUTOR_JID);
    daemon.fill_log();
    stranger.send(Carrier::Child, &num_jobs_wanted("n"));
    daemon.is_stuck(&prepared, "door");
    daemon.goes_on(&prepared);
}

#[test]
fn a_conductor_that_is_stuck() {
    let server = Prosody::start_fast(ACCOUNTS);
    let prepared = Gristmill::prepared(&server);
    let flags = ["conductor.enabled=true", "buffer.timeout=500ms"];
    let mut daemon = Daemon::start(&prepared, &flags, IDLE);
    daemon.fill_log();
    prepared.command(&["drain"]);
    daemon.is_stuck(&prepared, "conductor");
    daemon.goes_on(&prepared);
}

#[test]
fn a_housekeeping_that_is_stuck() {
    let (server, mut store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
    store.create_database("mill");
    store.stop();
    let prepared = Gristmill::prepared_on_mariadb(&server, &store.url("mill"));
    let mut daemon = Daemon::start(&prepared, &[], "STATUS=XMPP online, store unreachable");
    daemon.fill_log();
    store.start_again();
    daemon.is_stuck(&prepared, "housekeeping");
    daemon.goes_on(&prepared);
}
