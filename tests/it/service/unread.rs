//! A daemon whose log is not read: it works, and says afterwards what was lost.

use std::io::{PipeReader, Read, pipe};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use super::eventually;
use crate::rig::documents::num_jobs_wanted;
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, SUPERVISOR};
use crate::rig::http::get;
use crate::rig::process;
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::{Carrier, Supervisor};

/// More than a pipe and the queue before it hold of debug lines.
const REQUESTS: usize = 1_500;

/// An end in order takes a second or two; who waits for the log's reader never ends.
const PROMPT: Duration = Duration::from_secs(20);

fn start(prepared: &Gristmill, level: &str) -> (Child, PipeReader) {
    let (log, writer) = pipe().unwrap();
    let mut command = process::command(env!("CARGO_BIN_EXE_gristmill"));
    command
        .args(["serve", "--config"])
        .arg(prepared.config_file());
    command.args(["--set", &format!("log.level={level}")]);
    // Also what would be printed to standard output.
    command.stdout(writer.try_clone().unwrap()).stderr(writer);
    (process::spawn(command), log)
}

fn dropped_lines(socket: &Path) -> u64 {
    let metrics = get(socket, "/metrics").unwrap().body;
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix("gristmill_log_lines_dropped_total "));
    value.unwrap().parse().unwrap()
}

fn end(child: &mut Child) {
    let pid = child.id().to_string();
    let mut kill = process::command("/bin/kill");
    assert!(kill.args(["-TERM", &pid]).status().unwrap().success());
    let limit = Instant::now() + PROMPT;
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < limit, "it waits for the log's reader");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_log_that_is_not_read_holds_up_nothing() {
    let server = Prosody::start_fast(ACCOUNTS);
    let prepared = Gristmill::prepared(&server);
    let (mut daemon, mut log) = start(&prepared, "debug");
    let mut supervisor = Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    let socket = prepared.http_socket();
    for number in 0..REQUESTS {
        let id = format!("n{number}");
        supervisor.ask(Carrier::Iq, &id, &num_jobs_wanted(&id));
    }
    assert!(dropped_lines(&socket) > 0);

    // It is read for a while, and then no more.
    let mut text = String::new();
    eventually("a line of what was dropped", || {
        let mut bytes = [0; 4096];
        let count = log.read(&mut bytes).unwrap();
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        text.contains(" log lines were dropped").then_some(())
    });
    for number in 0..REQUESTS {
        let id = format!("m{number}");
        supervisor.ask(Carrier::Iq, &id, &num_jobs_wanted(&id));
    }
    end(&mut daemon);
}

/// Polls are no news; what is handed in is.
#[test]
fn polls_are_no_lines_at_level_info() {
    let server = Prosody::start_fast(ACCOUNTS);
    let mut daemon = Gristmill::on_sqlite(&server, &[]);
    let mut supervisor = Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    supervisor.ask(Carrier::Iq, "n", &num_jobs_wanted("n"));
    let jobs = crate::rig::documents::execute_jobs("x", &["1"]);
    supervisor.ask(Carrier::Iq, "x", &jobs);
    daemon.stop();
    let log = daemon.log();
    let answered: Vec<_> = log
        .lines()
        .filter(|line| line.contains("answered"))
        .collect();
    assert_eq!(answered.len(), 1, "{log}");
    assert!(answered[0].contains("executeJobs"), "{log}");
}
