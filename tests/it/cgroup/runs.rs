//! What holds a run on a kernel with cgroup v2.

use std::process::Command;

use serde_json::Value;

use crate::rig::guest::{Found, take_script_in};
use crate::rig::process::program;
use crate::rig::tree::Tree;

const MEMORY_LIMIT: u64 = 32 << 20;
/// What a modest job holds at least, in bytes.
const HELD: u64 = 20_000_000;

/// A guest whose first process is the script.
fn found() -> Found {
    let tree = Tree::new();
    let stripped = Command::new(program("strip", "binutils"))
        .args(["--strip-all", "-o"])
        .arg(tree.root().join("usr/bin/gristmill"))
        .arg(env!("CARGO_BIN_EXE_gristmill"))
        .status();
    assert!(stripped.unwrap().success());
    Found::out(&tree, &take_script_in(&tree, "cgroup/runs.sh"))
}

fn peak_memory(result: &Value) -> u64 {
    result["peakMemory"].as_u64().unwrap()
}

/// One guest for all of it, since most of its time goes into its start.
#[test]
fn the_kernel_holds_counts_and_kills_a_run_as_one() {
    let found = found();
    memory_and_processes_are_the_trees(&found);
    nothing_flees(&found);
    a_restart_leaves_limits_in_force(&found);
    what_a_lost_wrapper_leaves_is_found(&found);
    a_run_without_its_cgroup_is_tried_again(&found);
    the_place_is_told(&found);
    assert_eq!(found.text("left"), "daemon/");
}

fn memory_and_processes_are_the_trees(found: &Found) {
    let result = found.result("memory", Some("memory-limit"));
    let peak = peak_memory(&result);
    assert!((HELD..=MEMORY_LIMIT).contains(&peak), "{peak}");
    found.result("forks", Some("process-limit"));
    let limits = found.text("limits");
    for (file, value) in [
        ("memory.max", MEMORY_LIMIT),
        ("memory.oom.group", 1),
        ("pids.max", 20),
    ] {
        let line = format!("/sys/fs/cgroup/mill/1-1/{file}:{value}");
        assert!(limits.contains(&line), "{limits}");
    }
}

fn nothing_flees(found: &Found) {
    let result = found.result("flight", None);
    let fled: Vec<_> = found.text("fled").split_whitespace().collect();
    let ["/mill/3-1/inner", ticks_a_second, ticks, "gone"] = fled[..] else {
        panic!("{fled:?}");
    };
    let burnt = ticks.parse::<f64>().unwrap() / ticks_a_second.parse::<f64>().unwrap();
    let counted = result["cpuSeconds"].as_f64().unwrap();
    assert!(burnt > 0.0 && counted >= burnt, "{counted} of {burnt}");
    let peak = peak_memory(&found.result("modest", None));
    assert!((HELD..=MEMORY_LIMIT).contains(&peak), "{peak}");
}

fn a_restart_leaves_limits_in_force(found: &Found) {
    let limits = found.text("adopted.limits");
    assert!(limits.contains(&MEMORY_LIMIT.to_string()), "{limits}");
    found.result("adopted", Some("memory-limit"));
    assert_eq!(found.text("adopted.starts"), "started");
}

fn what_a_lost_wrapper_leaves_is_found(found: &Found) {
    found.result("orphaned", None);
    assert_eq!(found.job("orphaned")["record"]["abandons"], 1);
    assert_eq!(found.text("orphan"), "gone");
}

fn a_run_without_its_cgroup_is_tried_again(found: &Found) {
    found.result("refused", None);
    let refused = found.text("refused");
    assert!(refused.contains("no cgroup for the run, /sys/fs/cgroup/mill/7-1"));
    found.result("vanished", None);
    assert!(
        found
            .text("vanished")
            .contains("no cgroups for runs any more")
    );
}

fn the_place_is_told(found: &Found) {
    let log = found.text("log");
    assert!(
        log.contains("each run has a cgroup below /sys/fs/cgroup/mill,"),
        "{log}"
    );
    for when in ["own", "again"] {
        let own = found.text(when);
        assert!(own.contains("/sys/fs/cgroup/own\""), "{own}");
        assert!(own.contains("}0::/own/service"), "{own}");
    }
    let root = found.text("root");
    assert!(
        root.contains("by-polling") && root.contains("the root"),
        "{root}"
    );
}
