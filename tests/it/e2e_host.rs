//! What is wrong with the host is no fault of a job: jobs wait until it is mended, and people are
//! told why.

use std::fs;
use std::time::{Duration, Instant};

use crate::rig::documents::document;
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, SUPERVISOR};
use crate::rig::http::get;
use crate::rig::process::PATIENCE;
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::{Carrier, Supervisor};

/// Jobs that are handed in while the host is not fit.
const JOBS: usize = 300;

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let limit = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < limit, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What keeps a daemon from work.
fn reasons(daemon: &Gristmill) -> String {
    get(&daemon.http_socket(), "/readyz").map_or(String::new(), |answer| answer.body)
}

fn is_ready(daemon: &Gristmill) -> bool {
    get(&daemon.http_socket(), "/readyz").is_some_and(|answer| answer.status == 200)
}

fn metric(daemon: &Gristmill, name: &str) -> String {
    let page = get(&daemon.http_socket(), "/metrics").map_or(String::new(), |answer| answer.body);
    let line = page
        .lines()
        .find(|line| line.starts_with(&format!("{name} ")));
    line.unwrap_or_default().to_owned()
}

fn count(daemon: &Gristmill, state: &str) -> usize {
    let words = ["job", "list", "--json", "--limit", "1000", "--state", state];
    let listed = daemon.ask(&words);
    String::from_utf8(listed.stdout).unwrap().lines().count()
}

fn hand_in(server: &Prosody, jobs: usize) {
    let mut supervisor = Supervisor::login(server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    let job = |number| {
        format!(
            "<job jobID='{number}'><transformation><transPath>run</transPath></transformation>\
             <jobPars/></job>"
        )
    };
    for (request, first) in (0..jobs).step_by(100).enumerate() {
        let id = request.to_string();
        let all: String = (first..jobs.min(first + 100)).map(job).collect();
        let reply = supervisor.ask(Carrier::Iq, &id, &document("executeJobs", &id, &all));
        assert!(reply.each("result").iter().all(|word| *word == "stored"));
    }
}

fn lines_of(daemon: &Gristmill, what: &str) -> usize {
    let log = daemon.log();
    log.lines().filter(|line| line.contains(what)).count()
}

/// A mount is lost: its folder is there, and empty.
#[test]
fn no_job_is_given_up_while_the_programs_are_gone() {
    let server = Prosody::start_fast(ACCOUNTS);
    let daemon = Gristmill::on_sqlite(&server, &["conductor.enabled=true", "conductor.slots=4"]);
    daemon.script("run", "echo ran >>$LOG");
    until("ready", || is_ready(&daemon));
    let programs = daemon.folder().join("transformations");
    let aside = daemon.folder().join("aside");
    fs::rename(&programs, &aside).unwrap();
    fs::create_dir(&programs).unwrap();
    hand_in(&server, JOBS);
    let unfit = "transformations, a folder of programs, is empty";
    until("it says why", || reasons(&daemon).contains(unfit));
    until("all wait", || count(&daemon, "ready") == JOBS);
    assert_eq!(
        metric(&daemon, "gristmill_breaker_open"),
        "gristmill_breaker_open 1"
    );
    let doctor = daemon.ask(&["doctor", "--set", "conductor.enabled=true"]);
    let doctor = String::from_utf8(doctor.stdout).unwrap();
    assert!(
        doctor.contains("until it holds a program, no job is started"),
        "{doctor}"
    );
    assert!(doctor.contains(unfit), "the daemon's reason: {doctor}");
    // Some looks and some tries later.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(count(&daemon, "ready"), JOBS);
    assert_eq!(
        lines_of(&daemon, "no job is started"),
        1,
        "{}",
        daemon.log()
    );

    fs::remove_dir(&programs).unwrap();
    fs::rename(&aside, &programs).unwrap();
    until("all have run", || count(&daemon, "succeeded") == JOBS);
    assert_eq!(daemon.job_log().lines().count(), JOBS, "each ran once");
    assert!(is_ready(&daemon), "{}", reasons(&daemon));
    assert_eq!(lines_of(&daemon, "jobs are started again"), 1);
    assert_eq!(lines_of(&daemon, "WARN"), 1, "{}", daemon.log());
}
