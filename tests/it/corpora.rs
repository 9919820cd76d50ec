//! What fuzzers begin with and have found is replayed on the same functions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use rstest::rstest;

#[path = "../../fuzz/targets.rs"]
mod targets;

#[rstest]
#[case::reader("reader", targets::reader, 40)]
#[case::guard("guard", targets::guard, 15)]
#[case::configuration("configuration", targets::configuration, 25)]
#[case::runner_socket("runner_socket", targets::runner_socket, 12)]
#[case::runner_answers("runner_answers", targets::runner_answers, 15)]
fn the_corpus_is_borne(#[case] name: &str, #[case] target: fn(&[u8]), #[case] at_least: usize) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut replayed = 0;
    for entry in fs::read_dir(corpus.join(name)).unwrap() {
        let path = entry.unwrap().path();
        eprintln!("{}", path.display());
        target(&fs::read(&path).unwrap());
        replayed += 1;
    }
    assert!(replayed >= at_least, "only {replayed} files");
}

/// The fuzzers are a crate of their own, which nobody builds every day: they compile, for each does
/// no more than to call its target, and the targets are compiled here; and none is forgotten.
#[test]
fn every_fuzzer_does_no_more_than_to_call_its_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&manifest).unwrap();
    let script = fs::read_to_string(root.join(".ci/fuzz")).unwrap();
    let targets = fs::read_to_string(root.join("fuzz/targets.rs")).unwrap();
    let written = |folder: &str| {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_owned());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    };
    let names = written("fuzz/fuzz_targets");
    assert_eq!(names, written("fuzz/corpus"));
    for name in &names {
        let file = root.join(format!("fuzz/fuzz_targets/{name}.rs"));
        let calls = format!("libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::{name}(bytes));");
        let whole = format!(
            "#![no_main]\n\n#[path = \"../targets.rs\"]\n\
             #[allow(dead_code, reason = \"one of five\")]\nmod targets;\n\n{calls}\n"
        );
        assert_eq!(fs::read_to_string(file).unwrap(), whole, "{name}");
        let is_named = |bin: &toml::Value| bin["name"].as_str() == Some(name);
        let bins = manifest["bin"].as_array().unwrap();
        assert!(bins.iter().any(is_named), "fuzz/Cargo.toml lacks {name}");
        assert!(
            script.contains(&format!(" {name}")),
            ".ci/fuzz lacks {name}"
        );
    }
    // What the targets use, the fuzzers' crate has.
    let dependencies = manifest["dependencies"].as_table().unwrap();
    for line in targets.lines().filter_map(|line| line.strip_prefix("use ")) {
        let used = line.split("::").next().unwrap();
        let known =
            ["std", "core"].contains(&used) || dependencies.contains_key(&used.replace('_', "-"));
        assert!(known, "fuzz/Cargo.toml lacks {used}");
    }
}

/// What is locked, by name; several versions of one are joined.
fn locked(file: &str) -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let lock: toml::Table = toml::from_str(&text).unwrap();
    let mut packages = BTreeMap::<_, (BTreeSet<_>, BTreeSet<_>)>::new();
    for package in lock["package"].as_array().unwrap() {
        let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
        let (versions, needs) = packages.entry(text(&package["name"])).or_default();
        versions.insert(text(&package["version"]));
        let all = package.get("dependencies").and_then(toml::Value::as_array);
        needs.extend(all.into_iter().flatten().map(text));
    }
    packages
}

/// The fuzzers' crate, which is locked by itself, feeds the program that is built elsewhere.
#[test]
fn the_fuzzers_have_the_programs_crates() {
    let (ours, theirs) = (locked("Cargo.lock"), locked("fuzz/Cargo.lock"));
    let ((_, we_need), (_, they_need)) = (&ours["gristmill"], &theirs["gristmill"]);
    let manifest: toml::Table = toml::from_str(include_str!("../../Cargo.toml")).unwrap();
    for name in manifest["dependencies"].as_table().unwrap().keys() {
        let is_it = |need: &&String| need.split(' ').next() == Some(name);
        assert!(
            we_need.iter().any(|need| is_it(&need)),
            "{name} is not locked"
        );
        assert!(
            they_need.iter().any(|need| is_it(&need)),
            "fuzz/Cargo.lock lacks {name}: cargo update --workspace --manifest-path fuzz/Cargo.toml"
        );
    }
    for (name, (versions, _)) in &theirs {
        let known = ours.get(name).map(|(known, _)| known);
        let other: Vec<_> = known
            .into_iter()
            .flat_map(|known| versions.difference(known))
            .collect();
        assert!(other.is_empty(), "fuzz/Cargo.lock has {name} {other:?}");
    }
}
