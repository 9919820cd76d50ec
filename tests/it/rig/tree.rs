//! A small Debian in a folder, to install the package in. Made by `make install-test-deps`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::folder;
use super::process::{command, other_debian, program};

/// This machine's release.
const MADE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.tools/debian");

/// A copy of it; gone when dropped.
pub struct Tree {
    folder: TempDir,
}

impl Tree {
    /// One in which nothing was installed.
    pub fn new() -> Self {
        let made = other_debian("bare").unwrap_or_else(|| MADE.into());
        assert!(
            made.join("complete").exists(),
            "{} is missing: make install-test-deps",
            made.display()
        );
        let folder = folder::new();
        let copied = Command::new("cp")
            .args(["--archive", "--reflink=auto"])
            .args([&made, &folder.path().join("root")])
            .status();
        assert!(copied.expect("cp").success(), "the tree cannot be copied");
        Self { folder }
    }

    /// Its root folder.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Copies a file into its `/srv`, and says its name in there.
    pub fn take_in(&self, file: &Path) -> String {
        let name = file.file_name().expect("a file").display();
        let inside = format!("/srv/{name}");
        std::fs::copy(file, self.root().join(inside.trim_start_matches('/'))).expect("a copy");
        inside
    }

    /// What is there at this absolute path.
    pub fn holds(&self, path: &str) -> bool {
        self.root().join(path.trim_start_matches('/')).exists()
    }

    /// Runs a shell script in it, as its root.
    pub fn run(&self, script: &str) -> Output {
        let mut command = self.container();
        command.args(["--pipe", "--setenv=DEBIAN_FRONTEND=noninteractive"]);
        command.args(["/bin/sh", "-ec", script]);
        command.output().expect("systemd-nspawn")
    }

    /// A container around it, on the host's network; ended when we die.
    pub fn container(&self) -> Command {
        let mut container = command(program("systemd-nspawn", "systemd-container"));
        container
            .args(["--quiet", "--register=no", "--keep-unit"])
            .args(["--resolv-conf=off", "--timezone=off"])
            .arg(format!("--machine=gristmill-{}", std::process::id()))
            .arg("--directory")
            .arg(self.root());
        container
    }

    /// The same, which must go well; what it printed.
    pub fn does(&self, script: &str) -> String {
        printed_well(script, &self.run(script))
    }
}

/// What a script printed, which must have gone well.
pub fn printed_well(script: &str, output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{script}\n{printed}\n{said}");
    printed
}
