//! `gristmill config`: check, show, default.

use serde_json::json;
use toml::{Table, Value};

use crate::config::{DEFAULTS, Loaded, secrets};
use crate::daemon;
use crate::error::Report;

use super::args::Config;
use super::output::Output;

pub(super) fn run(command: Config, output: &mut Output) -> Result<(), Report> {
    match command {
        Config::Default => output.text(DEFAULTS),
        Config::Show {
            source,
            origin,
            json,
        } => show(&source.load()?, origin, json, output),
        Config::Check { source, connect } => {
            let loaded = source.load()?;
            daemon::check_daemon(&loaded)?;
            for odd in secrets::oddities(&loaded.config)? {
                output.note(format_args!(
                    "warning: {odd}; next: {}",
                    secrets::ODD_REMEDY
                ));
            }
            if loaded.config.conductor.enabled && !loaded.config.runner.in_process {
                daemon::check_runner(&loaded)?;
            }
            if connect {
                super::in_runtime(daemon::try_connections(&loaded.config))?;
            }
            output.note(if connect {
                "the configuration is sound; the store and the XMPP server let us in, and the runner is well"
            } else {
                "the configuration is sound"
            });
            Ok(())
        }
    }
}

fn show(loaded: &Loaded, origin: bool, json: bool, output: &mut Output) -> Result<(), Report> {
    for (key, value) in leaves(&loaded.tree) {
        let source = loaded
            .sources
            .get(&key)
            .map(ToString::to_string)
            .unwrap_or_default();
        if json {
            output.json(&json!({ "key": key, "value": value, "origin": source }))?;
        } else if origin {
            output.line(format_args!("{key} = {value}  # {source}"))?;
        } else {
            output.line(format_args!("{key} = {value}"))?;
        }
    }
    Ok(())
}

/// Every leaf with its dotted key; the elements of an array of tables are numbered.
pub(super) fn leaves(tree: &Table) -> Vec<(String, Value)> {
    let mut values = Vec::new();
    flatten(tree, "", &mut values);
    values
}

fn flatten(table: &Table, prefix: &str, values: &mut Vec<(String, Value)>) {
    for (key, value) in table {
        flatten_value(value, format!("{prefix}{key}"), values);
    }
}

fn flatten_value(value: &Value, key: String, values: &mut Vec<(String, Value)>) {
    match value {
        Value::Table(table) => flatten(table, &format!("{key}."), values),
        Value::Array(array) if array.iter().all(Value::is_table) => {
            for (index, element) in array.iter().enumerate() {
                flatten_value(element, format!("{key}.{index}"), values);
            }
        }
        leaf => values.push((key, leaf.clone())),
    }
}
