//! The store's disk has no room any more, or may not be written to.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::rig::documents::{about_records, document, get_executor_data};
use crate::rig::folder;
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, SUPERVISOR};
use crate::rig::http;
use crate::rig::process::{is_root, program};
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::{Carrier, Supervisor};

/// Everything has happened by then, on a machine that is busy with others.
const PATIENCE: Duration = Duration::from_mins(2);

/// A small disk; gone when dropped.
struct Disk {
    folder: TempDir,
    image: Option<TempDir>,
}

impl Disk {
    fn in_memory() -> Self {
        let disk = Self {
            folder: folder::new(),
            image: None,
        };
        mount(&["-t", "tmpfs", "-o", "size=3m", "none"], disk.path());
        disk
    }

    /// One that can fail, for it is made of a file.
    fn in_a_file() -> Self {
        let disk = Self {
            folder: folder::new(),
            image: Some(folder::new()),
        };
        let file = File::create(disk.image()).unwrap();
        file.set_len(16 << 20).unwrap();
        run(Command::new(program("mkfs.ext4", "e2fsprogs"))
            .args(["-q"])
            .arg(disk.image()));
        disk.mount_again();
        disk
    }

    fn image(&self) -> PathBuf {
        self.image.as_ref().unwrap().path().join("image")
    }

    fn mount_again(&self) {
        mount(&["-o", "loop", self.image().to_str().unwrap()], self.path());
    }

    /// What a kernel does that has read nonsense from a disk.
    fn fail(&self) {
        mount(&["-o", "remount,abort"], self.path());
    }

    fn repair(&self) {
        run(Command::new(program("umount", "mount")).arg(self.path()));
        // It says 1 where it has mended something.
        let _ = Command::new(program("e2fsck", "e2fsprogs"))
            .args(["-p"])
            .arg(self.image())
            .output();
        self.mount_again();
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn store(&self) -> String {
        format!("buffer.url=sqlite:{}/buffer.db", self.path().display())
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        for size in [4096, 1] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.path())
            .status();
    }
}

fn mount(words: &[&str], folder: &Path) {
    assert!(
        is_root(),
        "only root can mount the small disks of these tests"
    );
    run(Command::new(program("mount", "mount"))
        .args(words)
        .arg(folder));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// A supervisor, and what it was told.
struct Scene {
    supervisor: Supervisor,
    records: BTreeMap<String, String>,
}

impl Scene {
    fn open(server: &Prosody) -> Self {
        let mut supervisor = Supervisor::login(server, SUPERVISOR, EXECUTOR_JID);
        supervisor.wait_until_served();
        Self {
            supervisor,
            records: BTreeMap::new(),
        }
    }

    /// Hands jobs out; whether they were taken.
    fn hand_out(&mut self, program: &str, names: &[String]) -> bool {
        let padding = "x".repeat(2000);
        let jobs = names.iter().map(|name| {
            format!(
                "<job jobID='{name}'><transformation><transPath>{program}</transPath>\
                 </transformation><jobPars>{name} {padding}</jobPars></job>"
            )
        });
        let document = document("executeJobs", "e", &jobs.collect::<String>());
        let reply = self.supervisor.ask(Carrier::Iq, "e", &document);
        if reply.error() == "database-unavailable" {
            return false;
        }
        let words = reply.each("result");
        assert_eq!(words.len(), names.len(), "{reply:?}");
        assert!(words.iter().all(|word| *word == "stored"), "{words:?}");
        let records = reply.each("taskBufferRecordID");
        for (name, record) in names.iter().zip(records) {
            let before = self.records.insert(name.clone(), record.to_owned());
            assert_eq!(before, None, "{name} was there");
        }
        true
    }

    /// Asks for what was stored and for what was not; whether it got a verdict on each.
    fn nothing_wrong_is_said(&mut self, others: &[String]) -> bool {
        let names: Vec<_> = self.records.keys().chain(others).cloned().collect();
        let asked: Vec<_> = names.iter().map(String::as_str).collect();
        let question = get_executor_data("d", &asked);
        let reply = self.supervisor.ask(Carrier::Iq, "d", &question);
        let mut is_known = true;
        for (name, entry) in names.iter().zip(reply.jobs()) {
            let right = match self.records.get(name) {
                Some(record) => ("accepted", record.as_str()),
                None => ("rejected", ""),
            };
            let told = (
                entry.attribute("status"),
                entry.attribute("taskBufferRecordID"),
            );
            assert!(told == right || told == ("unknown", ""), "{name}: {told:?}");
            is_known &= told == right;
        }
        is_known
    }

    /// Whether all jobs have ended well.
    fn have_ended(&mut self) -> bool {
        let records = self.records.iter();
        let records: Vec<_> = records.map(|(job, id)| (&**job, &**id)).collect();
        let mut ended = true;
        for some in records.chunks(100) {
            let question = about_records("getStatus", "s", some);
            let reply = self.supervisor.ask(Carrier::Iq, "s", &question);
            for entry in reply.jobs() {
                let told = (entry.attribute("status"), entry.attribute("result"));
                assert!(!["rejected", ""].contains(&told.0), "{entry:?}");
                ended &= told == ("finished", "succeeded");
            }
        }
        ended
    }
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix}-{number}"))
        .collect()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let limit = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < limit, "never: {what}");
        sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_full_disk_refuses_jobs_and_forgets_none() {
    let (server, disk) = (Prosody::start_fast(ACCOUNTS), Disk::in_memory());
    let flags = [&disk.store(), "conductor.enabled=true", "conductor.slots=2"];
    let daemon = Gristmill::on_sqlite(&server, &flags);
    daemon.script(
        "held",
        "echo begin $1 >>$LOG; while [ ! -e $LOG.go ]; do sleep 0.1; done; echo end $1 >>$LOG",
    );
    let mut scene = Scene::open(&server);
    assert!(scene.hand_out("held", &names("first", 2)));
    until("they run", || daemon.job_log().lines().count() == 2);
    disk.fill();
    let mut refused = Vec::new();
    for number in 0.. {
        assert!(number < 100, "the disk is never full");
        let names = names(&format!("more-{number}"), 20);
        if !scene.hand_out("held", &names) {
            refused = names;
            break;
        }
    }
    scene.nothing_wrong_is_said(&refused);
    let is_said = || {
        let ready = http::get(&daemon.http_socket(), "/readyz").unwrap();
        ready.status == 503 && ready.body.contains("the store is full")
    };
    until("it is said", is_said);
    let doctor = String::from_utf8(daemon.ask(&["doctor", "--set", &disk.store()]).stdout).unwrap();
    assert!(doctor.contains("takes no writes"), "{doctor}");
    // They end while nobody can write that down.
    let go = format!("{}.go", daemon.job_log_file().display());
    fs::write(go, "").unwrap();
    for _ in 0..10 {
        sleep(Duration::from_millis(200));
        assert!(!scene.hand_out("held", &refused));
        scene.nothing_wrong_is_said(&refused);
        scene.have_ended();
        assert!(is_said());
    }
    fs::remove_file(disk.ballast()).unwrap();
    until("jobs are taken again", || scene.hand_out("held", &refused));
    until("all have ended", || scene.have_ended());
    until("all is known", || {
        scene.nothing_wrong_is_said(&names("never", 1))
    });
    until("it is over", || !is_said());
    let log = daemon.log();
    for line in [
        "the task buffer takes no writes",
        "the task buffer takes writes again",
    ] {
        assert_eq!(log.matches(line).count(), 1, "{line}: {log}");
    }
    assert!(!log.contains("the task buffer is away"), "{log}");
    let log = daemon.job_log();
    for name in scene.records.keys() {
        let wanted = [format!("begin {name}"), format!("end {name}")];
        let lines = log
            .lines()
            .filter(|line| wanted.iter().any(|word| word == line));
        assert_eq!(lines.collect::<Vec<_>>(), wanted, "{name}");
    }
}

#[test]
fn a_disk_that_fails_while_it_is_used_takes_no_jobs_and_forgets_none() {
    let (server, disk) = (Prosody::start_fast(ACCOUNTS), Disk::in_a_file());
    let mut daemon = Gristmill::on_sqlite(&server, &[&disk.store()]);
    let mut scene = Scene::open(&server);
    assert!(scene.hand_out("any", &names("first", 2)));
    disk.fail();
    let second = names("second", 2);
    for _ in 0..5 {
        assert!(!scene.hand_out("any", &second));
        assert!(
            !scene.nothing_wrong_is_said(&second),
            "rejected, and not kept"
        );
        sleep(Duration::from_millis(200));
    }
    daemon.stop();
    disk.repair();
    daemon.start_again();
    scene.supervisor.wait_until_served();
    assert!(scene.nothing_wrong_is_said(&second));
    assert!(scene.hand_out("any", &second));
}

#[test]
fn a_disk_that_may_not_be_written_to_at_the_start_is_waited_for() {
    let (server, disk) = (Prosody::start_fast(ACCOUNTS), Disk::in_memory());
    let mut daemon = Gristmill::on_sqlite(&server, &[&disk.store()]);
    let mut scene = Scene::open(&server);
    assert!(scene.hand_out("any", &names("first", 2)));
    daemon.stop();
    mount(&["-o", "remount,ro"], disk.path());
    daemon.start_again();
    scene.supervisor.wait_until_online();
    let second = names("second", 2);
    assert!(!scene.hand_out("any", &second));
    assert!(!scene.nothing_wrong_is_said(&second));
    mount(&["-o", "remount,rw"], disk.path());
    until("jobs are taken again", || scene.hand_out("any", &second));
    until("all is known", || {
        scene.nothing_wrong_is_said(&names("never", 1))
    });
}

#[test]
fn a_disk_that_is_full_at_the_start_is_waited_for() {
    let (server, disk) = (Prosody::start_fast(ACCOUNTS), Disk::in_memory());
    disk.fill();
    let _daemon = Gristmill::on_sqlite(&server, &[&disk.store()]);
    let mut supervisor = Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_online();
    let mut scene = Scene {
        supervisor,
        records: BTreeMap::new(),
    };
    let names = names("first", 2);
    assert!(!scene.hand_out("any", &names));
    assert!(!scene.nothing_wrong_is_said(&names));
    fs::remove_file(disk.ballast()).unwrap();
    until("jobs are taken", || scene.hand_out("any", &names));
}
