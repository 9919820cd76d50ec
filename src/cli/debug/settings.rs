//! The configuration as a bundle shows it.

use std::fmt::Write as _;

use toml::Value;

use crate::cli::config::leaves;
use crate::config::{self, Loaded};
use crate::error::Report;

/// What stands for a value that is not shown.
const HIDDEN: &str = "(not shown)";

/// Every value, and the layer that it came from.
pub(super) fn effective(loaded: &Loaded) -> String {
    let mut text = String::new();
    for (key, value) in leaves(&loaded.tree) {
        let source = loaded.sources.get(&key).map(ToString::to_string);
        let source = source.unwrap_or_default();
        let shown = if is_shown(&key, &value) {
            value.to_string()
        } else {
            HIDDEN.to_owned()
        };
        let _ = writeln!(text, "{key} = {shown}  # {source}");
    }
    text
}

/// A password that was put where its file's path belongs is no path.
fn is_shown(key: &str, value: &Value) -> bool {
    !key.contains("password") || value.as_str().is_some_and(|path| path.starts_with('/'))
}

/// Why there is none. What the message quotes was written by somebody who may have put a secret
/// in the wrong place; so were the environment's values.
pub(super) fn broken(report: &Report) -> String {
    let names = config::environment().into_iter().map(|(name, _)| name);
    let names: Vec<_> = names.collect();
    let mut text = format!("the configuration cannot be used: {}\n", report.code);
    let causes = report.causes.iter().chain(&report.hint);
    for words in [&report.what].into_iter().chain(causes) {
        let _ = writeln!(text, "{}", without_quotations(words));
    }
    let _ = writeln!(text, "set in the environment: {}", names.join(", "));
    text
}

/// The text with dots for all that stands in quotation marks.
fn without_quotations(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut open = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match open {
            None => {
                kept.push(letter);
                if matches!(letter, '"' | '`') {
                    kept.push('…');
                    open = Some(letter);
                }
            }
            Some(_) if letter == '\\' => drop(letters.next()),
            Some(mark) if letter == mark => {
                kept.push(letter);
                open = None;
            }
            Some(_) => {}
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotations_are_left_out() {
        for (text, kept) in [
            (
                r#"a.toml:1:2: x: "pass \" word" is none of "a""#,
                r#"a.toml:1:2: x: "…" is none of "…""#,
            ),
            ("unknown `pass", "unknown `…"),
            ("plain", "plain"),
        ] {
            assert_eq!(without_quotations(text), kept);
        }
    }

    #[test]
    fn only_a_path_is_shown_of_a_password() {
        let shown = |key, value: &str| is_shown(key, &Value::String(value.to_owned()));
        assert!(shown("xmpp.password_file", "/etc/x"));
        assert!(!shown("xmpp.password_file", "hunter2"));
        assert!(shown("xmpp.jid", "a@b/c"));
    }
}
