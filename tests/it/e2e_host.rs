//! What is wrong with the host is no fault of a job: jobs wait until it is mended, and people are
//! told why.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::rig::documents::document;
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, SUPERVISOR};
use crate::rig::http::get;
use crate::rig::process::{PATIENCE, command_as, is_root, program};
use crate::rig::prosody::Prosody;
use crate::rig::runner::{BESIDE, Runner};
use crate::rig::slixmpp::{Carrier, Supervisor};

/// Jobs that are handed in while the host is not fit.
const JOBS: usize = 300;

/// Less of them.
const SOME_JOBS: usize = 20;

/// Numbers of users that nobody has, one for each test.
const SHUT_OUT_USER: u32 = 61_210;
const FULL_USER: u32 = 61_211;
const CROWDED_USER: u32 = 61_212;

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

/// What the first job waits for.
fn why(daemon: &Gristmill) -> String {
    String::from_utf8(daemon.ask(&["job", "why", "1"]).stdout).unwrap()
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

/// A daemon whose jobs run as an ordinary user, beside it.
struct Site {
    server: Prosody,
    daemon: Gristmill,
    runner: Runner,
}

impl Site {
    fn open(user: u32, prepare: impl FnOnce(&Path)) -> Self {
        let server = Prosody::start_fast(ACCOUNTS);
        let user_of_runner = format!("runner.user='{user}'");
        let flags = [
            BESIDE,
            "conductor.enabled=true",
            "conductor.slots=4",
            &user_of_runner,
        ];
        let daemon = Gristmill::on_sqlite(&server, &flags);
        let work = daemon.folder().join("work");
        fs::create_dir(&work).unwrap();
        prepare(&work);
        let runner = Runner::beside(&daemon, Some(user), &[]);
        daemon.script("run", "echo ran >>$LOG");
        until("ready", || is_ready(&daemon));
        Self {
            server,
            daemon,
            runner,
        }
    }

    /// Jobs that are handed in while the host is broken wait, uncounted; then they run, once each.
    fn jobs_wait_until_it_is_mended(&self, fault: &str) -> impl FnOnce() {
        let daemon = &self.daemon;
        hand_in(&self.server, SOME_JOBS);
        until("it says why", || reasons(daemon).contains(fault));
        until("`why` says it", || why(daemon).contains(fault));
        // Some looks and some tries later.
        std::thread::sleep(Duration::from_secs(3));
        until("all wait", || count(daemon, "ready") == SOME_JOBS);
        assert_eq!(lines_of(daemon, "no job is started"), 1, "{}", daemon.log());
        || {
            until("all have run", || count(daemon, "succeeded") == SOME_JOBS);
            assert_eq!(daemon.job_log().lines().count(), SOME_JOBS, "each ran once");
            assert!(is_ready(daemon), "{}", reasons(daemon));
            until("`why` has forgotten it", || {
                !why(daemon).contains("no job is started")
            });
            assert_counted_nothing(daemon);
        }
    }
}

fn assert_counted_nothing(daemon: &Gristmill) {
    let listed = daemon.ask(&["job", "list", "--json", "--limit", "1000"]);
    for line in String::from_utf8(listed.stdout).unwrap().lines() {
        let job: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(job["failedRuns"], 0, "{job}");
        assert_eq!(job["abandons"], 0, "{job}");
    }
}

#[test]
fn jobs_wait_while_the_runner_may_not_write_in_its_folder() {
    let site = Site::open(SHUT_OUT_USER, |_| ());
    let runs = site.daemon.folder().join("work/runs");
    chown(&runs, Some(0), Some(0)).unwrap();
    let mended = site.jobs_wait_until_it_is_mended("the folder of runs: Permission denied");
    chown(&runs, Some(SHUT_OUT_USER), Some(SHUT_OUT_USER)).unwrap();
    mended();
}

/// A small disk; gone when dropped.
struct SmallDisk<'a>(&'a Path);

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[test]
fn jobs_wait_while_the_folder_of_runs_is_full() {
    assert!(is_root(), "only root can mount the small disk of this test");
    let site = Site::open(FULL_USER, |work| {
        let mut mount = Command::new(program("mount", "mount"));
        mount
            .args(["-t", "tmpfs", "-o", "size=4m", "none"])
            .arg(work);
        assert!(mount.status().unwrap().success());
    });
    let work = site.daemon.folder().join("work");
    let _disk = SmallDisk(&work);
    let ballast = work.join("ballast");
    let mut file = File::create(&ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    let mended = site.jobs_wait_until_it_is_mended("the folder of runs: No space left on device");
    fs::remove_file(&ballast).unwrap();
    mended();
}

/// No look sees that: the starts themselves fail.
#[test]
fn jobs_wait_while_the_machine_has_no_process_for_them() {
    let site = Site::open(CROWDED_USER, |_| ());
    // Who may raise it again: the limit that its user has set.
    let limit = |most: &str| {
        let mut prlimit = command_as(CROWDED_USER, program("prlimit", "util-linux"));
        prlimit.arg(format!("--nproc={most}:"));
        prlimit.arg(format!("--pid={}", site.runner.id()));
        assert!(prlimit.status().unwrap().success());
    };
    limit("1");
    let mended = site.jobs_wait_until_it_is_mended("Resource temporarily unavailable");
    let faults = metric(&site.daemon, "gristmill_host_faults_total");
    assert_ne!(faults, "gristmill_host_faults_total 0");
    limit("1000");
    mended();
}
