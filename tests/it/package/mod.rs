//! The Debian package, built around the program under test.

mod contents;
mod installed;
mod service;
mod units;

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A package in a folder of its own.
pub struct Package {
    pub file: PathBuf,
    _folder: TempDir,
}

impl Package {
    pub fn build(version: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let script = Path::new(ROOT).join("packaging/build-deb");
        let built = Command::new(script)
            .args(["--binary", env!("CARGO_BIN_EXE_gristmill"), "--fast", "yes"])
            .args(["--version", version, "--output"])
            .arg(folder.path())
            .output()
            .expect("packaging/build-deb");
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{said}");
        let file = String::from_utf8(built.stdout).expect("a path");
        Self {
            file: file.trim_end().into(),
            _folder: folder,
        }
    }
}
