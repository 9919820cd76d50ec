//! Room on the disks that are written to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use rustix::fs::StatVfs;

use crate::buffer::StoreUrl;
use crate::config::Config;
use crate::error::Code;

use super::finding::Finding;

const SUBJECT: &str = "disk";

/// Less room is a warning, in bytes.
const SCARCE_BYTES: u64 = 1024 * 1024 * 1024;

/// Less room is an error, in bytes: a store's log alone may grow by that.
const EMPTY_BYTES: u64 = 64 * 1024 * 1024;

/// Fewer files that can still be made are a warning.
const SCARCE_FILES: u64 = 10_000;

/// One line for each disk.
pub(super) fn look(config: &Config) -> Vec<Finding> {
    let mut disks: BTreeMap<u64, (Vec<&str>, PathBuf, StatVfs)> = BTreeMap::new();
    let mut findings = Vec::new();
    for (whose, folder) in folders(config) {
        let folder = existing(&folder);
        match rustix::fs::statvfs(folder) {
            Ok(room) => {
                let disk = disks.entry(room.f_fsid);
                let (names, ..) = disk.or_insert_with(|| (Vec::new(), folder.to_owned(), room));
                names.push(whose);
            }
            Err(error) => {
                let what = format!("{}: {error}", folder.display());
                findings.push(Finding::error(SUBJECT, Code::DiskFull, what, "mount it"));
            }
        }
    }
    let disks = disks.into_values();
    findings.extend(disks.map(|(names, folder, room)| judge(&names, &folder, &room)));
    findings
}

fn folders(config: &Config) -> Vec<(&'static str, PathBuf)> {
    let mut folders = Vec::new();
    if let StoreUrl::Sqlite(file) = &config.buffer.url {
        let folder = file.parent().unwrap_or(Path::new("/"));
        folders.push(("the store", folder.to_owned()));
    }
    if config.conductor.enabled {
        folders.push((
            "runner.process.work_dir",
            config.runner.process.work_dir.clone(),
        ));
    }
    folders
}

/// The folder, or the one in which it will be made.
fn existing(folder: &Path) -> &Path {
    let mut there = folder.ancestors().filter(|folder| folder.exists());
    there.next().unwrap_or(Path::new("/"))
}

fn judge(names: &[&str], folder: &Path, room: &StatVfs) -> Finding {
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    let what = format!(
        "{} free for {} ({})",
        ByteSize::b(free),
        names.join(" and "),
        folder.display()
    );
    let remedy = "make room (`gristmill purge --older-than 30d`, or a larger disk)";
    // Some file systems make files as long as there are bytes, and count none.
    let few_files = room.f_files > 0 && room.f_favail < SCARCE_FILES;
    if free < EMPTY_BYTES {
        Finding::error(SUBJECT, Code::DiskFull, what, remedy)
    } else if free < SCARCE_BYTES {
        Finding::warning(SUBJECT, what, remedy)
    } else if few_files {
        let what = format!("{what}, and {} files", room.f_favail);
        Finding::warning(SUBJECT, what, "remove files")
    } else {
        Finding::ok(SUBJECT, what)
    }
}
