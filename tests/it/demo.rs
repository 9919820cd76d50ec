//! `gristmill demo`, the way a newcomer meets the program.

use assert_cmd::Command;

fn demo(arguments: &[&str]) -> String {
    let mut command = Command::cargo_bin("gristmill").unwrap();
    let done = command.arg("demo").args(arguments).assert().success();
    String::from_utf8(done.get_output().stdout.clone()).unwrap()
}

#[test]
fn the_demo_takes_every_job_through_its_life() {
    let shown = demo(&["--jobs", "120"]);
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
    assert!(row(&["executeJobs", " 3 ", " 120 ", "stored"]), "{shown}");
    assert!(
        row(&["executeJobs", " 120 ", "duplicate, same record"]),
        "{shown}"
    );
    assert!(row(&["killJobs", " 120 ", "killed"]), "{shown}");
    assert!(
        shown
            .trim_end()
            .ends_with("Every job was accepted once, and ended.")
    );
}

#[test]
fn documents_are_shown_in_full_on_demand() {
    assert!(demo(&["--jobs", "1"]).contains("--verbose shows all"));
    let shown = demo(&["--jobs", "1", "--verbose"]);
    assert!(!shown.contains("--verbose shows all") && shown.contains("</executeJobs>"));
}
