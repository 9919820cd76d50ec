//! The units, as systemd judges them.

use std::path::Path;
use std::process::Command;

use super::ROOT;
use crate::rig::process::program;

/// From 0 (locked in) to 10.
fn exposure(unit: &str) -> f64 {
    let analyzed = Command::new(program("systemd-analyze", "systemd"))
        .args(["security", "--offline=true", "--no-pager"])
        .arg(Path::new(ROOT).join("packaging").join(unit))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&analyzed.stdout);
    let level = said.lines().last().and_then(|line| line.split(": ").nth(1));
    let level = level.and_then(|level| level.split(' ').next()?.parse().ok());
    level.unwrap_or_else(|| panic!("no exposure level:\n{said}"))
}

#[test]
fn the_daemon_is_among_the_best_guarded_services() {
    let exposure = exposure("gristmill.service");
    assert!(exposure <= 1.5, "{exposure}");
}

#[test]
fn the_runner_gives_jobs_little_to_harm() {
    let exposure = exposure("gristmill-runner.service");
    assert!(exposure <= 4.0, "{exposure}");
}

#[test]
fn who_holds_the_jobs_cgroup_does_nothing_else() {
    let exposure = exposure("gristmill-jobs.service");
    assert!(exposure <= 1.5, "{exposure}");
}
