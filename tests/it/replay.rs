//! The fixtures as a regression suite, replayed in the program's own process.

use std::path::Path;

use assert_cmd::Command;

#[test]
fn every_fixture_is_answered_as_it_says() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut command = Command::cargo_bin("gristmill").unwrap();
    let replay = command
        .env_clear()
        .args(["replay", "--expect"])
        .arg(fixtures);
    let done = replay.assert().success();
    let said = String::from_utf8(done.get_output().stderr.clone()).unwrap();
    assert!(said.contains(" 0 different"), "{said}");
}
