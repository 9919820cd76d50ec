//! Jobs that a supervisor hands out over XMPP run as processes, whatever happens to the daemon.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::RngExt;
use rusqlite::Connection;

use crate::rig::documents::{about_records, document};
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, SECOND_EXECUTOR_JID, SUPERVISOR};
use crate::rig::mariadb::MariaDb;
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::{Carrier, Supervisor};

/// Everything has ended by then, on a machine that is busy with others.
const PATIENCE: Duration = Duration::from_mins(4);

const RUNS_JOBS: [&str; 4] = [
    "conductor.enabled=true",
    "conductor.slots=4",
    "conductor.retry_after=100ms",
    // A killed daemon takes nothing with it, but a start that it was about to make.
    "conductor.max_abandons=1000",
];

/// A supervisor and what it was told.
pub struct Scene {
    pub supervisor: Supervisor,
    /// Job and record.
    records: Vec<(String, String)>,
}

impl Scene {
    pub fn open(server: &Prosody) -> Self {
        let mut supervisor = Supervisor::login(server, SUPERVISOR, EXECUTOR_JID);
        supervisor.wait_until_served();
        Self {
            supervisor,
            records: Vec::new(),
        }
    }

    /// Hands out one job for each program.
    pub fn submit(&mut self, programs: &[&str]) {
        let id = format!("e{}", self.records.len());
        let first = self.records.len();
        let names: Vec<_> = (first..first + programs.len())
            .map(|number| number.to_string())
            .collect();
        let job = |(name, program): (&String, &&str)| {
            format!(
                "<job jobID='{name}'><transformation><transPath>{program}</transPath>\
                 </transformation><jobPars>{name}</jobPars></job>"
            )
        };
        let jobs: String = names.iter().zip(programs).map(job).collect();
        let document = document("executeJobs", &id, &jobs);
        let reply = self.supervisor.ask(Carrier::Iq, &id, &document);
        let records = reply.each("taskBufferRecordID");
        assert_eq!(records.len(), programs.len(), "{reply:?}");
        let records = records.into_iter().map(str::to_owned);
        self.records.extend(names.into_iter().zip(records));
    }

    /// What is said of all jobs: their status and result.
    pub fn status(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        for pairs in self.records.chunks(100) {
            let pairs: Vec<_> = pairs
                .iter()
                .map(|(job, record)| (job.as_str(), record.as_str()))
                .collect();
            let document = about_records("getStatus", "s", &pairs);
            let reply = self.supervisor.ask(Carrier::Iq, "s", &document);
            for job in reply.jobs() {
                let [status, result] = ["status", "result"].map(|name| job.attribute(name));
                words.push(format!("{status} {result}").trim_end().to_owned());
            }
        }
        words
    }

    pub fn wait_until_finished(&mut self) -> Vec<String> {
        let limit = Instant::now() + PATIENCE;
        loop {
            let words = self.status();
            if words.iter().all(|word| word.starts_with("finished")) {
                return words;
            }
            assert!(Instant::now() < limit, "{words:?}");
            sleep(Duration::from_millis(200));
        }
    }

    pub fn assert_all_succeed(&mut self) {
        let words = self.wait_until_finished();
        assert!(
            words.iter().all(|word| word == "finished succeeded"),
            "{words:?}"
        );
    }
}

#[test]
fn jobs_by_xmpp_run_to_their_ends() {
    let server = Prosody::start_fast(ACCOUNTS);
    let daemon = Gristmill::on_sqlite(&server, &RUNS_JOBS);
    daemon.script("well", "exit 0");
    daemon.script("badly", "exit 3");
    daemon.script("long", "sleep 60");
    let mut scene = Scene::open(&server);
    scene.submit(&["well", "badly", "missing", "long"]);
    let (job, record) = scene.records[3].clone();
    let kill = about_records("killJobs", "k", &[(&job, &record)]);
    let killed = scene.supervisor.ask(Carrier::Iq, "k", &kill);
    let word = killed.each("result")[0].to_owned();
    assert!(["killed", "kill-requested"].contains(&&*word), "{word}");
    let words = scene.wait_until_finished();
    let wanted = ["succeeded", "failed", "trashed", "cancelled"];
    assert_eq!(words, wanted.map(|result| format!("finished {result}")));
}

#[test]
fn a_daemon_that_drains_wants_no_jobs_and_runs_none() {
    let server = Prosody::start_fast(ACCOUNTS);
    let daemon = Gristmill::on_sqlite(&server, &RUNS_JOBS);
    daemon.script("well", "exit 0");
    let mut scene = Scene::open(&server);
    daemon.command(&["drain", "--reason", "a new disk"]);
    let limit = Instant::now() + PATIENCE;
    let mut wanted = || {
        let document = crate::rig::documents::num_jobs_wanted("w");
        let reply = scene.supervisor.ask(Carrier::Iq, "w", &document);
        reply.document.child("numJobs").unwrap().text.clone()
    };
    while wanted() != "0" {
        assert!(Instant::now() < limit, "it wants jobs");
    }
    scene.submit(&["well"]);
    sleep(Duration::from_millis(1500));
    assert_eq!(scene.status(), ["pending"]);
    daemon.command(&["undrain"]);
    assert_eq!(scene.wait_until_finished(), ["finished succeeded"]);
}

/// Programs that say when they begin and end.
pub fn count_runs(daemon: &Gristmill) {
    daemon.script(
        "counted",
        "echo begin $1 >>$LOG; sleep 0.$(($1 % 4 + 1)); echo end $1 >>$LOG",
    );
}

/// Every job began and ended once, and no two runs of one overlapped.
pub fn assert_each_ran_once(log: &str, jobs: usize) {
    for job in 0..jobs {
        let lines = log
            .lines()
            .filter(|line| line.ends_with(&format!(" {job}")));
        let lines: Vec<_> = lines.collect();
        assert_eq!(
            lines,
            [format!("begin {job}"), format!("end {job}")],
            "{job}"
        );
    }
}

fn killed_again_and_again(daemon: &mut Gristmill, server: &Prosody, kills: usize, jobs: usize) {
    count_runs(daemon);
    let mut scene = Scene::open(server);
    for _ in 0..jobs / 100 {
        scene.submit(&["counted"; 100]);
    }
    let mut dice = rand::rng();
    for _ in 0..kills {
        sleep(Duration::from_millis(dice.random_range(0..400)));
        daemon.kill();
        daemon.start_again();
    }
    scene.supervisor.wait_until_served();
    scene.assert_all_succeed();
    assert_each_ran_once(&daemon.job_log(), jobs);
}

#[test]
fn fifty_deaths_on_sqlite_lose_and_repeat_nothing() {
    let server = Prosody::start_fast(ACCOUNTS);
    let mut daemon = Gristmill::on_sqlite(&server, &RUNS_JOBS);
    killed_again_and_again(&mut daemon, &server, 50, 500);
}

#[test]
fn twenty_deaths_on_mariadb_lose_and_repeat_nothing() {
    let (server, store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
    store.create_database("mill");
    let mut daemon = Gristmill::on_mariadb(&server, &store.url("mill"), &RUNS_JOBS);
    killed_again_and_again(&mut daemon, &server, 20, 200);
}

/// When a run of a job began and ended, in seconds; without an end: it was ended.
type Span = (f64, Option<f64>);

/// The runs of a job, from lines of `begin JOB PID TIME` and `end JOB PID TIME`.
fn spans(log: &str, job: usize) -> Vec<Span> {
    let words = log.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let own: Vec<_> = words.filter(|words| words[1] == job.to_string()).collect();
    let begins = own.iter().filter(|words| words[0] == "begin");
    let span = |begin: &Vec<&str>| {
        let end = own
            .iter()
            .find(|words| words[0] == "end" && words[2] == begin[2]);
        let time = |words: &Vec<&str>| words[3].parse().unwrap();
        (time(begin), end.map(time))
    };
    let mut spans: Vec<Span> = begins.map(span).collect();
    spans.sort_by(|one, other| one.0.total_cmp(&other.0));
    spans
}

/// One of two daemons of one store is frozen for longer than its leases last, with jobs in its
/// hands, and continues.
#[test]
fn a_daemon_that_was_frozen_completes_nothing_twice() {
    let (server, store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
    store.create_database("mill");
    let mut flags = RUNS_JOBS.to_vec();
    flags.extend(["buffer.timeout=1s", "conductor.lease=3s"]);
    flags.extend(["conductor.run_lease=6s", "runner.process.grace=1s"]);
    let daemon = Gristmill::on_mariadb(&server, &store.url("mill"), &flags);
    let second_jid = format!("xmpp.jid={SECOND_EXECUTOR_JID}");
    flags.push(&second_jid);
    let second = Gristmill::on_mariadb(&server, &store.url("mill"), &flags);
    // Longer than the lease: a run that nobody renews does not come to its end.
    let log = daemon.job_log_file();
    let text = format!(
        "LOG={}; say() {{ echo $1 $2 $$ $(date +%s.%N) >>$LOG; }}; \
         say begin $1; sleep 10; say end $1",
        log.display()
    );
    daemon.script("long", &text);
    second.script("long", &text);
    let mut scene = Scene::open(&server);
    scene.submit(&["long"; 12]);
    let limit = Instant::now() + PATIENCE;
    while daemon.job_log().lines().count() < 8 {
        assert!(Instant::now() < limit, "the daemons do not share the work");
        sleep(Duration::from_millis(50));
    }
    second.pause();
    // The lease, the grace of programs, and the margin of a rescuer.
    sleep(Duration::from_secs(32));
    second.resume();
    scene.assert_all_succeed();
    let log = daemon.job_log();
    let mut ended_early = 0;
    for job in 0..12 {
        let spans = spans(&log, job);
        let ends = spans.iter().filter(|(_, end)| end.is_some()).count();
        assert_eq!(ends, 1, "{job}: {spans:?}");
        ended_early += spans.len() - 1;
        // A run that was ended by its lease was gone 7 s after its last renewal.
        let overlap = spans.windows(2).any(|pair| pair[1].0 < pair[0].0 + 7.0);
        assert!(!overlap, "{job}: {spans:?}");
    }
    assert!(ended_early > 0, "nothing was in the frozen daemon's hands");
}

/// What one daemon has accepted, another one of the same store finds by itself.
#[test]
fn another_daemon_finds_work_soon() {
    let (server, store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
    store.create_database("mill");
    let _accepting = Gristmill::on_mariadb(&server, &store.url("mill"), &[]);
    let mut flags = RUNS_JOBS.to_vec();
    let second_jid = format!("xmpp.jid={SECOND_EXECUTOR_JID}");
    flags.push(&second_jid);
    let running = Gristmill::on_mariadb(&server, &store.url("mill"), &flags);
    running.script("now", "date +%s.%N >>$LOG");
    let mut scene = Scene::open(&server);
    let mut waits = Vec::new();
    for round in 1..=15_u16 {
        // So that the jobs come at all moments between two looks.
        sleep(Duration::from_millis(u64::from(round * 37 % 500)));
        let sent = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        scene.submit(&["now"]);
        scene.wait_until_finished();
        let log = running.job_log();
        assert_eq!(log.lines().count(), usize::from(round));
        let began: f64 = log.lines().last().unwrap().parse().unwrap();
        waits.push(began - sent.as_secs_f64());
    }
    waits.sort_by(f64::total_cmp);
    let (median, longest) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    eprintln!("from executeJobs to the start: median {median:.3} s, longest {longest:.3} s");
    assert!(median < 3.0, "{waits:?}");
}

/// A record says that its job runs, and nothing of the run is there: fixJobs sees to it at once.
#[test]
fn a_record_that_is_wrong_is_put_right_by_fix_jobs() {
    let server = Prosody::start_fast(ACCOUNTS);
    let daemon = Gristmill::on_sqlite(&server, &RUNS_JOBS);
    daemon.script("well", "exit 0");
    let mut scene = Scene::open(&server);
    let folder = daemon.config_file().parent().unwrap().to_owned();
    let holder = fs::read_to_string(folder.join("work/holder")).unwrap();
    let store = Connection::open(folder.join("buffer.db")).unwrap();
    store.busy_timeout(PATIENCE).unwrap();
    // The conductor looks over its claims now and then, and may be quicker; not every time.
    for round in 1..=10 {
        scene.submit(&["well"]);
        scene.wait_until_finished();
        let (job, record) = scene.records.last().unwrap().clone();
        let lie = "UPDATE jobs SET state = 'running', holder = ? WHERE id = ?";
        let lied = store.execute(lie, (holder.trim_end(), &record));
        assert_eq!(lied, Ok(1));
        let fix = about_records("fixJobs", "f", &[(&job, &record)]);
        let fixed = scene.supervisor.ask(Carrier::Iq, "f", &fix);
        let result = fixed.each("result")[0].to_owned();
        assert_eq!(
            scene.wait_until_finished().last().unwrap(),
            "finished succeeded"
        );
        let why = "SELECT text FROM events WHERE record_id = ? AND code = 'abandon'";
        let why: String = store.query_one(why, [&record], |row| row.get(0)).unwrap();
        if result == "fixed" && why == "its run has vanished" {
            return;
        }
        eprintln!("round {round}: {result}, {why}");
    }
    panic!("fixJobs never fixed anything");
}

/// A wrapper and its program are killed: whoever sees it first, nobody says that the job runs.
#[test]
fn a_killed_run_is_no_running_job() {
    let server = Prosody::start_fast(ACCOUNTS);
    let daemon = Gristmill::on_sqlite(&server, &RUNS_JOBS);
    // Only its first run lasts.
    let once = "echo $PPID $$ >>$LOG; [ $GRISTMILL_RUN$(wc -l <$LOG) != 11 ] || sleep 60";
    daemon.script("once", once);
    let mut scene = Scene::open(&server);
    scene.submit(&["once"]);
    let limit = Instant::now() + PATIENCE;
    while scene.status() != ["running"] || !daemon.job_log().ends_with('\n') {
        assert!(Instant::now() < limit, "it never runs");
    }
    let log = daemon.job_log();
    let pids = log.split_whitespace().collect::<Vec<_>>();
    let killed = Command::new("kill").arg("-KILL").args(&pids).status();
    assert!(killed.unwrap().success());
    let (job, record) = scene.records[0].clone();
    let fix = about_records("fixJobs", "f", &[(&job, &record)]);
    let fixed = scene.supervisor.ask(Carrier::Iq, "f", &fix);
    let result = fixed.each("result")[0].to_owned();
    assert!(["fixed", "unchanged"].contains(&&*result), "{result}");
    assert_eq!(scene.wait_until_finished(), ["finished succeeded"]);
    assert_eq!(daemon.job_log().lines().count(), 2);
}
