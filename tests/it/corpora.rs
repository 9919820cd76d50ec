//! What fuzzers begin with and have found is replayed on the same functions.

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
