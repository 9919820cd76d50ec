//! What people read first: one page, whose links lead somewhere.

use std::fs;
use std::path::{Path, PathBuf};

/// A README longer than this is no page; its chapters belong in docs/.
const MAX_LINES: usize = 150;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md"), root().join("packaging/README.md")];
    let docs = fs::read_dir(root().join("docs")).unwrap();
    found.extend(docs.map(|entry| entry.unwrap().path()));
    found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    assert!(found.len() > 5, "{found:?}");
    found
}

/// The targets of `[text](target)` that are no addresses.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1);
    let targets = targets.filter_map(|rest| Some(rest.split_once(')')?.0));
    targets.filter(|target| !target.contains("://")).collect()
}

/// The anchors of a document's headings.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.replace(' ', "-");
        kept.replace(
            |letter: char| !letter.is_alphanumeric() && letter != '-',
            "",
        )
    };
    headings.map(anchor).collect()
}

#[test]
fn the_readme_is_one_page() {
    let lines = fs::read_to_string(root().join("README.md"))
        .unwrap()
        .lines()
        .count();
    assert!(
        lines <= MAX_LINES,
        "README.md has {lines} lines, at most {MAX_LINES}"
    );
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in links(&text) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => document.clone(),
                path => document.parent().unwrap().join(path),
            };
            let has_anchor = || {
                let target = fs::read_to_string(&target).unwrap_or_default();
                anchors(&target).iter().any(|known| known == anchor)
            };
            if !target.exists() || !(anchor.is_empty() || has_anchor()) {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn every_chapter_is_found_from_the_readme() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let linked = links(&readme);
    for document in documents() {
        let path = document.strip_prefix(root()).unwrap().to_str().unwrap();
        assert!(
            path == "README.md" || linked.contains(&path),
            "README.md has no link to {path}"
        );
    }
}
