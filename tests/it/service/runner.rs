//! What the service manager hears of a runner in a process of its own, and what changes in it
//! while it runs.

use std::fs;

use super::eventually;
use super::systemd::Ear;
use crate::rig::documents::document;
use crate::rig::gristmill::{ACCOUNTS, Gristmill};
use crate::rig::process::{Process, command};
use crate::rig::prosody::Prosody;
use crate::rig::runner::BESIDE;

/// A runner under a service manager.
struct Runner {
    process: Process,
    ear: Ear,
}

impl Runner {
    fn start(daemon: &Gristmill) -> Self {
        let socket = daemon.folder().join("notify");
        let ear = Ear::at(&socket);
        let mut command = command(env!("CARGO_BIN_EXE_gristmill"));
        command
            .arg("runner")
            .arg("--config")
            .arg(daemon.config_file());
        command.args(["--set", BESIDE]);
        command
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", "600000");
        let process = Process::start(
            "gristmill runner",
            command,
            &daemon.folder().join("runner-log"),
        );
        let mut runner = Self { process, ear };
        runner.ear.wait_for("READY=1");
        runner
    }

    /// Changes the configuration file and has it read again.
    fn change(&mut self, daemon: &Gristmill, from: &str, to: &str) {
        let text = fs::read_to_string(daemon.config_file()).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(daemon.config_file(), text.replace(from, to)).unwrap();
        // A line that is full takes nothing more.
        while self.ear.next().is_some() {}
        self.process.signal("HUP");
        let heard = self.ear.wait_for("READY=1");
        let reloading = heard.iter().position(|line| line == "RELOADING=1");
        let since = &heard[reloading.unwrap() + 1];
        assert!(since.starts_with("MONOTONIC_USEC="), "{heard:?}");
    }
}

fn log(daemon: &Gristmill) -> String {
    fs::read_to_string(daemon.folder().join("runner-log")).unwrap()
}

fn submit(daemon: &Gristmill, job_id: &str) {
    let job = format!(
        "<job jobID='{job_id}'><transformation><transPath>slow</transPath></transformation>\
         <jobPars/></job>"
    );
    let file = daemon.folder().join("jobs.xml");
    fs::write(&file, document("executeJobs", "e", &job)).unwrap();
    daemon.command(&[
        "job",
        "submit",
        file.to_str().unwrap(),
        "--owner",
        "prodsys",
    ]);
}

/// Waits until this job alone is in this state.
fn wait_for(daemon: &Gristmill, job_id: &str, state: &str) {
    eventually(state, || {
        let listed = daemon.ask(&["job", "list", "--json", "--state", state]);
        let listed = String::from_utf8(listed.stdout).unwrap();
        let is_it = listed.lines().count() == 1 && listed.contains(&format!("\"{job_id}\""));
        is_it.then_some(())
    });
}

#[test]
fn limits_and_the_log_change_while_jobs_run() {
    let server = Prosody::start_fast(ACCOUNTS);
    let mut daemon = Gristmill::prepared(&server);
    daemon.script("slow", "sleep 600");
    let mut runner = Runner::start(&daemon);
    for _ in 0..3 {
        runner.ear.wait_for("WATCHDOG=1");
    }
    daemon.start_with(&[BESIDE, "conductor.enabled=true", "conductor.slots=2"]);
    eventually("a store", || {
        daemon
            .log()
            .contains("the task buffer is open")
            .then_some(())
    });
    submit(&daemon, "1");
    wait_for(&daemon, "1", "running");

    let changed = "[log]\nlevel = \"debug\"\n\n[runner.process]\ntimeout = \"1s\"\n";
    runner.change(&daemon, "[runner.process]\n", changed);
    assert!(
        log(&daemon).contains("the configuration was read again"),
        "{}",
        log(&daemon)
    );
    submit(&daemon, "2");
    wait_for(&daemon, "2", "timed_out");
    wait_for(&daemon, "1", "running");

    runner.change(&daemon, "/work\"", "/elsewhere\"");
    let restart = |key: &str| {
        let log = log(&daemon);
        log.lines()
            .any(|line| line.contains("needs a restart") && line.contains(key))
    };
    assert!(restart("runner.process.work_dir"), "{}", log(&daemon));
    assert!(
        !restart("runner.process.timeout") && !restart("log.level"),
        "{}",
        log(&daemon)
    );

    runner.change(&daemon, "timeout = \"1s\"", "timeout = \"soon\"");
    assert!(
        log(&daemon).contains("the configuration stays as it is"),
        "{}",
        log(&daemon)
    );
    runner.change(&daemon, "timeout = \"soon\"", "timeout = \"1s\"");
    daemon.command(&["job", "kill", "--job-id", "1", "--yes"]);
    wait_for(&daemon, "1", "cancelled");
    runner.ear.wait_for("WATCHDOG=1");
    assert_eq!(runner.process.stop().code(), Some(0));
    runner.ear.wait_for("STOPPING=1");
}
