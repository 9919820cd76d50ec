//! The folder: below it one for each owner, and in that one a document and its reply for each
//! exchange, in the order in which they were answered.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{Error, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::bridge::Exchange;
use crate::windmill::{CallKind, ELSEWHERE};

/// Nobody else reads what jobs are made of.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// What ends the name of a file with a document, and of one with its reply.
const DOCUMENT: &str = ".xml";
const REPLY: &str = ".reply.xml";

/// How much a folder may hold. Then capturing stops, for a conversation can be replayed only with
/// its beginning.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// Exchanges.
    pub exchanges: u64,
    /// Bytes, of all files together.
    pub bytes: u64,
}

/// Why nothing more is written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// It is full.
    #[error("{0}")]
    Full(&'static str),
    /// It cannot be written to.
    #[error("{}: {error}", path.display())]
    Unwritable { path: PathBuf, error: Error },
}

/// A folder that is written to.
pub(super) struct Folder {
    root: PathBuf,
    caps: Caps,
    /// The number of the latest exchange.
    latest: u64,
    /// What is there, with what was there before.
    exchanges: u64,
    bytes: u64,
}

impl Folder {
    /// Makes it where it is not there; what is in it stays, and counts.
    pub(super) fn open(root: PathBuf, caps: Caps) -> Result<Self, Ended> {
        make(&root)?;
        let mut folder = Self {
            root,
            caps,
            latest: 0,
            exchanges: 0,
            bytes: 0,
        };
        folder.count().map_err(|error| Ended::Unwritable {
            path: folder.root.clone(),
            error,
        })?;
        Ok(folder)
    }

    fn count(&mut self) -> Result<(), Error> {
        for owner in fs::read_dir(&self.root)? {
            let owner = owner?.path();
            if !owner.is_dir() {
                continue;
            }
            for file in fs::read_dir(owner)? {
                let file = file?;
                let name = file.file_name().to_string_lossy().into_owned();
                self.bytes += file.metadata()?.len();
                if name.ends_with(DOCUMENT) && !name.ends_with(REPLY) {
                    self.exchanges += 1;
                }
                let number = name
                    .split('-')
                    .next()
                    .and_then(|number| number.parse().ok());
                self.latest = self.latest.max(number.unwrap_or(0));
            }
        }
        Ok(())
    }

    /// Writes one exchange; how many bytes that were. The reply comes first, so that no document
    /// is ever without one.
    pub(super) fn add(&mut self, exchange: &Exchange) -> Result<u64, Ended> {
        let reply = format!("{}\n{ELSEWHERE}\n", exchange.reply.trim_end());
        let bytes = exchange.document.len() + reply.len();
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if self.exchanges >= self.caps.exchanges {
            return Err(Ended::Full("capture.max_exchanges are written"));
        }
        if self.bytes.saturating_add(bytes) > self.caps.bytes {
            return Err(Ended::Full("capture.max_size is reached"));
        }
        let owner = self.root.join(file_name(exchange.owner.as_str()));
        make(&owner)?;
        self.latest += 1;
        let call = exchange.call.map_or("unreadable", CallKind::name);
        let name = format!("{:08}-{call}", self.latest);
        write(&owner.join(format!("{name}{REPLY}")), &reply)?;
        write(&owner.join(format!("{name}{DOCUMENT}")), &exchange.document)?;
        self.exchanges += 1;
        self.bytes += bytes;
        Ok(bytes)
    }
}

fn make(folder: &Path) -> Result<(), Ended> {
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(FOLDER_MODE).create(folder);
    made.map_err(|error| Ended::Unwritable {
        path: folder.to_owned(),
        error,
    })
}

/// Never over what is there, be it a link.
fn write(path: &Path, text: &str) -> Result<(), Ended> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(FILE_MODE);
    let written = file
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Ended::Unwritable {
        path: path.to_owned(),
        error,
    })
}

/// An owner's name as one of a file: what could mean something else is written as its number.
fn file_name(owner: &str) -> String {
    let mut name = String::new();
    for (at, letter) in owner.chars().enumerate() {
        let plain = letter.is_ascii_alphanumeric() || matches!(letter, '@' | '_' | '-');
        if plain || (letter == '.' && at > 0) {
            name.push(letter);
        } else {
            name += "%";
            name += &u32::from(letter).to_string();
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::job::Owner;

    const CAPS: Caps = Caps {
        exchanges: 3,
        bytes: 10_000,
    };

    fn exchange(owner: &str, document: &str) -> Exchange {
        Exchange {
            owner: Owner::new(owner).unwrap(),
            call: Some(CallKind::GetStatus),
            document: document.to_owned(),
            reply: "<getStatusResponse/>".to_owned(),
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_in_order_and_nobody_elses() {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("a/b");
        let mut folder = Folder::open(root.clone(), CAPS).unwrap();
        folder.add(&exchange("../é", "<x/>")).unwrap();
        drop(folder);
        let mut folder = Folder::open(root.clone(), CAPS).unwrap();
        folder.add(&exchange("s@grid.test", "<x/>")).unwrap();
        assert_eq!(names(&root), ["%46.%47%233", "s@grid.test"]);
        let inside = root.join("s@grid.test");
        let [reply, document] = ["reply.xml", "xml"].map(|end| format!("00000002-getStatus.{end}"));
        assert_eq!(names(&inside), [&*reply, &*document]);
        assert_eq!(fs::read_to_string(inside.join(&document)).unwrap(), "<x/>");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&inside.join(document)), 0o600);
        assert_eq!(mode(&inside.join(reply)), 0o600);
        assert_eq!((mode(&inside), mode(&root)), (0o700, 0o700));
    }

    #[test]
    fn a_full_folder_takes_no_more_also_when_it_is_opened_again() {
        let root = tempfile::tempdir().unwrap();
        let open = || Folder::open(root.path().to_owned(), CAPS).unwrap();
        let mut folder = open();
        let long = "x".repeat(10_000);
        let full = folder.add(&exchange("a", &long)).unwrap_err();
        assert!(full.to_string().contains("max_size"), "{full}");
        for _ in 0..3 {
            open().add(&exchange("a", "<x/>")).unwrap();
        }
        let full = open().add(&exchange("b", "<x/>")).unwrap_err();
        assert!(full.to_string().contains("max_exchanges"), "{full}");
        assert_eq!(names(root.path()), ["a"]);
    }
}
