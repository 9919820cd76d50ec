//! The start of a run: its folder, and its wrapper.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::super::RunError;
use super::super::fault::Step;
use super::super::wrapper::folder::{Folder, OUTPUTS, WORK};
use super::super::wrapper::{Brief, Control, Journal, NAME, Refusal, SUMMONS, Word};
use super::program::{Program, environment};
use super::{Settings, marks, outputs};
use crate::job::RunOrder;

/// How long a wrapper may take to say whether the program runs.
const WORD_LIMIT: Duration = Duration::from_secs(30);
/// No word is longer, in bytes.
const MAX_WORD_BYTES: u64 = 64 * 1024;

/// Makes a run's folder, which is not there yet.
pub(super) fn prepare(folder: &Path, order: &RunOrder) -> io::Result<()> {
    fs::create_dir(folder)?;
    let folder = Folder::open(folder)?;
    folder.make(WORK)?;
    // Whoever finds the run after a restart must know what it has to leave behind.
    let names = outputs::names(&order.spec.outputs);
    folder.write(OUTPUTS, &serde_json::to_vec(&names)?)?;
    Control::create(&folder, order.lease_until)?;
    // From now on a missing one was removed.
    Journal::open(&folder).map(drop)
}

/// Starts a run's wrapper in the run's folder. `mark`: what its processes are known by.
pub(super) fn summon(
    settings: &Settings,
    order: &RunOrder,
    program: &Program,
    brief: &Brief,
    folder: &Path,
    mark: Option<OsString>,
) -> Result<Child, RunError> {
    let brief = serde_json::to_string(brief)
        .map_err(|error| RunError::Host(format!("the brief: {error}")))?;
    Command::new(&settings.wrapper)
        .arg0(NAME)
        .arg(SUMMONS)
        .arg(brief)
        .arg(&program.path)
        .args(&program.arguments)
        .env_clear()
        .envs(environment(order, &folder.join(WORK)))
        .envs(mark.map(|mark| (marks::VARIABLE, mark)))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| {
            let wrapper = settings.wrapper.display();
            let what = format!("{wrapper} cannot be started with these jobPars");
            Step::Wrapper.failed(what, error)
        })
}

/// Waits for the wrapper's word. `InDoubt`: none came, though the wrapper may do its work.
pub(super) fn hear(child: &mut Child) -> Result<(), RunError> {
    let word = read_word(child)
        .map_err(|error| RunError::InDoubt(format!("the wrapper said nothing: {error}")))?;
    match word {
        Word::Started | Word::Refused(Refusal::Again) => Ok(()),
        Word::Refused(Refusal::Lapsed) => {
            let text = "its lease was over before its program started";
            Err(RunError::Away(text.to_owned()))
        }
        Word::Refused(Refusal::Host(text)) => Err(RunError::Host(text)),
        Word::Refused(Refusal::Transient(text)) => Err(RunError::Transient(text)),
        Word::Refused(Refusal::Permanent(text)) => Err(RunError::Permanent(text)),
    }
}

fn read_word(child: &mut Child) -> io::Result<Word> {
    let pipe = child.stdout.take();
    let mut pipe = pipe.ok_or(io::ErrorKind::BrokenPipe)?.take(MAX_WORD_BYTES);
    let deadline = Instant::now() + WORD_LIMIT;
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut fds = [PollFd::new(pipe.get_ref(), PollFlags::IN)];
        if poll(&mut fds, Some(&timeout))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut chunk = [0; 1024];
        let count = pipe.read(&mut chunk)?;
        match chunk.get(..count) {
            None | Some([]) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(bytes) => line.extend_from_slice(bytes),
        }
    }
    Word::from_line(&line).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
