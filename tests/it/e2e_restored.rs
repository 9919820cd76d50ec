//! The file of a store is removed, moved or replaced by an older copy, below the daemon and without
//! it, while a supervisor asks.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use gristmill::error::Code;
use rusqlite::Connection;

use crate::rig::documents::{execute_jobs, get_executor_data};
use crate::rig::failure::fails;
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, SUPERVISOR};
use crate::rig::http::get;
use crate::rig::process::PATIENCE;
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::{Carrier, Supervisor};

struct Scene {
    _server: Prosody,
    daemon: Gristmill,
    supervisor: Supervisor,
}

impl Scene {
    /// Job 1 is stored.
    fn new() -> Self {
        let server = Prosody::start_fast(ACCOUNTS);
        let daemon = Gristmill::on_sqlite(&server, &[]);
        let supervisor = Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID);
        let mut scene = Self {
            _server: server,
            daemon,
            supervisor,
        };
        scene.supervisor.wait_until_served();
        assert_eq!(scene.store("1"), "");
        scene
    }

    fn file(&self) -> PathBuf {
        self.daemon.folder().join("buffer.db")
    }

    /// The error of an executeJobs.
    fn store(&mut self, job: &str) -> String {
        let reply = self
            .supervisor
            .ask(Carrier::Iq, job, &execute_jobs(job, &[job]));
        reply.error().to_owned()
    }

    fn says(&mut self, jobs: &[&str]) -> Vec<String> {
        let question = get_executor_data("q", jobs);
        let data = self.supervisor.ask(Carrier::Iq, "q", &question);
        data.each("status").into_iter().map(str::to_owned).collect()
    }

    fn is_away(&mut self) {
        assert_eq!(self.store("late"), "database-unavailable");
        assert_eq!(self.says(&["1", "none"]), ["unknown", "unknown"]);
        let ready = get(&self.daemon.http_socket(), "/readyz").unwrap();
        assert_eq!(ready.status, 503);
        let doctor = self.daemon.ask(&["doctor"]);
        let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(said.contains("runs and is not ready"), "{said}");
    }
}

#[test]
fn a_file_that_is_moved_away_is_said_once_and_is_used_again_when_it_is_back() {
    let mut scene = Scene::new();
    let (file, aside) = (scene.file(), scene.daemon.folder().join("aside.db"));
    fs::rename(&file, &aside).unwrap();
    scene.is_away();
    let log = scene.daemon.log();
    let told: Vec<_> = log
        .lines()
        .filter(|line| line.contains("the task buffer is away"))
        .collect();
    let [told] = told[..] else { panic!("{log}") };
    assert!(told.contains("was removed or moved"), "{told}");
    fs::copy(&aside, &file).unwrap();
    scene.is_away();
    fs::rename(&aside, &file).unwrap();
    let begun = Instant::now();
    while get(&scene.daemon.http_socket(), "/readyz").unwrap().status != 200 {
        assert!(begun.elapsed() < PATIENCE, "still away");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(scene.says(&["1", "none"]), ["accepted", "rejected"]);
    assert_eq!(scene.store("2"), "");
}

#[test]
fn what_was_answered_since_a_copy_is_not_denied() {
    let mut scene = Scene::new();
    let (file, copy) = (scene.file(), scene.daemon.folder().join("copy.db"));
    let into = format!("VACUUM INTO '{}'", copy.display());
    Connection::open(&file).unwrap().execute(&into, []).unwrap();
    assert_eq!(scene.store("lost"), "");
    scene.daemon.stop();
    for suffix in ["db-wal", "db-shm"] {
        let _ = fs::remove_file(file.with_extension(suffix));
    }
    fs::rename(copy, file).unwrap();

    let said = fails(&scene.daemon.ask(&["serve"]), Code::StoreRestored);
    assert!(said.contains("--accept-restored"), "{said}");
    fails(&scene.daemon.ask(&["doctor"]), Code::StoreRestored);
    scene.daemon.command(&["migrate", "--accept-restored"]);
    scene.daemon.start_again();
    scene.supervisor.wait_until_online();
    assert_eq!(scene.says(&["1", "lost"]), ["accepted", "unknown"]);
    let doctor = scene.daemon.ask(&["doctor"]);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(said.contains("an older copy was accepted"), "{said}");
    assert_eq!(scene.store("2"), "");
    assert_eq!(
        scene.says(&["1", "2", "lost"]),
        ["accepted", "accepted", "unknown"]
    );
}
