//! Commands that fail, as their errors say.

use std::process::Output;

use gristmill::error::Code;

/// Asserts that a command has ended with this error and the exit code of its kind; what it said.
#[track_caller]
pub fn fails(output: &Output, code: Code) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(code.kind().code().into()),
        "{said}"
    );
    assert_says(&said, code);
    assert_no_cause_twice(&said);
    String::from_utf8_lossy(&output.stdout).into_owned() + &said
}

/// Asserts that a log or a message holds this error.
#[track_caller]
pub fn assert_says(said: &str, code: Code) {
    let report = format!("error[{code}]: ");
    assert!(said.contains(&report), "not {code:?} but {said}");
}

/// Asserts that no cause repeats the end of the line that it stands below.
#[track_caller]
fn assert_no_cause_twice(said: &str) {
    for (above, line) in said.lines().zip(said.lines().skip(1)) {
        let cause = line.strip_prefix("  why: ");
        assert!(cause.is_none_or(|cause| !above.ends_with(cause)), "{said}");
    }
}
