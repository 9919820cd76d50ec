//! What may stand in files that are handed out.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Words of one machine or one place of work, in two halves, so that this file has none of them.
const LOCAL: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("/ho", "me/"),
    ("/ro", "ot/"),
    ("shared/", "design"),
    ("shared/", "research"),
    ("index-", "url"),
    ("replace-", "with"),
];

/// The files under version control; all files where there is no repository.
fn tracked() -> Vec<String> {
    let git = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(ROOT)
        .output();
    let listed = git
        .ok()
        .filter(|output| output.status.success() && !output.stdout.is_empty());
    let find = || {
        let (targets, venv) = (
            ["-path", "./target", "-o", "-path", "./.venv"],
            ["-prune", "-o"],
        );
        let mut find = Command::new("find");
        find.arg(".")
            .args(targets)
            .args(venv)
            .args(["-type", "f", "-print0"]);
        find.current_dir(ROOT).output().expect("find")
    };
    let listed = listed.unwrap_or_else(find).stdout;
    let names = listed
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    names
        .map(|name| String::from_utf8(name.to_vec()).unwrap())
        .collect()
}

#[test]
fn no_file_tells_of_one_machine() {
    let mut problems = Vec::new();
    for file in tracked() {
        // A file that was deleted and not yet committed is still listed.
        let Ok(bytes) = std::fs::read(Path::new(ROOT).join(&file)) else {
            continue;
        };
        let text = String::from_utf8_lossy(&bytes);
        for (number, line) in text.lines().enumerate() {
            let words = LOCAL
                .iter()
                .map(|(first, second)| format!("{first}{second}"));
            if let Some(word) = words.into_iter().find(|word| stands_in(line, word)) {
                problems.push(format!("{file}:{}: {word}", number + 1));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// Whether a word begins in the line; a path only where it is absolute.
fn stands_in(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|letter| letter.is_alphanumeric() || "_-.}>".contains(letter))
    })
}

#[test]
fn the_lock_file_is_tracked() {
    assert!(
        tracked()
            .iter()
            .any(|file| file.trim_start_matches("./") == "Cargo.lock")
    );
}

/// The crates that a build for this machine takes.
fn crates() -> Vec<Value> {
    let rustc = Command::new("rustc").arg("-vV").output().expect("rustc");
    let rustc = String::from_utf8(rustc.stdout).unwrap();
    let host = rustc
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .expect("a host");
    let metadata = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--filter-platform",
            host,
        ])
        .current_dir(ROOT)
        .output()
        .expect("cargo metadata");
    let said = String::from_utf8_lossy(&metadata.stderr);
    assert!(metadata.status.success(), "cargo metadata: {said}");
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let crates = metadata["packages"].as_array().expect("packages").clone();
    assert!(crates.len() > 100, "only {} crates", crates.len());
    crates
}

fn deny() -> toml::Value {
    let text = std::fs::read_to_string(Path::new(ROOT).join("deny.toml")).unwrap();
    toml::from_str(&text).unwrap()
}

fn strings<'a>(list: &'a toml::Value, key: Option<&str>) -> Vec<&'a str> {
    let items = list.as_array().expect("a list").iter();
    let texts = items.map(|item| {
        key.map_or(item, |key| &item[key])
            .as_str()
            .expect("a string")
    });
    texts.collect()
}

#[test]
fn crates_keep_to_the_lists_of_deny_toml() {
    let deny = deny();
    let licences = strings(&deny["licenses"]["allow"], None);
    let banned = strings(&deny["bans"]["deny"], Some("crate"));
    let sources = strings(&deny["sources"]["allow-registry"], None);
    let mut problems = Vec::new();
    for package in crates() {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or("none");
        if !allows(licence, &licences) {
            problems.push(format!("{name}: licence {licence}"));
        }
        if banned.contains(&name) {
            problems.push(format!("{name} is banned"));
        }
        let source = package["source"].as_str();
        let ours = source.is_none() && name == env!("CARGO_PKG_NAME");
        let known = source.and_then(|source| source.strip_prefix("registry+"));
        if !ours && !known.is_some_and(|known| sources.contains(&known)) {
            problems.push(format!("{name}: source {source:?}"));
        }
    }
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// Whether a licence expression can be met: every name in it is true where it is allowed, `AND`
/// binds closer than `OR`.
fn allows(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let mut words: Vec<_> = spaced.split_whitespace().rev().collect();
    let met = any(&mut words, allowed);
    met && words.is_empty()
}

fn any(words: &mut Vec<&str>, allowed: &[&str]) -> bool {
    let mut met = all(words, allowed);
    while words.pop_if(|word| *word == "OR").is_some() {
        met |= all(words, allowed);
    }
    met
}

fn all(words: &mut Vec<&str>, allowed: &[&str]) -> bool {
    let mut met = one(words, allowed);
    while words.pop_if(|word| *word == "AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Vec<&str>, allowed: &[&str]) -> bool {
    match words.pop() {
        Some("(") => any(words, allowed) & words.pop_if(|word| *word == ")").is_some(),
        Some(name) => {
            let exception = words
                .pop_if(|word| *word == "WITH")
                .and_then(|_| words.pop());
            exception.is_none() && allowed.contains(&name)
        }
        None => false,
    }
}

#[test]
fn licence_expressions_are_understood() {
    let cases = [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("MIT/GPL-3.0", true),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR GPL-3.0) AND ISC", true),
        ("(MIT OR ISC) AND GPL-3.0 OR GPL-2.0", false),
        ("ISC WITH strings", false),
        ("none", false),
    ];
    for (expression, met) in cases {
        assert_eq!(allows(expression, &["MIT", "ISC"]), met, "{expression}");
    }
}
