//! What holds the runs to their limits, for those who look on beside the runner.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::cgroup::{Delegation, Wanted};
use super::super::wrapper::folder::Folder;

/// The file that says so, as the runner found it at its last start.
const HELD: &str = "held";
/// It is no longer, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// What holds the runs to their limits of memory and processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// The kernel, in cgroups below this one.
    ByCgroup(PathBuf),
    /// The runs' wrappers, for this reason.
    ByPolling(String),
}

impl Held {
    /// As the runner found it at its last start; `None`: none has started in this folder.
    pub fn look(work_dir: &Path) -> io::Result<Option<Self>> {
        let folder = match Folder::open(work_dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            folder => folder?,
        };
        let text = folder.read(HELD, MAX_BYTES)?;
        Ok(text.map(|text| serde_json::from_slice(&text)).transpose()?)
    }

    fn keep(&self, work_dir: &Path) -> io::Result<()> {
        Folder::open(work_dir)?.write(HELD, &serde_json::to_vec(self)?)
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByCgroup(path) => {
                let path = path.display();
                write!(
                    f,
                    "each run has a cgroup below {path}, which holds it as one"
                )
            }
            Self::ByPolling(why) => {
                write!(f, "runs have no cgroups, their processes are polled: {why}")
            }
        }
    }
}

/// Takes the cgroup that was handed to the runner, if there is one, and says so.
pub(super) fn take(wanted: &Wanted, work_dir: &Path) -> Option<Delegation> {
    let taken = Delegation::take(wanted);
    let held = match &taken {
        Ok(delegation) => Held::ByCgroup(delegation.path().to_owned()),
        Err(why) => Held::ByPolling(why.to_string()),
    };
    if taken.is_err() && matches!(wanted, Wanted::At(_)) {
        tracing::warn!("{held}");
    } else {
        tracing::info!("{held}");
    }
    if let Err(error) = held.keep(work_dir) {
        tracing::warn!(%error, "{HELD} cannot be written below {}", work_dir.display());
    }
    taken.ok()
}
