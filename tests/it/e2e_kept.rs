//! The folders of failed runs are kept within limits, and go with their jobs.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::e2e_jobs::Scene;
use crate::rig::gristmill::{ACCOUNTS, Gristmill};
use crate::rig::http::get;
use crate::rig::process::PATIENCE;
use crate::rig::prosody::Prosody;

const FLAGS: [&str; 3] = [
    "conductor.enabled=true",
    "conductor.slots=4",
    "runner.process.keep_number=15",
];

/// Waits until so many folders are kept.
fn until_kept(daemon: &Gristmill, number: usize) {
    let kept = daemon.folder().join("work/kept");
    let metric = format!("gristmill_kept_folders {number}\n");
    let begun = Instant::now();
    loop {
        let found = fs::read_dir(&kept).unwrap().count();
        // After a start it takes a moment until it is answered.
        let page = get(&daemon.http_socket(), "/metrics");
        let page = page.map(|answer| answer.body).unwrap_or_default();
        if found == number && page.contains(&metric) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{found} are kept; {page}");
        sleep(Duration::from_millis(200));
    }
}

#[test]
fn what_is_kept_is_bounded_and_is_purged_with_its_job() {
    let server = Prosody::start_fast(ACCOUNTS);
    let mut daemon = Gristmill::on_sqlite(&server, &FLAGS);
    daemon.script("ill", "head -c 1000000 /dev/urandom >left; exit 1");
    let mut scene = Scene::open(&server);
    scene.submit(&["ill"; 20]);
    scene.wait_until_finished();
    until_kept(&daemon, 15);

    // Each takes some more than a million bytes.
    daemon.stop();
    daemon.start_with(&["runner.process.keep_size=8 MB", FLAGS[0]]);
    until_kept(&daemon, 7);

    daemon.command(&["purge", "--older-than", "0s"]);
    until_kept(&daemon, 0);
}
