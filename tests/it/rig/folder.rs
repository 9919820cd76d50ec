//! A server's private folder.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

const PREFIX: &str = "gristmill-rig-";

/// A new empty folder; short, for unix sockets live in it.
pub fn new() -> TempDir {
    sweep(&std::env::temp_dir());
    let prefix = format!("{PREFIX}{}-", std::process::id());
    let folder = tempfile::Builder::new().prefix(&prefix).tempdir();
    folder.expect("a temporary folder")
}

/// Removes what killed test processes left behind.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if owner(&entry.path()).is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn owner(folder: &Path) -> Option<PathBuf> {
    let name = folder.file_name()?.to_str()?;
    let pid = name.strip_prefix(PREFIX)?.split('-').next()?;
    pid.parse::<u32>().ok().map(|pid| pid.to_string().into())
}

/// The last lines of a log, for an error message.
pub fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
