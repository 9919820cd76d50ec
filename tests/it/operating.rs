//! What operators do to jobs, with the built program over each store and no daemon.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use assert_cmd::Command;
use gristmill::error::Code;
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

use crate::rig::documents::{bad_job, document, execute_jobs, num_jobs_wanted};
use crate::rig::failure::fails;
use crate::rig::gristmill::secret;
use crate::rig::mariadb::{self, MariaDb};
use crate::rig::process::is_root;

/// Where the stores of the cases are.
enum Stores {
    Sqlite,
    MariaDb {
        server: Box<MariaDb>,
        used: AtomicU32,
    },
}

/// One store.
enum Place<'a> {
    File(PathBuf),
    Database(&'a MariaDb, String),
}

impl Stores {
    fn mariadb() -> Self {
        Self::MariaDb {
            server: Box::new(MariaDb::start()),
            used: AtomicU32::new(0),
        }
    }

    fn place(&self, folder: &Path) -> Place<'_> {
        match self {
            Self::Sqlite => Place::File(folder.join("buffer.db")),
            Self::MariaDb { server, used } => {
                let number = used.fetch_add(1, Ordering::Relaxed);
                Place::Database(server, format!("case_{number}"))
            }
        }
    }
}

impl Place<'_> {
    fn url(&self) -> String {
        match self {
            Self::File(path) => format!("sqlite:{}", path.display()),
            Self::Database(server, name) => server.url(name),
        }
    }

    fn sql(&self, sql: &str) {
        match self {
            Self::File(path) => Connection::open(path).unwrap().execute_batch(sql).unwrap(),
            Self::Database(server, name) => {
                server.sql(&format!("USE {name}; {sql}"));
            }
        }
    }
}

/// A folder with a configuration, the store that it names, and the commands on it.
struct Site<'a> {
    folder: TempDir,
    store: Place<'a>,
}

impl<'a> Site<'a> {
    fn new(stores: &'a Stores) -> Self {
        let site = Self::without_store(stores);
        if let Place::Database(server, name) = &site.store {
            server.create_database(name);
        }
        site.stdout(&["migrate"]);
        site
    }

    fn without_store(stores: &'a Stores) -> Self {
        let folder = TempDir::new().unwrap();
        let store = stores.place(folder.path());
        let password = folder.path().join("store-password");
        secret(&password, mariadb::PASSWORD);
        let config = format!(
            "[xmpp]\njid = \"executor@grid.example/panda\"\n\
             [[supervisor]]\njid = \"supervisor@grid.example\"\nowner = \"prodsys\"\n\
             [buffer]\nurl = \"{url}\"\n{password}\
             [runner.process]\nwork_dir = \"{folder}/work\"\n",
            url = store.url(),
            password = match store {
                Place::File(_) => String::new(),
                Place::Database(..) => format!("password_file = \"{}\"\n", password.display()),
            },
            folder = folder.path().display()
        );
        fs::write(folder.path().join("gristmill.toml"), config).unwrap();
        Self { folder, store }
    }

    /// One with the jobs `1` to `jobs`, under the records of these numbers.
    fn with_jobs(stores: &'a Stores, jobs: usize) -> Self {
        let site = Self::new(stores);
        let names: Vec<_> = (1..=jobs).map(|name| name.to_string()).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let file = site.file("jobs.xml", &execute_jobs("a", &names));
        site.stdout(&["job", "submit", file.to_str().unwrap()]);
        site
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        fs::write(&file, text).unwrap();
        file
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin("gristmill").unwrap();
        command
            .env_clear()
            .env("USER", "ada")
            .args(arguments)
            .arg("--config")
            .arg(self.folder.path().join("gristmill.toml"));
        command
    }

    fn stdout(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).assert().success();
        String::from_utf8(output.get_output().stdout.clone()).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let text = self.stdout(&[arguments, &["--json"]].concat());
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// What makes no sense to the parser of arguments.
    fn is_nonsense(&self, arguments: &[&str]) {
        self.command(arguments).assert().code(2);
    }

    /// What it says, on both streams, where it fails with this error.
    #[track_caller]
    fn fails(&self, arguments: &[&str], code: Code) -> String {
        fails(&self.command(arguments).output().unwrap(), code)
    }

    fn sql(&self, sql: &str) {
        self.store.sql(sql);
    }

    fn state(&self, record: &str) -> String {
        let shown = self.json(&["job", "show", record]);
        shown[0]["record"]["state"].as_str().unwrap().to_owned()
    }

    /// The states of all jobs, oldest first.
    fn states(&self) -> Vec<String> {
        let mut jobs = self.json(&["job", "list"]);
        jobs.reverse();
        let state = |job: &Value| job["state"].as_str().unwrap().to_owned();
        jobs.iter().map(state).collect()
    }
}

/// Debian's user `nobody`.
const NOBODY: u32 = 65534;

macro_rules! cases {
    ($($case:ident),*) => {
        [$((stringify!($case), $case as fn(&Stores))),*]
    };
}

/// Every command, on each store.
fn run(stores: &Stores) {
    for (name, case) in cases![
        jobs_are_submitted_as_if_their_supervisor_had_sent_them,
        a_bad_job_is_refused_and_the_good_ones_are_stored,
        what_cannot_be_submitted_says_why,
        a_job_is_held_released_killed_and_run_again,
        what_cannot_be_done_is_told_by_the_exit_code,
        many_jobs_are_changed_only_when_it_is_meant,
        every_job_says_what_it_waits_for,
        no_text_of_others_steers_the_terminal,
        what_a_run_has_written_is_shown,
        a_run_is_followed_to_its_end,
        a_daemon_is_drained_and_works_again,
        what_ended_long_ago_is_purged_and_its_name_stays,
        without_a_store_nothing_is_done
    ] {
        let started = Instant::now();
        case(stores);
        eprintln!("{name}: ok, {} ms", started.elapsed().as_millis());
    }
}

#[test]
fn sqlite_obeys_operators() {
    run(&Stores::Sqlite);
}

/// All cases share one server; each has a database of its own.
#[test]
fn mariadb_obeys_operators() {
    run(&Stores::mariadb());
}

/// What a store's columns say for so many seconds from now.
fn microseconds_from_now(seconds: i64) -> i64 {
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    at.as_microsecond()
}

fn jobs_are_submitted_as_if_their_supervisor_had_sent_them(stores: &Stores) {
    let site = Site::new(stores);
    let good = execute_jobs("a", &["5173021", "5173022"]);
    let file = site.file("good.xml", &good);
    let good = file.to_str().unwrap();
    let receipts = site.json(&["job", "submit", good]);
    let words: Vec<_> = receipts
        .iter()
        .map(|receipt| (receipt["result"].as_str().unwrap(), &receipt["recordID"]))
        .collect();
    assert_eq!(words, [("stored", &1.into()), ("stored", &2.into())]);
    let again = site.stdout(&["job", "submit", good, "--owner", "prodsys"]);
    assert_eq!(
        again,
        "5173021#1  duplicate  record 1\n5173022#1  duplicate  record 2\n"
    );
    let jobs = site.json(&["job", "list"]);
    assert!(jobs.iter().all(|job| job["owner"] == "prodsys"));
}

fn a_bad_job_is_refused_and_the_good_ones_are_stored(stores: &Stores) {
    let site = Site::new(stores);
    let mixed = document("executeJobs", "a", &(bad_job("1") + &bad_job("2")));
    let mixed = mixed.replacen("<transPath>", "<transPath>run", 1);
    let file = site.file("mixed.xml", &mixed);
    let said = site.fails(
        &["job", "submit", file.to_str().unwrap()],
        Code::SomeRefused,
    );
    assert!(said.contains("1#1  stored  record 1\n"), "{said}");
    assert!(
        said.contains("2#1  refused: missing-field: transPath"),
        "{said}"
    );
    let other = mixed.replace("<taskID>3002</taskID>", "<taskID>3003</taskID>");
    let file = site.file("other.xml", &other);
    let said = site.fails(
        &["job", "submit", file.to_str().unwrap()],
        Code::SomeConflict,
    );
    assert!(said.contains("1#1  conflict: "), "{said}");
}

fn what_cannot_be_submitted_says_why(stores: &Stores) {
    let site = Site::new(stores);
    let broken = site.file("broken.xml", "<executeJobs>\n<job jobID='1'>");
    let said = site.fails(
        &["job", "submit", broken.to_str().unwrap()],
        Code::SubmitRefused,
    );
    assert!(said.contains("malformed: line 2"), "{said}");
    let question = site.file("question.xml", &num_jobs_wanted("a"));
    let said = site.fails(
        &["job", "submit", question.to_str().unwrap()],
        Code::NotExecuteJobs,
    );
    assert!(said.contains("not an executeJobs"), "{said}");
    let said = site.fails(
        &["job", "submit", "-", "--owner", "nobody"],
        Code::OwnerUnknown,
    );
    assert!(said.contains("one of: prodsys"), "{said}");
    site.fails(&["job", "submit", "/no/such/file"], Code::FileUnreadable);
    let two = "supervisor=[{ jid = 'a@grid.example' }, { jid = 'b@grid.example' }]";
    let said = site.fails(&["job", "submit", "-", "--set", two], Code::OwnerUnsaid);
    assert!(said.contains("--owner"), "{said}");
    assert!(site.states().is_empty());
}

fn a_job_is_held_released_killed_and_run_again(stores: &Stores) {
    let site = Site::with_jobs(stores, 1);
    let held = site.stdout(&["job", "hold", "1", "--reason", "new disks"]);
    assert_eq!(held, "1  held\n");
    let job = &site.json(&["job", "list", "--state", "held"])[0];
    let reason = job["reason"].as_str().unwrap();
    assert!(
        reason.contains("ada@") && reason.ends_with(": new disks"),
        "{reason}"
    );
    let said = site.fails(&["job", "hold", "1"], Code::SomeDeclined);
    assert!(
        said.contains("1  declined: it is held; hold is for"),
        "{said}"
    );
    for (command, state) in [
        ("release", "ready"),
        ("trash", "trashed"),
        ("restore", "ready"),
        ("kill", "cancelled"),
        ("rerun", "ready"),
    ] {
        assert_eq!(site.stdout(&["job", command, "1"]), format!("1  {state}\n"));
        assert_eq!(site.state("1"), state);
    }
    let events = site.json(&["job", "events", "1"]);
    let codes: Vec<_> = events.iter().map(|event| &event["code"]).collect();
    assert_eq!(
        codes,
        [
            "accepted", "hold", "release", "trash", "restore", "cancel", "rerun"
        ]
    );
    assert!(
        events[1..]
            .iter()
            .all(|event| event["text"].as_str().unwrap().contains("by ada@"))
    );
}

fn what_cannot_be_done_is_told_by_the_exit_code(stores: &Stores) {
    let site = Site::with_jobs(stores, 2);
    let said = site.fails(&["job", "kill", "1", "99"], Code::SomeAbsent);
    assert!(said.contains("1  cancelled\n99  not-found"), "{said}");
    assert_eq!(
        site.stdout(&["job", "kill", "1"]),
        "1  already-finished: it is cancelled\n"
    );
    site.sql("UPDATE jobs SET told = 1 WHERE id = 1");
    let said = site.fails(&["job", "rerun", "1"], Code::SomeDeclined);
    assert!(said.contains("--force"), "{said}");
    assert_eq!(site.stdout(&["job", "rerun", "1", "--force"]), "1  ready\n");
    site.sql("UPDATE jobs SET state = 'running', holder = 'mill', token = 1 WHERE id = 2");
    let said = site.stdout(&["job", "kill", "2"]);
    assert!(said.starts_with("2  kill-requested: "), "{said}");
    site.fails(&["job", "trash", "2"], Code::SomeDeclined);
    assert_eq!(
        site.stdout(&["job", "trash", "2", "--force"]),
        "2  trashed\n"
    );
    site.sql("UPDATE jobs SET state = 'flying' WHERE id = 2");
    site.fails(&["job", "release", "2"], Code::SomeUnreadable);
    site.fails(&["job", "show", "2"], Code::StoreTrouble);
}

fn many_jobs_are_changed_only_when_it_is_meant(stores: &Stores) {
    let site = Site::with_jobs(stores, 4);
    site.sql("UPDATE jobs SET state = 'succeeded' WHERE id = 4");
    let said = site.fails(&["job", "hold", "--owner", "prodsys"], Code::NotConfirmed);
    assert!(
        said.contains("hold 3 jobs (3 ready)?") && said.contains("--yes"),
        "{said}"
    );
    assert!(!site.states().contains(&"held".to_owned()));

    let held = site.json(&["job", "hold", "--owner", "prodsys", "--limit", "2", "--yes"]);
    assert_eq!(held.len(), 2, "{held:?}");
    site.stdout(&["job", "hold", "--job-id", "1", "--yes"]);
    assert_eq!(site.states(), ["held", "held", "held", "succeeded"]);
    assert!(
        site.stdout(&["job", "hold", "--owner", "prodsys", "--yes"])
            .is_empty()
    );
    assert!(
        site.stdout(&["job", "kill", "--owner", "nobody", "--yes"])
            .is_empty()
    );
    site.stdout(&["job", "release", "--since", "1h", "--yes"]);
    site.stdout(&["job", "kill", "--state", "ready", "--yes"]);
    assert_eq!(site.states()[..3], ["cancelled", "cancelled", "cancelled"]);

    for wrong in [
        &["job", "kill"][..],
        &["job", "kill", "1", "--owner", "prodsys"],
    ] {
        site.is_nonsense(wrong);
    }
}

/// Characters that steer a terminal, turn the direction of writing, or hide.
fn no_text_of_others_steers_the_terminal(stores: &Stores) {
    const EVIL: &str = "a\u{202e}b\u{200b}c\u{2028}d\u{9b}31m\u{1b}[2J\u{7f}e";
    let site = Site::new(stores);
    let job_id = "x\u{202e}y\u{200b}\u{2028}z";
    let file = site.file("jobs.xml", &execute_jobs("a", &[job_id]));
    site.stdout(&["job", "submit", file.to_str().unwrap()]);
    site.sql(&format!(
        "UPDATE jobs SET state = 'failed', reason = '{EVIL}' WHERE id = 1"
    ));
    let unheard = |letter: char| !letter.is_ascii_graphic() && !matches!(letter, ' ' | '\n');
    for words in [
        &["job", "why", "1"][..],
        &["job", "list"],
        &["job", "show", "1"],
        &["job", "events", "1"],
    ] {
        let said = site.stdout(words);
        assert!(!said.contains(unheard), "{words:?}: {said:?}");
        let json = site.stdout(&[words, &["--json"]].concat());
        assert!(!json.contains(unheard), "{words:?}: {json:?}");
    }
    // What a program reads is what it was.
    let shown = site.json(&["job", "list"]);
    assert_eq!(shown[0]["jobID"], job_id, "{shown:?}");
    assert_eq!(shown[0]["reason"], EVIL, "{shown:?}");
}

fn every_job_says_what_it_waits_for(stores: &Stores) {
    let site = Site::with_jobs(stores, 5);
    let hour_ahead = microseconds_from_now(3600);
    site.sql(&format!(
        "UPDATE jobs SET state = 'running', token = 1, holder = 'mill-1' WHERE id = 1;
         UPDATE jobs SET state = 'scheduled', runs = 1, due_at = {hour_ahead} WHERE id = 2;
         UPDATE jobs SET state = 'failed', reason = 'exit code 3' WHERE id = 3"
    ));
    site.stdout(&["job", "hold", "4", "--reason", "new disks"]);
    let said = site.json(&["job", "why", "1", "2", "3", "4", "5"]);
    let why = |index: usize| said[index]["why"].as_str().unwrap();
    assert!(why(0).contains("it runs with daemon mill-1"), "{said:?}");
    assert!(why(1).contains("backs off"), "{said:?}");
    assert!(said[1]["nextAt"].is_string() && said[0]["nextAt"].is_null());
    assert!(
        why(2).contains("failed") && why(2).contains("exit code 3"),
        "{said:?}"
    );
    assert!(why(3).contains("new disks"), "{said:?}");
    assert!(
        why(4).contains("1 job is in the hands of 1 daemon"),
        "{said:?}"
    );
    let shown = site.stdout(&["job", "why", "--state", "ready"]);
    assert!(
        shown.starts_with("record 5 (job 5#1) is ready: "),
        "{shown}"
    );
    site.fails(&["job", "why", "6"], Code::NoSuchRecord);
}

fn what_a_run_has_written_is_shown(stores: &Stores) {
    let site = Site::with_jobs(stores, 2);
    let said = site.fails(&["job", "output", "1"], Code::NeverStarted);
    assert!(
        said.contains("never started") && said.contains("job why 1"),
        "{said}"
    );
    let folder = site.folder.path().join("work/kept/1-2/work");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("dc2.simul._1.log"), b"event 1\n\xff\n").unwrap();
    fs::write(folder.join("dc2.simul._1.err"), "warning\n").unwrap();
    site.sql("UPDATE jobs SET state = 'failed', token = 3 WHERE id = 1");
    let output = site.command(&["job", "output", "1"]).assert().success();
    assert_eq!(output.get_output().stdout, b"event 1\n\xff\n");
    assert_eq!(
        site.stdout(&["job", "output", "1", "--stderr"]),
        "warning\n"
    );
    assert_eq!(
        site.stdout(&["job", "output", "1", "--stderr", "-f"]),
        "warning\n"
    );
    site.sql("UPDATE jobs SET state = 'running', token = 1, holder = 'mill-9' WHERE id = 2");
    let said = site.fails(&["job", "output", "2"], Code::NoRunFolder);
    assert!(said.contains("mill-9"), "{said}");
    let log = folder.join("dc2.simul._1.log");
    fs::remove_file(&log).unwrap();
    site.fails(&["job", "output", "1"], Code::OutputGone);
    // Neither is what its program has put there followed, nor waited for.
    let secret = site.folder.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    std::os::unix::fs::symlink(&secret, &log).unwrap();
    let said = site.fails(&["job", "output", "1"], Code::OutputUnreadable);
    assert!(said.contains("it is a link"), "{said}");
    fs::remove_file(&log).unwrap();
    let pipe = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &log, pipe, rustix::fs::Mode::RWXU, 0).unwrap();
    site.fails(&["job", "output", "1"], Code::OutputUnreadable);
    fs::remove_file(&log).unwrap();
    fs::create_dir(log).unwrap();
    site.fails(&["job", "output", "1"], Code::OutputUnreadable);
    site.sql("UPDATE payloads SET xml = '<job' WHERE record_id = 1");
    site.fails(&["job", "output", "1"], Code::JobUnreadable);
}

fn a_run_is_followed_to_its_end(stores: &Stores) {
    let site = Site::with_jobs(stores, 1);
    let folder = site.folder.path().join("work/runs/1-1/work");
    fs::create_dir_all(&folder).unwrap();
    let log = folder.join("dc2.simul._1.log");
    fs::write(&log, "first\n").unwrap();
    site.sql("UPDATE jobs SET state = 'running', token = 1 WHERE id = 1");
    let mut follower = std::process::Command::new(env!("CARGO_BIN_EXE_gristmill"));
    follower
        .args(["job", "output", "1", "--follow", "--config"])
        .arg(site.folder.path().join("gristmill.toml"))
        .stdout(std::process::Stdio::piped());
    let mut follower = follower.spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "first");
    let mut file = fs::File::options().append(true).open(&log).unwrap();
    file.write_all(b"second\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "second");
    file.write_all(b"last\n").unwrap();
    site.sql("UPDATE jobs SET state = 'succeeded' WHERE id = 1");
    assert_eq!(lines.next().unwrap().unwrap(), "last");
    assert!(lines.next().is_none());
    assert!(follower.wait().unwrap().success());
}

fn a_daemon_is_drained_and_works_again(stores: &Stores) {
    let site = Site::with_jobs(stores, 1);
    let why = |site: &Site<'_>| site.stdout(&["job", "why", "1"]);
    site.stdout(&["drain", "--reason", "new disks"]);
    let drains = site.json(&["drain", "--list"]);
    assert_eq!(drains[0]["daemon"], "executor@grid.example/panda");
    assert_eq!(drains[0]["reason"], "new disks");
    assert!(drains[0]["by"].as_str().unwrap().starts_with("ada@"));
    assert!(why(&site).contains("new disks"));

    site.stdout(&["drain", "--all"]);
    let still = site.json(&["undrain"]);
    assert_eq!((still.len(), &still[0]["daemon"]), (1, &Value::Null));
    assert!(why(&site).contains("undrain --all"));
    assert!(
        site.json(&["undrain", "--all", "--reason", "they work"])
            .is_empty()
    );
    let ended = site.json(&["drain", "--list"]);
    assert!(ended.iter().all(|drain| drain["drains"] == false));
    assert_eq!(ended[0]["reason"], "they work");
    assert!(ended[0]["by"].as_str().unwrap().starts_with("ada@"));
    let said = site.stdout(&["drain", "--list"]);
    assert!(
        said.starts_with("every daemon of this store works again since"),
        "{said}"
    );
    assert!(!why(&site).contains("drain"));
}

fn what_ended_long_ago_is_purged_and_its_name_stays(stores: &Stores) {
    let site = Site::with_jobs(stores, 450);
    let old = microseconds_from_now(-40 * 86400);
    site.sql(&format!(
        "UPDATE jobs SET accepted_at = {old}, since = {old} WHERE id <= 440;
         UPDATE jobs SET state = 'succeeded' WHERE id <= 430;
         UPDATE jobs SET state = 'failed' WHERE id BETWEEN 421 AND 430 OR id > 445"
    ));
    let purge = |arguments: &[&str]| {
        let command = [&["purge", "--older-than", "30d"], arguments].concat();
        let said = site.json(&command)[0].clone();
        (
            said["due"].as_u64().unwrap(),
            said["purged"].as_u64().unwrap(),
        )
    };
    assert_eq!(purge(&["--dry-run"]), (430, 0));
    assert_eq!(purge(&["--state", "failed"]), (10, 10));
    assert_eq!(purge(&[]), (420, 420));
    assert_eq!(purge(&[]), (0, 0));

    let shown = site.stdout(&["job", "show", "1"]);
    assert!(
        shown.contains("succeeded") && shown.contains("has been purged"),
        "{shown}"
    );
    let file = site.folder.path().join("jobs.xml");
    let again = site.json(&["job", "submit", file.to_str().unwrap()]);
    assert!(again.iter().all(|receipt| receipt["result"] == "duplicate"));
    let said = site.fails(&["job", "rerun", "1"], Code::SomeDeclined);
    assert!(said.contains("purged"), "{said}");
    assert!(site.stdout(&["job", "show", "446"]).contains("<jobName>"));
    site.fails(&["job", "output", "1"], Code::Purged);
    let keys = |arguments: &[&str]| {
        let command = [&["purge", "--older-than", "30d"], arguments].concat();
        let mut command = site.command(&[&command[..], &["--json"]].concat());
        let done = command.env("GRISTMILL_BUFFER__KEEP_KEYS", "35d").assert();
        let said: Value = serde_json::from_slice(&done.success().get_output().stdout).unwrap();
        (
            said["keys_due"].as_u64().unwrap(),
            said["keys_dropped"].as_u64().unwrap(),
        )
    };
    assert_eq!(keys(&["--dry-run"]), (0, 0), "nobody was told");
    site.sql("UPDATE jobs SET told = 1 WHERE id <= 300");
    assert_eq!(keys(&["--dry-run"]), (300, 0));
    assert_eq!(keys(&[]), (300, 300));
    assert_eq!(keys(&[]), (0, 0));
    let again = site.json(&["job", "submit", file.to_str().unwrap()]);
    let taken = again.iter().filter(|receipt| receipt["result"] == "stored");
    assert_eq!(taken.count(), 300);
    site.is_nonsense(&["purge", "--older-than", "30d", "--state", "running"]);
    site.is_nonsense(&["purge"]);
}

fn without_a_store_nothing_is_done(stores: &Stores) {
    let site = Site::without_store(stores);
    let file = site.file("jobs.xml", &execute_jobs("a", &["1"]));
    let commands: [&[&str]; 6] = [
        &["job", "kill", "1"],
        &["job", "why", "1"],
        &["job", "submit", file.to_str().unwrap()],
        &["drain"],
        &["undrain"],
        &["purge", "--older-than", "30d"],
    ];
    for command in commands {
        // A file may come with a disk; a server that lets us in has no such database.
        let code = match stores {
            Stores::Sqlite => Code::StoreUnreachable,
            Stores::MariaDb { .. } => Code::StoreRefused,
        };
        let said = site.fails(command, code);
        assert!(said.contains(&site.store.url()), "{said}");
    }
}

/// Who may only look on is told all the same.
#[test]
fn who_may_not_write_can_ask_why() {
    let stores = Stores::Sqlite;
    let site = Site::with_jobs(&stores, 1);
    site.stdout(&["drain", "--reason", "new disks"]);
    // Somebody has it open, as a daemon has.
    let daemon = Connection::open(site.folder.path().join("buffer.db")).unwrap();
    let count = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    let jobs = daemon.query_row("SELECT COUNT(*) FROM jobs", [], count);
    assert_eq!(jobs, Ok(1));
    for entry in fs::read_dir(site.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
    }
    fs::set_permissions(site.folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    for question in [&["job", "why", "1"][..], &["drain", "--list"]] {
        // Root may write what nobody may.
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gristmill"));
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let config = site.folder.path().join("gristmill.toml");
        let output = command.args(question).arg("--config").arg(config).output();
        let output = output.unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{question:?}: {error}");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("new disks"), "{question:?}: {said}");
    }
    fs::set_permissions(site.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Another process writes the store for longer than anybody waits.
#[test]
fn a_store_that_is_kept_busy_is_waited_for_and_then_not() {
    let stores = Stores::Sqlite;
    let site = Site::with_jobs(&stores, 1);
    let file = site.file("more.xml", &execute_jobs("b", &["2"]));
    let other = Connection::open(site.folder.path().join("buffer.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    site.fails(
        &["job", "submit", file.to_str().unwrap()],
        Code::SubmitUnanswered,
    );
    site.fails(&["job", "hold", "1"], Code::StoreMute);
    other.execute_batch("ROLLBACK").unwrap();
    site.stdout(&["job", "hold", "1"]);
}

#[test]
fn what_is_no_store_says_so() {
    let stores = Stores::Sqlite;
    let site = Site::with_jobs(&stores, 1);
    let folder = site.folder.path().display();
    let url = format!("buffer.url=sqlite:{folder}/gristmill.toml");
    site.fails(&["job", "list", "--set", &url], Code::StoreInvalid);
}
