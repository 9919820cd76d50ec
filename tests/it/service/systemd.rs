//! What the service manager hears of the built program.

use std::collections::VecDeque;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill::buffer::{Gate, OpenError};
use gristmill::config::Supervision;
use gristmill::daemon::{Manager, SystemClock};
use gristmill::http::House;
use gristmill::vitals::Pulse;
use tokio_util::sync::CancellationToken;

use super::eventually;
use crate::rig::documents::execute_jobs;
use crate::rig::folder;
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR, EXECUTOR_JID, Gristmill, SUPERVISOR, secret};
use crate::rig::http::get;
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::{Carrier, Supervisor};

/// Where a service manager would listen.
pub(super) struct Ear {
    socket: UnixDatagram,
    /// Heard, and not looked at yet.
    lines: VecDeque<String>,
}

impl Ear {
    pub(super) fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            socket,
            lines: VecDeque::new(),
        }
    }

    /// The next line.
    pub(super) fn next(&mut self) -> Option<String> {
        let mut buffer = [0; 4096];
        while let Ok(bytes) = self.socket.recv(&mut buffer) {
            let text = std::str::from_utf8(&buffer[..bytes]).unwrap();
            self.lines.extend(text.lines().map(str::to_owned));
        }
        self.lines.pop_front()
    }

    /// Waits for a line; the lines before it.
    pub(super) fn wait_for(&mut self, line: &str) -> Vec<String> {
        let mut before = Vec::new();
        eventually(line, || {
            while let Some(heard) = self.next() {
                if heard == line {
                    return Some(before.clone());
                }
                before.push(heard);
            }
            None
        })
    }
}

#[test]
fn the_service_manager_hears_how_it_is() {
    let folder = folder::new();
    let socket = folder.path().join("notify");
    let mut ear = Ear::at(&socket);
    let mut server = Prosody::start_fast(ACCOUNTS);
    server.stop();
    let environment = [
        ("NOTIFY_SOCKET", socket.to_str().unwrap()),
        ("WATCHDOG_USEC", "600000"),
    ];
    let mut daemon = Gristmill::under_a_manager(&server, &[], &environment);
    // Ready, although there is no XMPP server: that is no start that failed.
    ear.wait_for("READY=1");
    ear.wait_for("STATUS=XMPP offline, 0 running, 0 waiting");
    server.start_again();
    ear.wait_for("STATUS=XMPP online, 0 running, 0 waiting");
    let mut supervisor = Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    supervisor.ask(Carrier::Iq, "e", &execute_jobs("e", &["1", "2", "3"]));
    ear.wait_for("STATUS=XMPP online, 0 running, 3 waiting");
    for _ in 0..5 {
        ear.wait_for("WATCHDOG=1");
    }
    daemon.hang_up();
    let heard = ear.wait_for("READY=1");
    let reloading = heard.iter().position(|line| line == "RELOADING=1").unwrap();
    assert!(
        heard[reloading + 1].starts_with("MONOTONIC_USEC="),
        "{heard:?}"
    );
    daemon.stop();
    ear.wait_for("STOPPING=1");
}

/// The service manager would start it again every two seconds, and servers ban addresses for that.
#[test]
fn a_refused_password_is_said_and_does_not_end_it_below_a_service_manager() {
    let server = Prosody::start_fast(ACCOUNTS);
    let folder = folder::new();
    let (notify, password) = (folder.path().join("notify"), folder.path().join("password"));
    let mut ear = Ear::at(&notify);
    secret(&password, "wrong");
    let flag = format!("xmpp.password_file={}", password.display());
    let environment = [("NOTIFY_SOCKET", notify.to_str().unwrap())];
    let mut daemon = Gristmill::under_a_manager(&server, &[&flag], &environment);
    let refused = "STATUS=XMPP offline: the XMPP server refuses us (GM0402), 0 running, 0 waiting";
    ear.wait_for("READY=1");
    ear.wait_for(refused);
    let unready = get(&daemon.http_socket(), "/readyz").unwrap();
    assert!(unready.body.contains("GM0402"), "{unready:?}");
    assert!(
        daemon.log().contains("refused the password"),
        "{}",
        daemon.log()
    );
    // In order, and with exit code 0.
    daemon.stop();
    ear.wait_for("STOPPING=1");

    daemon.start_again();
    ear.wait_for(refused);
    secret(&password, EXECUTOR.1);
    daemon.hang_up();
    ear.wait_for("STATUS=XMPP online, 0 running, 0 waiting");
    let ready = get(&daemon.http_socket(), "/readyz").unwrap();
    assert_eq!(ready.status, 200, "{ready:?}");
    daemon.stop();
}

/// A loop that stops is not fed for, and is fed for again when it turns again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_watchdog_of_a_daemon_with_a_stuck_loop_stays_hungry() {
    let folder = folder::new();
    let socket = folder.path().join("notify");
    let mut ear = Ear::at(&socket);
    let stop = CancellationToken::new();
    let open = || async { Err(OpenError::Unreachable("not there".into())) };
    let gate = Gate::start(open, Duration::from_secs(1), stop.clone());
    let mut house = House::new(
        Arc::default(),
        gate,
        None,
        Arc::default(),
        stop.clone(),
        Arc::new(SystemClock),
    );
    let limit = Duration::from_secs(3);
    let pulse = Pulse::new("a loop", limit);
    house.pulses = vec![pulse.clone()];
    let manager = Manager::new(&Supervision {
        socket: Some(socket.into()),
        watchdog: Some(Duration::from_millis(300)),
    });
    let turning =
        tokio::spawn(async move { pulse.while_waiting(std::future::pending::<()>()).await });
    let ending = stop.clone();
    let attending = tokio::spawn(async move { manager.attend(&house, &ending).await });
    tokio::task::block_in_place(|| ear.wait_for("WATCHDOG=1"));
    turning.abort();
    let hungry = tokio::task::block_in_place(|| {
        let silence = Duration::from_secs(2);
        let (mut last, patience) = (Instant::now(), Instant::now() + Duration::from_mins(1));
        while last.elapsed() < silence && Instant::now() < patience {
            while let Some(line) = ear.next() {
                if line == "WATCHDOG=1" {
                    last = Instant::now();
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        last.elapsed() >= silence
    });
    assert!(hungry);
    stop.cancel();
    attending.await.unwrap();
}
