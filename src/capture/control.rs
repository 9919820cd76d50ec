//! Two small files by which an operator and a running daemon speak of capturing: what is wanted,
//! and how it goes. Both are of this machine, as the captured files are.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{Error, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::OFlags;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The daemon reads what root has written, and the other way round.
const MODE: u32 = 0o644;

/// What an operator wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Where files are written; `None`: nowhere.
    pub folder: Option<PathBuf>,
    /// Who wants it.
    pub by: String,
    /// Since when; tells orders apart.
    pub since: Timestamp,
}

/// How it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Which order was heard last.
    pub heard: Option<Timestamp>,
    /// Where files are written; `None`: nowhere.
    pub folder: Option<PathBuf>,
    /// Exchanges that were written since then.
    pub captured: u64,
    /// How long they are together.
    pub bytes: u64,
    /// Exchanges that could not be written in time.
    pub dropped: u64,
    /// Why nothing more is written, where that was not wanted.
    pub ended: Option<String>,
}

/// The two files.
#[derive(Clone, Debug)]
pub struct Control {
    order: PathBuf,
    progress: PathBuf,
}

impl Control {
    /// The files at this path; they need not be there.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self {
            order: path.to_owned(),
            progress: path.with_added_extension("progress"),
        }
    }

    /// What is wanted; `None`: nothing was ever said.
    pub fn order(&self) -> Result<Option<Order>, Error> {
        read(&self.order)
    }

    /// Says what is wanted.
    pub fn give(&self, order: &Order) -> Result<(), Error> {
        write(&self.order, order)
    }

    /// How it goes; `None`: no daemon has ever heard an order.
    pub fn progress(&self) -> Result<Option<Progress>, Error> {
        read(&self.progress)
    }

    /// Says how it goes.
    pub fn tell(&self, progress: &Progress) -> Result<(), Error> {
        write(&self.progress, progress)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let mut options = OpenOptions::new();
    // A pipe in its place would be waited for.
    let opened = options
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path);
    let mut file = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if !file.metadata()?.is_file() {
        let what = format!("{} is no file", path.display());
        return Err(Error::new(ErrorKind::InvalidInput, what));
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(Some(serde_json::from_slice(&text)?))
}

/// Whole or not at all, for somebody reads it at the same time.
fn write(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let beside = path.with_added_extension(std::process::id().to_string());
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(MODE);
    let mut file = options.open(&beside)?;
    file.set_permissions(Permissions::from_mode(MODE))?;
    file.write_all(&serde_json::to_vec(value)?)?;
    fs::rename(beside, path)
}
