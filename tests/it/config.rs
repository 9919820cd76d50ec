//! Each file below `fixtures/config/invalid` holds one mistake, and says in its first line what the
//! report must contain (several parts apart by `|`).

use std::fs;
use std::path::Path;

use gristmill::config::{FileChoice, Sources, load};
use gristmill::error::Kind;

/// Whether it begins with the file, a line and a column.
fn has_place(what: &str, file: &Path) -> bool {
    let place = what.strip_prefix(&format!("{}:", file.display()));
    let mut numbers = place.unwrap_or_default().splitn(3, ':');
    let mut is_number = || numbers.next().is_some_and(|one| one.parse::<u32>().is_ok());
    is_number() && is_number()
}

#[test]
fn every_mistake_is_reported_with_its_place_and_a_way_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config/invalid");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let wanted = text
            .lines()
            .next()
            .unwrap()
            .strip_prefix("# expect: ")
            .unwrap();
        let file = FileChoice::Named(path.clone());
        let report = load(&Sources {
            file,
            ..Sources::default()
        })
        .expect_err(&format!("{} must be refused", path.display()));
        assert_eq!(report.kind(), Kind::Configuration);
        assert!(has_place(&report.what, &path), "{report}");
        assert!(report.hint.is_some(), "{}: no hint", path.display());
        assert!(!report.to_string().contains("secret"), "a secret is shown");
        for part in wanted.split('|') {
            let report = report.to_string();
            assert!(
                report.contains(part),
                "{}:\n{report}\nlacks {part}",
                path.display()
            );
        }
        seen += 1;
    }
    assert!(seen >= 25, "{seen} files");
}
