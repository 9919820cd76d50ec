//! `/metrics` of a daemon that has served calls and run jobs.

use std::io::Write;
use std::process::{Command, Stdio};

use super::eventually;
use crate::rig::documents::{document, execute_jobs, num_jobs_wanted};
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, STRANGER, SUPERVISOR};
use crate::rig::http::get;
use crate::rig::process::program;
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::{Carrier, Supervisor};

/// A scrape.
pub struct Scrape(pub String);

impl Scrape {
    pub fn of(daemon: &Gristmill) -> Option<Self> {
        let answer = get(&daemon.http_socket(), "/metrics")?;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(
            answer.head.contains("text/plain; version=0.0.4"),
            "{answer:?}"
        );
        Some(Self(answer.body))
    }

    /// The value of a series, as it is written.
    pub fn value(&self, series: &str) -> f64 {
        let mut lines = self.0.lines();
        let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("no {series} in\n{}", self.0));
        value.parse().unwrap()
    }
}

/// A daemon that has answered calls, refused a stranger and run a good and a bad job.
pub fn busy_daemon(server: &Prosody) -> (Gristmill, Scrape) {
    let flags = ["conductor.enabled=true", "conductor.slots=3"];
    let daemon = Gristmill::on_sqlite(server, &flags);
    daemon.script("well", "exit 0");
    daemon.script("badly", "exit 3");
    let mut supervisor = Supervisor::login(server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    supervisor.ask(Carrier::Iq, "n", &num_jobs_wanted("n"));
    supervisor.ask(Carrier::Iq, "u", &document("frobnicate", "u", ""));
    let jobs = ["well", "badly"].map(|program| {
        format!(
            "<job jobID='{program}'><transformation><transPath>{program}</transPath>\
             </transformation><jobPars/></job>"
        )
    });
    supervisor.ask(
        Carrier::Iq,
        "e",
        &document("executeJobs", "e", &jobs.concat()),
    );
    let mut stranger = Supervisor::login(server, STRANGER, EXECUTOR_JID);
    stranger.send(Carrier::Child, &execute_jobs("s", &["1"]));
    let scrape = eventually("two jobs that have ended", || {
        let scrape = Scrape::of(&daemon)?;
        let count = |state| scrape.value(&format!("gristmill_jobs{{state=\"{state}\"}}"));
        let known = count("succeeded") + count("failed") > 1.5;
        (known && scrape.value("gristmill_rejected_senders_total") > 0.0).then_some(scrape)
    });
    (daemon, scrape)
}

#[test]
fn what_happened_is_counted() {
    let server = Prosody::start_fast(ACCOUNTS);
    let (_daemon, scrape) = busy_daemon(&server);
    let counted = [
        (
            "gristmill_calls_total{call=\"unknown\",outcome=\"unsupported-call\"}",
            1.0,
        ),
        (
            "gristmill_calls_total{call=\"executeJobs\",outcome=\"answered\"}",
            1.0,
        ),
        (
            "gristmill_call_duration_seconds_count{call=\"executeJobs\"}",
            1.0,
        ),
        ("gristmill_runs_total{outcome=\"succeeded\"}", 1.0),
        ("gristmill_runs_total{outcome=\"failed\"}", 1.0),
        ("gristmill_runs_total{outcome=\"abandoned\"}", 0.0),
        ("gristmill_runs_started_total", 2.0),
        ("gristmill_jobs{state=\"succeeded\"}", 1.0),
        ("gristmill_jobs{state=\"failed\"}", 1.0),
        ("gristmill_jobs{state=\"ready\"}", 0.0),
        ("gristmill_oldest_ready_job_age_seconds", 0.0),
        ("gristmill_queue_length{owner=\"prodsys\"}", 0.0),
        (
            "gristmill_owner_calls_total{owner=\"prodsys\",outcome=\"unsupported-call\"}",
            1.0,
        ),
        (
            "gristmill_jobs_received_total{owner=\"prodsys\",outcome=\"stored\"}",
            2.0,
        ),
        (
            "gristmill_jobs_received_total{owner=\"prodsys\",outcome=\"refused\"}",
            0.0,
        ),
        ("gristmill_guard_trips_total{limit=\"depth\"}", 0.0),
        ("gristmill_store_errors_total{kind=\"late\"}", 0.0),
        ("gristmill_xmpp_online", 1.0),
        ("gristmill_xmpp_reconnects_total", 0.0),
        ("gristmill_store_up", 1.0),
        ("gristmill_store_writable", 1.0),
        ("gristmill_slots", 3.0),
        ("gristmill_ready", 1.0),
        ("gristmill_draining", 0.0),
        ("gristmill_log_lines_dropped_total", 0.0),
    ];
    for (series, value) in counted {
        assert!(
            (scrape.value(series) - value).abs() < 1e-9,
            "{series}\n{}",
            scrape.0
        );
    }
    assert!(scrape.value("process_resident_memory_bytes") > 1e6);
    let wanted = "gristmill_calls_total{call=\"numJobsWanted\",outcome=\"answered\"}";
    assert!(scrape.value(wanted) >= 1.0);
}

/// Names, types and help are as Prometheus wants them.
#[test]
fn promtool_finds_nothing_to_say() {
    let server = Prosody::start_fast(ACCOUNTS);
    let (_daemon, scrape) = busy_daemon(&server);
    let mut check = Command::new(program("promtool", "prometheus"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check
        .stdin
        .take()
        .unwrap()
        .write_all(scrape.0.as_bytes())
        .unwrap();
    let said = check.wait_with_output().unwrap();
    let words = [said.stdout, said.stderr].map(|said| String::from_utf8(said).unwrap());
    assert!(
        said.status.success() && words.concat().is_empty(),
        "{words:?}\n{}",
        scrape.0
    );
}
