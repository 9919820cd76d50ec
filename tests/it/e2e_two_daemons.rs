//! Two daemons of one store, of which one knows or does what the other one must not miss.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use gristmill::error::Code;

use crate::rig::documents::{about_records, document, execute_jobs, get_executor_data};
use crate::rig::failure::assert_says;
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, SECOND_EXECUTOR_JID, SUPERVISOR};
use crate::rig::http::get;
use crate::rig::mariadb::MariaDb;
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::{Carrier, PATIENCE, Supervisor};

/// Two daemons of one database, and a supervisor of both.
struct Scene {
    server: Prosody,
    store: MariaDb,
    supervisor: Supervisor,
}

impl Scene {
    /// The daemons come after it.
    fn new() -> Self {
        let (server, store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
        store.create_database("mill");
        Self {
            supervisor: Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID),
            server,
            store,
        }
    }

    fn daemon(&self, jid: &str, flags: &[&str]) -> Gristmill {
        let jid = format!("xmpp.jid={jid}");
        let flags = [flags, &[&jid]].concat();
        Gristmill::on_mariadb(&self.server, &self.store.url("mill"), &flags)
    }

    fn speak_to(&mut self, jid: &str) {
        self.supervisor.speak_to(jid);
        self.supervisor.wait_until_served();
    }

    fn is_rejected(&mut self, jobs: &[&str]) {
        let question = get_executor_data("q", jobs);
        let data = self.supervisor.ask(Carrier::Iq, "q", &question);
        assert_eq!(data.each("status"), vec!["rejected"; jobs.len()]);
    }

    /// Stores a job that [`Site::program`] runs.
    fn submit(&mut self, job: &str) -> String {
        let entry = format!(
            "<job jobID='{job}'><transformation><transPath>run</transPath></transformation>\
             <jobPars>{job}</jobPars></job>"
        );
        let request = document("executeJobs", job, &entry);
        let reply = self.supervisor.ask(Carrier::Iq, job, &request);
        assert_eq!(reply.each("result"), ["stored"]);
        reply.each("taskBufferRecordID")[0].to_owned()
    }

    fn status(&mut self, job: &str, record: &str) -> String {
        let question = about_records("getStatus", "s", &[(job, record)]);
        let reply = self.supervisor.ask(Carrier::Iq, "s", &question);
        let words = ["status", "result"].map(|name| reply.jobs()[0].attribute(name));
        words.join(" ")
    }

    fn wait_for(&mut self, job: &str, record: &str, status: &str) {
        wait_until(status, || self.status(job, record) == status);
    }

    fn count(&self, rows: &str) -> String {
        let count = format!("SELECT COUNT(*) FROM mill.{rows}");
        self.store.sql(&count).trim().to_owned()
    }
}

/// Waits until something is so.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let limit = Instant::now() + PATIENCE * 2;
    while !is_so() {
        assert!(Instant::now() < limit, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What waits in the socket of a daemon that stands still has no stamp that says so.
#[test]
fn a_rejection_counts_for_what_waited_in_the_socket_of_a_frozen_daemon() {
    let mut scene = Scene::new();
    let frozen = scene.daemon(EXECUTOR_JID, &[]);
    scene.speak_to(EXECUTOR_JID);
    let _other = scene.daemon(SECOND_EXECUTOR_JID, &[]);
    scene.speak_to(SECOND_EXECUTOR_JID);

    frozen.pause();
    let supervisor = &mut scene.supervisor;
    supervisor.speak_to(EXECUTOR_JID);
    let late = [
        (Carrier::Iq, "1"),
        (Carrier::Child, "2"),
        (Carrier::Body, "3"),
    ];
    let late = late.map(|(carrier, job)| {
        let stanza = supervisor.send(carrier, &execute_jobs(job, &[job]));
        (carrier, job, stanza)
    });
    supervisor.speak_to(SECOND_EXECUTOR_JID);
    scene.is_rejected(&["1", "2", "3"]);
    // Long enough for nothing to be taken for prompt.
    std::thread::sleep(Duration::from_secs(8));
    frozen.resume();
    for (carrier, job, stanza) in late {
        let reply = scene.supervisor.reply(PATIENCE, carrier, &stanza, job);
        assert_eq!(reply.expect("an answer").error(), "stale", "{carrier:?}");
    }
    assert_eq!(scene.count("jobs"), "0");

    // Sent again, on purpose, they are new as soon as the line was proved to hold nothing back.
    scene.speak_to(EXECUTOR_JID);
    wait_until("the jobs are not taken", || {
        let again = execute_jobs("again", &["1", "2", "3"]);
        let again = scene.supervisor.ask(Carrier::Iq, "again", &again);
        again.each("result") == ["stored"; 3]
    });
}

/// One daemon may take requests that are an hour old, the other one remembers for seconds what it
/// has rejected.
#[test]
fn a_rejection_counts_after_another_daemon_has_forgotten_it() {
    let mut scene = Scene::new();
    let mut patient = scene.daemon(EXECUTOR_JID, &["bridge.max_age=1h"]);
    scene.speak_to(EXECUTOR_JID);
    patient.stop();
    let late = execute_jobs("late", &["1"]);
    let late = scene.supervisor.send(Carrier::Child, &late);

    let hasty = ["bridge.max_age=1s", "buffer.timeout=1s"];
    let _hasty = scene.daemon(SECOND_EXECUTOR_JID, &hasty);
    scene.speak_to(SECOND_EXECUTOR_JID);
    scene.is_rejected(&["1"]);
    wait_until("the rejection is not forgotten", || {
        scene.is_rejected(&["other"]);
        scene.count("rejections WHERE job_id = '1'") == "0"
    });

    patient.start_again();
    let supervisor = &mut scene.supervisor;
    let reply = supervisor.reply(PATIENCE, Carrier::Child, &late, "late");
    assert_eq!(reply.expect("an answer").error(), "stale");
    assert_eq!(scene.count("jobs"), "0");
    // Sent again, on purpose, it is new.
    scene.speak_to(EXECUTOR_JID);
    let again = execute_jobs("again", &["1"]);
    let again = scene.supervisor.ask(Carrier::Iq, "again", &again);
    assert_eq!(again.each("result"), ["stored"]);
}

/// Runs jobs, one at a time.
const CONDUCTS: [&str; 2] = ["conductor.enabled=true", "conductor.slots=1"];

/// Job 1 runs until there is a file `end` in the folder of its log; others end at once.
fn program(log: &Path) -> String {
    format!(
        "LOG={}; echo begin $1 >>$LOG\n\
         while test $1 = 1 && ! test -e ${{LOG%/*}}/end; do sleep 0.1; done",
        log.display()
    )
}

/// How often job 1 was begun.
fn begun(daemon: &Gristmill) -> usize {
    let log = daemon.job_log();
    log.lines().filter(|line| *line == "begin 1").count()
}

impl Scene {
    /// A daemon that has job 1 in hand, and its record.
    fn daemon_at_work(&mut self) -> (Gristmill, String) {
        let daemon = self.daemon(EXECUTOR_JID, &CONDUCTS);
        daemon.script("run", &program(&daemon.job_log_file()));
        self.speak_to(EXECUTOR_JID);
        let record = self.submit("1");
        self.wait_for("1", &record, "running ");
        (daemon, record)
    }

    /// Another daemon, not started, that would write to the log of the first one.
    fn other_daemon(&self, first: &Gristmill) -> Gristmill {
        let other = Gristmill::prepared_on_mariadb(&self.server, &self.store.url("mill"));
        other.script("run", &program(&first.job_log_file()));
        other
    }

    /// Job 1 ends well, and was begun once.
    fn end(&mut self, daemon: &Gristmill, record: &str) {
        assert_eq!(begun(daemon), 1);
        fs::write(daemon.folder().join("end"), "").unwrap();
        self.wait_for("1", record, "finished succeeded");
        assert_eq!(begun(daemon), 1);
    }
}

fn second_flags<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let jid = "xmpp.jid=executor2@grid.test/panda";
    [&CONDUCTS, &[jid][..], more].concat()
}

/// One daemon renews its runs every five minutes, the other one takes what is not renewed within
/// seconds for lost.
#[test]
fn a_run_with_a_longer_lease_than_ours_is_left_alone() {
    let mut scene = Scene::new();
    let (daemon, record) = scene.daemon_at_work();
    let mut hasty = scene.other_daemon(&daemon);
    let lengths = [
        "buffer.timeout=1s",
        "conductor.lease=3s",
        "conductor.run_lease=6s",
        "runner.process.grace=1s",
    ];
    hasty.start_with(&second_flags(&lengths));
    // It looks at the claims of others every second, and by its own lengths waits for 27 s.
    std::thread::sleep(Duration::from_secs(35));
    scene.end(&daemon, &record);
}

fn copy_work(from: &Gristmill, to: &Gristmill) {
    let copied = Command::new("cp")
        .arg("-a")
        .arg(from.folder().join("work"))
        .arg(to.folder().join("work"))
        .status();
    assert!(copied.unwrap().success());
}

/// A folder of runs was copied, with the name of its holder in it.
#[test]
fn a_copied_work_folder_gets_a_name_of_its_own() {
    let mut scene = Scene::new();
    let (daemon, record) = scene.daemon_at_work();
    let mut other = scene.other_daemon(&daemon);
    copy_work(&daemon, &other);
    other.start_with(&second_flags(&[]));
    // The first daemon has its hands full, so the other one runs this, after a look at all claims.
    let second = scene.submit("2");
    scene.wait_for("2", &second, "finished succeeded");
    scene.end(&daemon, &record);
    assert!(other.log().contains("is a copy"), "{}", other.log());
}

/// The copy does not know that it is one: it was made by an older version, or with its machine.
#[test]
fn of_two_daemons_with_one_name_the_second_conducts_nothing() {
    let mut scene = Scene::new();
    let (mut daemon, record) = scene.daemon_at_work();
    let mut other = scene.other_daemon(&daemon);
    copy_work(&daemon, &other);
    fs::remove_file(other.folder().join("work/identity")).unwrap();
    other.start_with(&second_flags(&[]));
    wait_until("the second says nothing", || other.log().contains("GM0512"));
    assert_says(&other.log(), Code::HolderTwice);
    assert!(other.log().contains(EXECUTOR_JID), "{}", other.log());
    let ready = get(&other.http_socket(), "/readyz").unwrap();
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("another daemon conducts"), "{ready:?}");
    // Nor does it judge the claims of the first one, when it is asked to.
    scene.speak_to(SECOND_EXECUTOR_JID);
    let question = about_records("fixJobs", "f", &[("1", &record)]);
    let reply = scene.supervisor.ask(Carrier::Iq, "f", &question);
    assert_eq!(reply.each("result"), ["unknown"]);

    // The first one is not locked out by a crash, nor by the second.
    daemon.kill();
    daemon.start_again();
    scene.speak_to(EXECUTOR_JID);
    scene.end(&daemon, &record);
    let second = scene.submit("2");
    scene.wait_for("2", &second, "finished succeeded");
    let twice = other.log().matches("GM0512").count();
    assert_eq!(twice, 1, "{}", other.log());
}
