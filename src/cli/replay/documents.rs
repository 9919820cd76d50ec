//! The documents to replay: from files, folders and standard input.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::error::{Code, Report};

/// What stands between a document's name and `.xml` in the file with its expected reply.
const REPLY_SUFFIX: &str = ".reply.xml";

/// One document, and the reply that is expected where somebody wrote one down.
pub(in crate::cli) struct Document {
    /// Its path as given, or `-`.
    pub(in crate::cli) name: String,
    pub(in crate::cli) text: Vec<u8>,
    pub(in crate::cli) expected: Option<String>,
}

/// Reads every document: files as given, folders through and through in order of the names.
pub(in crate::cli) fn collect(paths: &[PathBuf]) -> Result<Vec<Document>, Report> {
    let mut documents = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            documents.push(standard_input()?);
        } else if !is_reply(path) {
            // `*.xml` means the documents.
            add(path, &mut documents)?;
        }
    }
    if documents.is_empty() {
        let report = Report::new(Code::NoDocument, "there is no document to replay");
        return Err(report.hint("documents are files that end in .xml, but not in .reply.xml"));
    }
    Ok(documents)
}

/// Reads one: a file, or standard input where it is named `-`.
pub(in crate::cli) fn one(path: &Path) -> Result<Document, Report> {
    if path == Path::new("-") {
        standard_input()
    } else {
        read(path)
    }
}

fn standard_input() -> Result<Document, Report> {
    let mut text = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut text);
    read.map_err(|error| unreadable(Path::new("standard input"), error))?;
    Ok(Document {
        name: "-".to_owned(),
        text,
        expected: None,
    })
}

fn add(path: &Path, documents: &mut Vec<Document>) -> Result<(), Report> {
    if !path.is_dir() {
        documents.push(read(path)?);
        return Ok(());
    }
    let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(|error| unreadable(path, error))?;
    let mut inside: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    inside.sort();
    inside.retain(|path| !is_hidden(path) && (path.is_dir() || is_document(path)));
    for path in &inside {
        add(path, documents)?;
    }
    Ok(())
}

fn is_document(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "xml") && !is_reply(path)
}

/// An editor's lock, another system's file: nothing that a folder is replayed for.
fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b".")
}

fn is_reply(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().ends_with(REPLY_SUFFIX)
}

fn read(path: &Path) -> Result<Document, Report> {
    let text = fs::read(path).map_err(|error| unreadable(path, error))?;
    let reply = path.with_extension("").with_added_extension("reply.xml");
    let expected = match fs::read_to_string(&reply) {
        Ok(expected) => Some(expected),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(unreadable(&reply, error)),
    };
    Ok(Document {
        name: path.display().to_string(),
        text,
        expected,
    })
}

fn unreadable(path: &Path, error: std::io::Error) -> Report {
    Report::new(
        Code::FileUnreadable,
        format!("{}: cannot be read", path.display()),
    )
    .because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_begin_with_a_dot_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path(".git")).unwrap();
        for name in ["1.xml", "._1.xml", ".git/2.xml"] {
            fs::write(path(name), "<a/>").unwrap();
        }
        std::os::unix::fs::symlink("operator@host.4711:1", path(".#1.xml")).unwrap();
        let documents = collect(&[folder.path().to_owned()]).unwrap();
        let names: Vec<_> = documents.iter().map(|one| Path::new(&one.name)).collect();
        assert_eq!(names, [path("1.xml")]);
    }
}
