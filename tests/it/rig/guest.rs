//! A small Debian on a kernel of its own, emulated: for what needs cgroup v2, whatever this machine
//! has.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::folder::tail;
use super::process::{Process, command, program};
use super::tree::Tree;

const KERNEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.tools/kernel/vmlinuz");
/// Room for a tree and what is put into it, in bytes.
const DISK_BYTES: u64 = 700 << 20;
/// A guest that has so much memory, in MiB, starts without swapping anything of the host.
const MEMORY_MIB: &str = "512";
/// How long a guest may live, on a machine that is busy with other tests.
const LIMIT: Duration = Duration::from_mins(8);

/// A file of these tests, put into a tree where programs are run: what its scripts share, too.
pub fn take_script_in(tree: &Tree, script: &str) -> String {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    tree.take_in(&tests.join("rig/guest.sh"));
    tree.take_in(&tests.join(script))
}

/// What a guest found out, by the sections of its script.
pub struct Found(String);

impl Found {
    /// Boots a tree with a program of its own as its first process, and waits until its script has
    /// come to its end.
    pub fn out(tree: &Tree, init: &str) -> Self {
        let said = boot(tree, init);
        let through = said.contains("\n== end") && !said.contains("\n== late");
        assert!(through, "{said}");
        Self(said)
    }

    /// What was said between `== NAME` and the next such line.
    pub fn text(&self, name: &str) -> &str {
        let (_, rest) = self
            .0
            .split_once(&format!("== {name}\n"))
            .unwrap_or_else(|| panic!("no {name} in:\n{}", self.0));
        rest.split_once("\n== ").map_or(rest, |(text, _)| text)
    }

    /// What is shown of a job.
    pub fn job(&self, name: &str) -> Value {
        let text = self.text(name).lines().next().unwrap_or_default();
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}: {}", self.0))
    }

    /// The result of a job's last run, which has this fault; none: it went well.
    pub fn result(&self, name: &str, fault: Option<&str>) -> Value {
        let job = self.job(name);
        let result = &job["record"]["result"];
        let found = result["fault"]["code"].as_str();
        assert_eq!(found, fault, "{name}: {job:#}\n{}", self.text("log"));
        assert!(result.is_object(), "{job:#}");
        result.clone()
    }
}

/// What came by the serial console until the guest was switched off.
fn boot(tree: &Tree, init: &str) -> String {
    assert!(
        Path::new(KERNEL).exists(),
        "{KERNEL} is missing: make install-test-deps"
    );
    let (disk, console) = (beside(tree, "disk"), beside(tree, "console"));
    make_disk(tree, &disk);
    let mut qemu = command(program("qemu-system-x86_64", "qemu-system-x86"));
    qemu.args([
        "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", MEMORY_MIB,
    ])
    .args(["-nodefaults", "-nographic", "-no-reboot"])
    .args(["-serial", &format!("file:{}", console.display())])
    .args(["-kernel", KERNEL, "-append"])
    .arg(format!(
        "root=/dev/nvme0n1 rw init={init} console=ttyS0 quiet loglevel=1 panic=-1 \
             systemd.show_status=false"
    ))
    .args(["-device", "nvme,drive=disk,serial=disk", "-drive"])
    .arg(format!(
        "file={},id=disk,if=none,format=raw,cache=unsafe",
        disk.display()
    ));
    let log = beside(tree, "qemu-log");
    let mut process = Process::start("qemu-system-x86_64", qemu, &log);
    let ended = process.wait(LIMIT);
    let said = fs::read(&console).unwrap_or_default();
    let said = String::from_utf8_lossy(&said).replace('\r', "");
    let log = || tail(&log);
    let ended = ended.unwrap_or_else(|| panic!("the guest did not end:\n{said}\n{}", log()));
    assert!(ended.success(), "{ended}:\n{said}\n{}", log());
    said
}

/// A file beside a tree's root, gone with it.
fn beside(tree: &Tree, name: &str) -> PathBuf {
    tree.root().with_file_name(name)
}

/// Writes a tree into a file system of its own.
fn make_disk(tree: &Tree, disk: &Path) {
    let file = File::create(disk).expect("a disk");
    file.set_len(DISK_BYTES).expect("a sparse disk");
    let made = Command::new(program("mke2fs", "e2fsprogs"))
        .args(["-q", "-t", "ext4", "-O", "^has_journal", "-d"])
        .args([&tree.root(), disk])
        .output()
        .expect("mke2fs");
    assert!(made.status.success(), "{made:?}");
}
