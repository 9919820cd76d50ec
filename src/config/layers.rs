//! Layers of settings, merged key by key, each key remembering where it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use crate::error::{Code, Report};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The compiled-in defaults.
    Default,
    /// A file, and the place in it.
    File {
        /// Its path.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
    },
    /// An environment variable of this name.
    Environment(String),
    /// `--set` on the command line.
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => {
                write!(f, "{}:{line}:{column}", path.display())
            }
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag => f.write_str("--set"),
        }
    }
}

/// The merged tree, and the source of each key in it. Keys are dotted paths; an array's elements
/// are numbered: `supervisor.0.jid`.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The merged tree.
    pub tree: Table,
    /// Where each key came from.
    pub sources: BTreeMap<String, Source>,
}

impl Layers {
    /// Lays the compiled-in text at the bottom.
    pub fn add_defaults(&mut self, text: &str) -> Result<(), Report> {
        self.add_text(text, Path::new("default.toml"), |_| Source::Default)
    }

    /// Lays a file over what is there.
    pub fn add_file(&mut self, path: &Path) -> Result<(), Report> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let what = format!("{}: the configuration cannot be read", path.display());
            Report::new(Code::ConfigUnreadable, what)
                .because(error)
                .hint("name a file that is there, and that whoever runs gristmill may read")
        })?;
        self.add_text(&text, path, |start| {
            let (line, column) = position(&text, start);
            let path = path.to_owned();
            Source::File { path, line, column }
        })
    }

    /// Lays one value over what is there. The value is TOML, or else a bare text.
    pub fn add_value(&mut self, key: &str, value: &str, source: Source) -> Result<(), Report> {
        let parsed = toml::from_str::<Table>(&format!("value = {value}"));
        let parsed = parsed.ok().and_then(|mut table| table.remove("value"));
        let mut value = parsed.unwrap_or_else(|| Value::String(value.to_owned()));
        for part in key.rsplit('.') {
            if part.is_empty() {
                let what = format!("{key:?} is no key of the form section.key");
                return Err(Report::new(Code::KeyForm, what));
            }
            value = Value::Table(Table::from_iter([(part.to_owned(), value)]));
        }
        self.sources.insert(key.to_owned(), source);
        if let Value::Table(table) = value {
            merge(&mut self.tree, table);
        }
        Ok(())
    }

    fn add_text(
        &mut self,
        text: &str,
        path: &Path,
        source: impl Fn(usize) -> Source,
    ) -> Result<(), Report> {
        let parse_error = |error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            let (line, column) = position(text, start);
            let what = format!("{}:{line}:{column}: {}", path.display(), error.message());
            Report::new(Code::ConfigSyntax, what).hint("the file is TOML: https://toml.io")
        };
        let spans = DeTable::parse(text).map_err(parse_error)?;
        note_sources(spans.get_ref(), "", &source, &mut self.sources);
        merge(&mut self.tree, toml::from_str(text).map_err(parse_error)?);
        Ok(())
    }
}

/// The first file that says anything, if one does.
pub(super) fn first_file(sources: &BTreeMap<String, Source>) -> Option<&Path> {
    sources.values().find_map(|source| match source {
        Source::File { path, .. } => Some(&**path),
        _ => None,
    })
}

/// Tables merge key by key; everything else replaces what was there.
fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => merge(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

fn note_sources(
    table: &DeTable<'_>,
    prefix: &str,
    source: &impl Fn(usize) -> Source,
    sources: &mut BTreeMap<String, Source>,
) {
    for (key, value) in table {
        let path = format!("{prefix}{}", key.get_ref());
        sources.insert(path.clone(), source(key.span().start));
        note_inside(value, &path, source, sources);
    }
}

fn note_inside(
    value: &Spanned<DeValue<'_>>,
    path: &str,
    source: &impl Fn(usize) -> Source,
    sources: &mut BTreeMap<String, Source>,
) {
    match value.get_ref() {
        DeValue::Table(table) => note_sources(table, &format!("{path}."), source, sources),
        DeValue::Array(array) => {
            for (index, element) in array.iter().enumerate() {
                let path = format!("{path}.{index}");
                sources.insert(path.clone(), source(element.span().start));
                note_inside(element, &path, source, sources);
            }
        }
        _ => (),
    }
}

/// Line and column, from 1, of a byte in a text.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or("").chars().count();
    (before.matches('\n').count() + 1, column + 1)
}
