//! Whether the host is fit to run jobs, as far as a cheap look can tell.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, Dir, Mode, OFlags, access, open, statvfs};
use rustix::io::Errno;

use super::super::RunError;
use super::super::fault::Step;

/// With less room than this below the folder of the runs none is started, in bytes: its journal
/// and its folder would not be kept.
const LEAST_ROOM: u64 = 1024 * 1024;

/// Looks at the folders of programs and at the folder of the runs; changes nothing.
pub(super) fn look(programs: &[PathBuf], runs: &Path) -> Result<(), RunError> {
    for folder in programs {
        not_empty(&open_programs(folder)?, folder)?;
    }
    room_for_runs(runs)
}

/// Opens a folder of programs.
pub(super) fn open_programs(folder: &Path) -> Result<OwnedFd, RunError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open(folder, flags, Mode::empty()).map_err(|error| unreadable(folder, error))
}

/// A folder that holds nothing is the place of a file system that is not mounted, and says nothing
/// about what is in it.
pub(super) fn not_empty(open: &OwnedFd, folder: &Path) -> Result<(), RunError> {
    for entry in Dir::read_from(open).map_err(|error| unreadable(folder, error))? {
        let entry = entry.map_err(|error| unreadable(folder, error))?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            return Ok(());
        }
    }
    let folder = folder.display();
    let what = format!("{folder}, a folder of programs, is empty");
    Err(RunError::Host(what))
}

fn unreadable(folder: &Path, error: Errno) -> RunError {
    let what = format!("{}, a folder of programs", folder.display());
    Step::Programs.failed(what, error)
}

fn room_for_runs(runs: &Path) -> Result<(), RunError> {
    let shown = runs.display();
    let unfit = |error: Errno| Step::Folder.failed(format!("{shown}, the folder of runs"), error);
    access(runs, Access::WRITE_OK | Access::EXEC_OK).map_err(unfit)?;
    let disk = statvfs(runs).map_err(unfit)?;
    let room = disk.f_bavail.saturating_mul(disk.f_frsize);
    // Some file systems do not count blocks, or files.
    let has_no_room = disk.f_blocks > 0 && room < LEAST_ROOM;
    let has_no_file = disk.f_files > 0 && disk.f_favail == 0;
    if has_no_room || has_no_file {
        return Err(unfit(Errno::NOSPC));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn why(looked: Result<(), RunError>) -> String {
        match looked {
            Err(RunError::Host(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_host_is_fit_while_its_folders_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second, runs] =
            ["first", "second", "runs"].map(|name| folder.path().join(name));
        let programs = [first.clone(), second.clone()];
        let look = || look(&programs, &runs);
        assert!(why(look()).contains("first, a folder of programs: No such file"));
        fs::create_dir(&first).unwrap();
        assert!(why(look()).contains("first, a folder of programs, is empty"));
        fs::write(first.join("program"), "").unwrap();
        assert!(why(look()).contains("second"));
        fs::create_dir(&second).unwrap();
        fs::create_dir(second.join("inner")).unwrap();
        assert!(why(look()).contains("runs, the folder of runs: No such file"));
        fs::create_dir(&runs).unwrap();
        look().unwrap();
        fs::remove_dir(&runs).unwrap();
        fs::write(&runs, "").unwrap();
        why(look());
    }
}
