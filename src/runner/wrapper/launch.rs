//! The program's start.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Pid;

use super::super::cgroup::Group;
use super::super::fault::Step;
use super::folder::{Folder, PROGRESS, WORK};
use super::{Brief, Refusal, birth, interpreter, step};

/// Tells the program where to write of its progress.
const PROGRESS_FD: &str = "GRISTMILL_PROGRESS_FD";

/// A program that was started.
pub struct Launched {
    /// Its process, and its group.
    pub program: Pid,
    /// What it writes to without opening it.
    pub outputs: Vec<File>,
    /// The cgroup that it is in, and nobody else.
    pub group: Option<Group>,
}

/// Starts the program in its folder, in a group of its own, and under its limits.
pub fn launch(
    folder: &Folder,
    brief: &Brief,
    program: &OsStr,
    arguments: &[OsString],
) -> Result<Launched, Refusal> {
    let work = folder.inner(WORK);
    let work = work.map_err(|error| Refusal::before("the program's folder", error))?;
    let open = |folder: &Folder, name: &str| {
        // Written at its end only, so that what it holds can be cut off.
        let how = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
        let file = folder.file(name, how);
        file.map_err(|error| Refusal::of(Step::OutputFile, "an output file", error))
    };
    let stdout = open(&work, &brief.stdout)?;
    let stderr = open(&work, &brief.stderr)?;
    let progress = open(folder, PROGRESS)?;
    fcntl_setfd(&progress, FdFlags::empty())
        .map_err(|error| Refusal::before("the progress file", error))?;
    let copy = |file: &File| {
        file.try_clone()
            .map_err(|error| Refusal::before("an output file", error))
    };
    let for_program = (copy(&stdout)?, copy(&stderr)?);
    brief
        .limits
        .take_on(brief.cgroup.is_some())
        .map_err(|error| Refusal::before("the limits", error))?;
    let mut command = step::command(program, arguments);
    command
        .env(PROGRESS_FD, progress.as_raw_fd().to_string())
        .current_dir(Path::new(WORK))
        .stdout(for_program.0)
        .stderr(for_program.1);
    let start = || step::spawn(command, |error| unstarted(program, error));
    let (program, group) = match &brief.cgroup {
        None => (start()?, None),
        Some(path) => {
            let (program, group) = birth::start_in(path, &brief.limits, start)?;
            (program, Some(group))
        }
    };
    brief.limits.put_on(program);
    Ok(Launched {
        program,
        outputs: vec![stdout, stderr, progress],
        group,
    })
}

fn unstarted(program: &OsStr, error: io::Error) -> Refusal {
    let guess = interpreter::guess(Path::new(program), &error);
    let guess = guess.map(|guess| format!(" ({guess})"));
    let guess = guess.unwrap_or_default();
    let what = format!("{} cannot be started{guess}", program.display());
    Refusal::of(Step::Execution, what, error)
}
