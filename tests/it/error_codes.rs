//! The one table of errors: each number is used, explained, and in the docs.

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

#[test]
fn every_code_is_of_some_error_and_no_two_share_a_number() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let text: String = files
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let is_used = |code: &&Code| {
        let name = format!("Code::{code:?}");
        text.match_indices(&name).any(|(at, _)| {
            let after = text[at + name.len()..].chars().next();
            !after.is_some_and(char::is_alphanumeric)
        })
    };
    let unused: Vec<_> = Code::ALL.iter().filter(|code| !is_used(code)).collect();
    assert!(unused.is_empty(), "{unused:?}");
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
