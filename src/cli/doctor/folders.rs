//! Secrets, folders and who may use them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};
use rustix::fs::{Access, access};

use crate::buffer::StoreUrl;
use crate::config::{Config, secrets};
use crate::error::Code;
use crate::http::Listen;

use super::finding::Finding;

const SECRETS: &str = "secrets";
const RIGHTS: &str = "rights";

/// Everybody may write.
const EVERYBODY_WRITES: u32 = 0o002;

pub(super) fn look(config: &Config) -> Vec<Finding> {
    let mut findings = vec![secrets(config)];
    let folders = written_to(config).into_iter().filter_map(unwritable);
    let mut faults: Vec<_> = folders.collect();
    if config.conductor.enabled {
        let programs = &config.runner.process.transformations;
        faults.extend(programs.iter().filter_map(|folder| programs_in(folder)));
    }
    faults.extend(seen_as_root(config));
    if faults.is_empty() {
        let what = format!("{} may use every folder", our_name());
        faults.push(Finding::ok(RIGHTS, what));
    }
    findings.extend(faults);
    findings
}

fn secrets(config: &Config) -> Finding {
    match secrets::oddities(config) {
        Ok(odd) if odd.is_empty() => Finding::ok(SECRETS, "can be read, and not by everybody"),
        Ok(odd) => Finding::warning(SECRETS, odd.join("; "), secrets::ODD_REMEDY),
        Err(report) => Finding::of_report(SECRETS, &report),
    }
}

/// The folders in which the daemon makes files. The runner's tells the runner.
fn written_to(config: &Config) -> Vec<(&'static str, PathBuf)> {
    let parent = |file: &Path| file.parent().unwrap_or(Path::new("/")).to_owned();
    let mut folders = Vec::new();
    if let StoreUrl::Sqlite(file) = &config.buffer.url {
        folders.push(("buffer.url", parent(file)));
    }
    if let Listen::Unix(socket) = &config.http.listen {
        folders.push(("http.listen", parent(socket)));
    }
    folders
}

fn unwritable((key, folder): (&str, PathBuf)) -> Option<Finding> {
    let error = access(&folder, Access::WRITE_OK | Access::EXEC_OK).err()?;
    let (us, folder) = (our_name(), folder.display());
    let what = format!("{key}: {us} cannot write in {folder}: {error}");
    let remedy = format!("make the folder, and chown it to the daemon's user, or correct {key}");
    Some(Finding::error(RIGHTS, Code::FolderUnwritable, what, remedy))
}

fn programs_in(folder: &Path) -> Option<Finding> {
    let shown = folder.display();
    let metadata = match fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => metadata,
        // What is said of the runner says so.
        _ => return None,
    };
    if metadata.mode() & EVERYBODY_WRITES != 0 {
        let what = format!("{shown}: everybody may put programs there");
        let remedy = format!("chmod o-w {shown}");
        return Some(Finding::error(RIGHTS, Code::ProgramsOpen, what, remedy));
    }
    let mut inside = fs::read_dir(folder).ok()?;
    if inside.next().is_none() {
        let what = format!("{shown} is empty: until it holds a program, no job is started");
        let remedy = "mount it, put the jobs' programs there, or correct \
                      runner.process.transformations";
        return Some(Finding::error(RIGHTS, Code::ProgramsMissing, what, remedy));
    }
    None
}

/// Root may do everything, so its looking says nothing of another user's rights.
fn seen_as_root(config: &Config) -> Option<Finding> {
    if !Uid::effective().is_root() {
        return None;
    }
    let StoreUrl::Sqlite(file) = &config.buffer.url else {
        return None;
    };
    let owner = fs::metadata(file).ok()?.uid();
    if owner == 0 {
        return None;
    }
    let owner = name_of(Uid::from_raw(owner));
    let what = format!("looked at as root, and {} is {owner}'s", file.display());
    let remedy = format!("ask again with `sudo -u {owner} gristmill doctor`");
    Some(Finding::warning(RIGHTS, what, remedy))
}

fn our_name() -> String {
    name_of(Uid::effective())
}

fn name_of(user: Uid) -> String {
    let found = User::from_uid(user).ok().flatten();
    found.map_or_else(|| format!("user {user}"), |user| user.name)
}
