//! What of a job becomes a process: its program, its arguments, its environment.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    Access, AtFlags, FileType, Mode, OFlags, StatVfsMountFlags, accessat, fstat, fstatvfs, openat,
};
use rustix::io::Errno;

use super::super::RunError;
use super::super::fault::Step;
use super::ready;
use crate::job::command::{self, Stream, stream_name};
use crate::job::{JobSpec, RunOrder};

/// Where a job's programs are found.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
const LANG: &str = "C.UTF-8";

/// A job as a process.
#[derive(Debug)]
pub(super) struct Program {
    /// Absolute, and without links.
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<String>,
    /// Names of files in the program's folder.
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Program {
    /// Looks a job's program up and reads its arguments, or says why it cannot run.
    pub(super) fn of(spec: &JobSpec, folders: &[PathBuf]) -> Result<Self, RunError> {
        let (arguments, stdout, stderr) = words(spec).map_err(RunError::Permanent)?;
        Ok(Self {
            path: find(folders, &spec.transformation.path)?,
            arguments,
            stdout,
            stderr,
        })
    }
}

/// The program's arguments and the names of its output files, or why the job's words for them are
/// none.
fn words(spec: &JobSpec) -> Result<(Vec<String>, String, String), String> {
    let arguments = command::words(&spec.parameters)?;
    command::check_outputs(spec)?;
    let stdout = stream_name(spec, Stream::Stdout)?;
    Ok((arguments, stdout, stream_name(spec, Stream::Stderr)?))
}

/// The whole environment of a job's program.
pub(super) fn environment(order: &RunOrder, work: &Path) -> Vec<(&'static str, String)> {
    let work = work.to_string_lossy().into_owned();
    let transformation = &order.spec.transformation;
    let mut variables = vec![
        ("PATH", PATH.to_owned()),
        ("HOME", work.clone()),
        ("LANG", LANG.to_owned()),
        ("TMPDIR", work),
        (
            "GRISTMILL_JOB_ID",
            order.spec.key.job_id.as_str().to_owned(),
        ),
        ("GRISTMILL_RECORD_ID", order.key.record.to_string()),
        ("GRISTMILL_RUN", order.number.to_string()),
    ];
    let uses = transformation.uses.clone();
    variables.extend(uses.map(|uses| ("TRANS_USES", uses)));
    let home = transformation.home.clone();
    variables.extend(home.map(|home| ("TRANS_HOME", home)));
    variables
}

/// The program of this path: in the first folder that has it, if all before that are well. One
/// that is missing or empty might have had it.
fn find(folders: &[PathBuf], path: &str) -> Result<PathBuf, RunError> {
    command::check_path(path).map_err(RunError::Permanent)?;
    for folder in folders {
        let open = ready::open_programs(folder)?;
        let shown = folder.display();
        let failed = |error: Errno| Step::Lookup.failed(format!("{path:?} below {shown}"), error);
        match open_beneath(&open, path) {
            Ok(Some((file, real))) => return check(&file, path, real),
            Ok(None) => {
                let what = format!("{path:?} leads out of {shown} by a link");
                return Err(RunError::Permanent(what));
            }
            Err(Errno::NOENT | Errno::NOTDIR) => ready::not_empty(&open, folder)?,
            Err(error) => return Err(failed(error)),
        }
    }
    let folders: Vec<_> = folders
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let folders = folders.join(", ");
    let what = format!("there is no program {path:?} below {folders}");
    Err(RunError::Permanent(what))
}

/// What the path leads to, and its name as the kernel knows it: with no link in it that somebody
/// could change before the program is executed. `None`: it is not below the folder.
///
/// Not by openat2, which systemd denies to whom RestrictSUIDSGID= holds.
fn open_beneath(folder: &OwnedFd, path: &str) -> Result<Option<(OwnedFd, PathBuf)>, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = openat(folder, path, flags, Mode::empty())?;
    let (root, real) = (real_path(folder)?, real_path(&file)?);
    Ok(real.starts_with(root).then_some((file, real)))
}

fn real_path(file: &OwnedFd) -> Result<PathBuf, Errno> {
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let real = rustix::fs::readlink(link, Vec::new())?;
    Ok(OsString::from_vec(real.into_bytes()).into())
}

fn check(file: &OwnedFd, path: &str, real: PathBuf) -> Result<PathBuf, RunError> {
    let status = fstat(file).map_err(|error| Step::Lookup.failed(format!("{path:?}"), error))?;
    if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        return Err(RunError::Permanent(format!("{path:?} is not a file")));
    }
    let mount = fstatvfs(file).map_err(|error| Step::Lookup.failed(format!("{path:?}"), error))?;
    let shown = real.display();
    if mount.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        let what = format!("{shown} is on a file system that is mounted noexec");
        return Err(RunError::Host(what));
    }
    accessat(rustix::fs::CWD, &real, Access::EXEC_OK, AtFlags::EACCESS).map_err(|error| {
        let what = format!("{path:?} is not executable (chmod +x {shown})");
        Step::Permission.failed(what, error)
    })?;
    Ok(real)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("in/share")).unwrap();
        for name in ["in/share/run", "outside"] {
            fs::write(root.join(name), "#!/bin/sh\n").unwrap();
            fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(root.join("in/data"), "").unwrap();
        symlink("share/run", root.join("in/inner")).unwrap();
        symlink("../outside", root.join("in/outer")).unwrap();
        symlink("/bin/sh", root.join("in/absolute")).unwrap();
        symlink("/proc/self/exe", root.join("in/magic")).unwrap();
        symlink(root.join("in-beside"), root.join("in/beside")).unwrap();
        fs::write(root.join("in-beside"), "").unwrap();
        folder
    }

    #[test]
    fn a_program_is_found_below_the_folders() {
        let folder = folder();
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("share"), "").unwrap();
        let folders = [other.path().to_owned(), folder.path().join("in")];
        let real = fs::canonicalize(folder.path().join("in/share/run")).unwrap();
        for path in ["share/run", "./share//run", "inner"] {
            assert_eq!(find(&folders, path).unwrap(), real, "{path}");
        }
    }

    /// What is missing or empty may have had the program: another one of its name must not run.
    #[test]
    fn the_next_folder_is_asked_only_where_the_first_is_well() {
        let folder = folder();
        let (first, second) = (folder.path().join("first"), folder.path().join("in"));
        let folders = [first.clone(), second.clone()];
        let unfit = |path| match find(&folders, path) {
            Err(RunError::Host(why)) => why,
            other => panic!("{other:?}"),
        };
        for path in ["share/run", "nothing"] {
            assert!(unfit(path).contains("No such file"));
        }
        fs::create_dir(&first).unwrap();
        for path in ["share/run", "nothing"] {
            assert!(unfit(path).contains("first, a folder of programs, is empty"));
        }
        fs::write(first.join("other"), "").unwrap();
        let real = fs::canonicalize(second.join("share/run")).unwrap();
        assert_eq!(find(&folders, "share/run").unwrap(), real);
        let missing = find(&folders, "nothing").unwrap_err();
        assert!(matches!(missing, RunError::Permanent(_)), "{missing:?}");
        // Found in the first, the others are not asked.
        fs::remove_dir_all(second).unwrap();
        assert!(
            find(&folders, "other")
                .unwrap_err()
                .to_string()
                .contains("chmod +x")
        );
    }

    #[test]
    fn nothing_leads_out() {
        let folder = folder();
        let folders = [folder.path().join("in")];
        let outs = [
            "../outside",
            "share/../../outside",
            "/bin/sh",
            "outer",
            "absolute",
            "magic",
            "beside",
        ];
        for path in outs {
            let Err(RunError::Permanent(error)) = find(&folders, path) else {
                panic!("{path}");
            };
            assert!(error.contains("leads out"), "{path}: {error}");
        }
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let folder = folder();
        let folders = [folder.path().join("in")];
        let refusals = [
            ("nothing", "there is no program"),
            ("data", "chmod +x"),
            ("share", "is not a file"),
            ("share/run/x", "there is no program"),
        ];
        for (path, why) in refusals {
            let Err(RunError::Permanent(error)) = find(&folders, path) else {
                panic!("{path}");
            };
            assert!(error.contains(why), "{path}: {error}");
        }
    }
}
