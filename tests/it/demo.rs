//! `gristmill demo`, the way a newcomer meets the program.

use assert_cmd::Command;

fn demo(arguments: &[&str]) -> String {
    let mut command = Command::cargo_bin("gristmill").unwrap();
    let done = command.arg("demo").args(arguments).assert().success();
    String::from_utf8(done.get_output().stdout.clone()).unwrap()
}

#[test]
fn the_demo_takes_every_job_through_its_life() {
    let shown = demo(&["--jobs", "60"]);
    for word in [
        "→ <numJobsWanted",
        "← <executeJobsResponse",
        "received='50' stored='50'",
    ] {
        assert!(shown.contains(word), "{word}\n{shown}");
    }
    let row = |words: &[&str]| {
        shown
            .lines()
            .any(|line| line.contains('┆') && words.iter().all(|word| line.contains(word)))
    };
    assert!(row(&["executeJobs", " 2 ", " 60 ", "stored"]), "{shown}");
    assert!(
        row(&["executeJobs", " 60 ", "duplicate, same record"]),
        "{shown}"
    );
    assert!(row(&["killJobs", " 1 ", "kill-requested"]), "{shown}");
    for ending in [
        ["dc2.g4sim.trf", " 57 ", "succeeded"],
        ["dc2.flaky.trf", " 1 ", "failed twice, then succeeded"],
        ["dc2.broken.trf", " 1 ", "failed for good, exit code 65"],
        ["dc2.endless.trf", " 1 ", "killed while it ran"],
    ] {
        assert!(row(&ending), "{ending:?}\n{shown}");
    }
    let last = "Every job was accepted once, and ended as it must.";
    assert!(shown.trim_end().ends_with(last), "{shown}");
}

#[test]
fn documents_are_shown_in_full_on_demand() {
    assert!(demo(&["--jobs", "4"]).contains("--verbose shows all"));
    let shown = demo(&["--jobs", "4", "--verbose"]);
    assert!(!shown.contains("--verbose shows all") && shown.contains("</executeJobs>"));
}
