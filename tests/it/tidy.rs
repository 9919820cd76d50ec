//! The house rules that a compiler does not know.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// A source file longer than this (tests not counted) wants to be two.
const MAX_LINES: usize = 400;

/// Which rooms a room may import; what is not listed may import nothing of ours.
const ARROWS: &[(&str, &[&str])] = &[
    ("job", &[]),
    ("vitals", &[]),
    ("windmill", &["job"]),
    ("runner", &["job", "vitals"]),
    ("buffer", &["job", "vitals"]),
    ("conductor", &["buffer", "job", "runner", "vitals"]),
    ("bridge", &["job", "windmill", "buffer"]),
    ("capture", &["bridge", "windmill"]),
    ("xmpp", &["bridge", "job", "vitals", "windmill"]),
    ("http", &["buffer", "conductor", "job", "vitals", "xmpp"]),
    ("error", &[]),
    (
        "config",
        &[
            "bridge", "buffer", "error", "http", "job", "runner", "windmill", "xmpp",
        ],
    ),
    (
        "daemon",
        &[
            "bridge",
            "buffer",
            "capture",
            "conductor",
            "config",
            "error",
            "http",
            "job",
            "runner",
            "vitals",
            "windmill",
            "xmpp",
        ],
    ),
    (
        "cli",
        &[
            "bridge",
            "buffer",
            "capture",
            "conductor",
            "config",
            "daemon",
            "error",
            "http",
            "job",
            "runner",
            "windmill",
            "xmpp",
        ],
    ),
    ("main", &["cli", "runner"]),
];

/// What only some rooms (or files) may do: the words that give it away, and where they may stand.
const RESERVED: &[(&str, &[&str], &[&str])] = &[
    (
        "SQL belongs in buffer/ and schema/",
        &[
            "SELECT ",
            "INSERT INTO",
            "DELETE FROM",
            "CREATE TABLE",
            "ALTER TABLE",
            "PRAGMA ",
        ],
        &["buffer"],
    ),
    (
        "concrete stores are named in buffer/, daemon and cli/ only",
        &["buffer::sqlite", "buffer::mysql", "buffer::gate"],
        &["buffer", "daemon", "cli"],
    ),
    (
        "child processes belong in runner/",
        &[
            "process::{Command",
            "process::Command",
            "process::Child",
            "Command::new(",
        ],
        &["runner", "cli/debug/journal.rs"],
    ),
    (
        "the environment is read in config only",
        &[
            "env::var",
            "from_default_env",
            "EnvFilter::from_env",
            "EnvFilter::try_from_env",
        ],
        &["config"],
    ),
    (
        "the wall clock is the daemon's; others are handed one",
        &["Timestamp::now", "SystemTime::now", "Zoned::now"],
        &["daemon"],
    ),
];

/// Modules of these names have no one subject.
const SUBJECTLESS: &[&str] = &["common", "helper", "helpers", "misc", "util", "utils"];

/// A source file of ours.
struct Source {
    path: PathBuf,
    /// The top-level module that it is part of.
    room: String,
    /// Its lines without comments, up to its tests.
    code: String,
    /// How many lines it has, up to its tests.
    lines: usize,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = files(&root().join(folder));
    found.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    found
}

fn sources() -> Vec<Source> {
    let found: Vec<_> = rust_files("src")
        .iter()
        .map(|path| Source::read(path))
        .collect();
    assert!(found.len() > 10, "only {} files of source", found.len());
    found
}

impl Source {
    fn read(path: &Path) -> Self {
        let inside = path.strip_prefix(root().join("src")).unwrap();
        let first = inside.components().next().unwrap();
        let room = Path::new(&first).file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(path).unwrap();
        let named_tests = |part: Component| part.as_os_str() == "tests";
        let is_tests = inside.with_extension("").components().any(named_tests);
        let before_tests = if is_tests { "" } else { before_tests(&text) };
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        let code: Vec<_> = before_tests.lines().filter(is_code).collect();
        Self {
            path: inside.to_owned(),
            room: room.to_owned(),
            code: code.join("\n"),
            lines: before_tests.lines().count(),
        }
    }

    /// The rooms that it imports.
    fn imports(&self) -> BTreeSet<String> {
        let parts = self.code.split("crate::").skip(1);
        let own_rooms = parts.flat_map(|rest| match rest.strip_prefix('{') {
            Some(list) => first_names(list),
            None => vec![name(rest)],
        });
        own_rooms.filter(|room| *room != self.room).collect()
    }
}

fn before_tests(text: &str) -> &str {
    let tests = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    &text[..tests]
}

fn name(text: &str) -> String {
    text.chars()
        .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
        .collect()
}

/// The first names of the paths in a braced list: `a::b, c::{d, e}}` has a and c.
fn first_names(list: &str) -> Vec<String> {
    let (mut names, mut depth, mut start) = (Vec::new(), 0, true);
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            _ if start && !letter.is_whitespace() => {
                names.push(name(&list[at..]));
                start = false;
            }
            _ => (),
        }
    }
    names
}

fn check(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn names_are_read_from_use_lines() {
    let list = "job::{self, Owner},\n    windmill,\n    buffer::Gate as G,\n};\nuse x::{y};";
    assert_eq!(first_names(list), ["job", "windmill", "buffer"]);
}

#[test]
fn arrows_point_from_who_may_import_to_who_is_imported() {
    let mut problems = Vec::new();
    for source in sources().iter().filter(|source| source.room != "lib") {
        let (path, room) = (source.path.display(), &source.room);
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| name == room) else {
            problems.push(format!(
                "src/{path}: the room {room} is not on the map of tidy.rs"
            ));
            continue;
        };
        for import in source.imports() {
            if !allowed.contains(&import.as_str()) {
                problems.push(format!("src/{path}: {room} may not import {import}"));
            }
        }
        let depth = source.path.components().count();
        let out = "super::".repeat(depth);
        if source.code.contains(&out) {
            problems.push(format!(
                "src/{path}: write crate:: where {out} leaves the room"
            ));
        }
    }
    check(&problems);
}

#[test]
fn only_its_room_does_what_is_reserved() {
    let mut problems = Vec::new();
    for source in sources() {
        for (rule, words, rooms) in RESERVED {
            let word = words.iter().find(|word| source.code.contains(**word));
            let path = source.path.display().to_string();
            let may = rooms.contains(&source.room.as_str()) || rooms.contains(&path.as_str());
            if let Some(word) = word.filter(|_| !may) {
                problems.push(format!("src/{path}: {rule}, here is {word:?}"));
            }
        }
    }
    check(&problems);
}

#[test]
fn files_are_short() {
    let long = sources()
        .into_iter()
        .filter(|source| source.lines > MAX_LINES);
    let problems = long.map(|source| format!("src/{}: {}", source.path.display(), source.lines));
    check(&problems.collect::<Vec<_>>());
}

#[test]
fn every_module_has_a_subject() {
    let files = rust_files("src").into_iter().chain(rust_files("tests"));
    let nameless = files.filter(|path| {
        let mut parts = path.strip_prefix(root()).unwrap().components();
        parts.any(|part| {
            let stem = Path::new(&part).file_stem().unwrap().to_str().unwrap();
            SUBJECTLESS.contains(&stem)
        })
    });
    check(
        &nameless
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>(),
    );
}

/// Cargo does not see a file that no `mod` names, so its tests would never run.
#[test]
fn no_file_is_forgotten() {
    let files = rust_files("src").into_iter().chain(rust_files("tests/it"));
    let mut problems = Vec::new();
    for path in files {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let folder = path.parent().unwrap();
        let (module, parents) = match stem {
            "main" | "lib" => continue,
            "mod" => (
                folder.file_name().unwrap().to_str().unwrap(),
                folder.parent().unwrap(),
            ),
            stem => (stem, folder),
        };
        let beside = parents.with_extension("rs");
        let parents = ["mod.rs", "lib.rs", "main.rs"].map(|name| parents.join(name));
        let mut parents = parents.into_iter().chain([beside]);
        let declares = |line: &str| line.trim_end().ends_with(&format!("mod {module};"));
        let named = parents
            .any(|parent| fs::read_to_string(parent).is_ok_and(|text| text.lines().any(declares)));
        if !named {
            problems.push(format!("{}: no `mod {module};` names it", path.display()));
        }
    }
    check(&problems);
}
