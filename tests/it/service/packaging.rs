//! The alert rules and the dashboard: they hold, and name only what a scrape has.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::metrics::busy_daemon;
use crate::rig::gristmill::ACCOUNTS;
use crate::rig::process::program;
use crate::rig::prosody::Prosody;

fn packaged(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("packaging").join(name)
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text.split(|letter| !is_part(letter));
    let is_ours = |word: &&str| {
        word.starts_with("gristmill_") || (word.starts_with("process_") && word.len() > 8)
    };
    words.filter(is_ours).collect()
}

#[test]
fn only_metrics_that_there_are_are_named() {
    let server = Prosody::start_fast(ACCOUNTS);
    let (_daemon, scrape) = busy_daemon(&server);
    let there = names(&scrape.0);
    for name in ["alerts.yml", "alerts-test.yml", "grafana-dashboard.json"] {
        let text = fs::read_to_string(packaged(name)).unwrap();
        let named = names(&text);
        assert!(named.len() > 5, "{name}: {named:?}");
        let missing: Vec<_> = named.difference(&there).collect();
        assert!(missing.is_empty(), "{name}: {missing:?}");
    }
}

#[test]
fn the_dashboard_is_json_with_a_query_in_each_panel() {
    let text = fs::read_to_string(packaged("grafana-dashboard.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 8);
    for panel in panels {
        let queries = panel["targets"].as_array().unwrap();
        assert!(!queries.is_empty(), "{panel}");
        for query in queries {
            assert!(
                !names(query["expr"].as_str().unwrap()).is_empty(),
                "{query}"
            );
        }
    }
}

#[test]
fn the_alert_rules_pass_their_tests() {
    for (what, file) in [("check", "alerts.yml"), ("test", "alerts-test.yml")] {
        let mut promtool = Command::new(program("promtool", "prometheus"));
        let output = promtool.args([what, "rules"]).arg(packaged(file)).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}
