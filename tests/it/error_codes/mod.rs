//! The one table of errors: each number is used, provoked by a test, explained, and in the docs.

mod provoked;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use gristmill::error::{Code, Report};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn said(arguments: &[&str]) -> String {
    let mut command = Command::cargo_bin("gristmill").unwrap();
    let done = command.env_clear().args(arguments).assert().success();
    String::from_utf8(done.get_output().stdout.clone()).unwrap()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if !path.ends_with("error/table.rs") {
            found.push(path);
        }
    }
}

/// The codes that a text names.
fn named(text: &str) -> BTreeSet<Code> {
    let is_named = |code: &&Code| {
        let name = format!("Code::{code:?}");
        text.match_indices(&name).any(|(at, _)| {
            let after = text[at + name.len()..].chars().next();
            !after.is_some_and(char::is_alphanumeric)
        })
    };
    Code::ALL.iter().filter(is_named).copied().collect()
}

/// The program's text and that of its tests, which assert the codes by name (`rig::failure`).
fn program_and_tests() -> (String, String) {
    let (mut program, mut tests) = (String::new(), String::new());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    sources(&root().join("src"), &mut ours);
    sources(&root().join("tests/it"), &mut theirs);
    for path in ours {
        let text = fs::read_to_string(&path).unwrap();
        let beside = path.components().any(|part| part.as_os_str() == "tests");
        let begin = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
        let (code, inside) = text.split_at(if beside { 0 } else { begin });
        program += code;
        tests += inside;
    }
    theirs.retain(|path| !path.ends_with("error_codes/mod.rs"));
    for path in theirs {
        tests += &fs::read_to_string(path).unwrap();
    }
    (program, tests)
}

#[test]
fn every_code_is_of_some_error_and_of_some_test() {
    let (program, tests) = program_and_tests();
    let all: BTreeSet<_> = Code::ALL.iter().copied().collect();
    let lacks = |text: &str| -> Vec<_> { all.difference(&named(text)).copied().collect() };
    assert_eq!(lacks(&program), [], "no error has them");
    assert_eq!(lacks(&tests), [], "no test provokes them");
}

#[test]
fn no_two_codes_share_a_number() {
    let numbers: BTreeSet<_> = Code::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(numbers.len(), Code::ALL.len());
    assert!(Code::ALL.is_sorted(), "in the order of their numbers");
}

#[test]
fn every_code_is_explained() {
    let list = said(&["explain"]);
    assert_eq!(list.lines().count(), Code::ALL.len());
    for code in Code::ALL {
        assert!(
            !code.meaning().is_empty() && !code.remedy().is_empty(),
            "{code}"
        );
        assert_eq!(code.to_string().parse(), Ok(*code));
    }
    let explained = said(&["explain", "gm0301"]);
    for part in ["GM0301", Code::StoreUnreachable.remedy(), "exit code 4"] {
        assert!(explained.contains(part), "{explained}");
    }
    let mut command = Command::cargo_bin("gristmill").unwrap();
    command.args(["explain", "GM9999"]).assert().code(5);
}

#[test]
fn the_docs_are_the_table() {
    let written = fs::read_to_string(root().join("docs/errors.md")).unwrap();
    let now = said(&["explain", "--markdown"]);
    assert_eq!(
        written, now,
        "gristmill explain --markdown > docs/errors.md"
    );
}

#[test]
fn a_report_begins_with_its_code() {
    let report = Report::new(Code::StoreInUse, "x is in use");
    assert_eq!(report.to_string(), "error[GM0303]: x is in use");
    let mut command = Command::cargo_bin("gristmill").unwrap();
    let failed = command
        .env_clear()
        .args(["config", "check", "--config", "/no/file"]);
    let failed = failed.assert().code(3);
    let said = String::from_utf8(failed.get_output().stderr.clone()).unwrap();
    assert!(said.starts_with("error[GM0201]: "), "{said}");
}
