//! The last step before a job's program: our own program once more, in the process that becomes the
//! job's. A process alone can have itself killed when its parent ends, and it must not run a moment
//! without that.
//!
//! The kernel counts the thread that started it as the parent; a wrapper starts it from its first
//! thread, which lives as long as the wrapper. What the program starts in its turn is not killed,
//! nor is a program that runs as another user by its mode (set-user-ID).

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode};
use std::sync::Arc;

use nix::unistd::execv;
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};
use rustix::stdio::dup2_stdin;
use signal_hook::consts::SIGPIPE;
use signal_hook::flag;

use super::super::fault;
use super::Refusal;

/// The first argument that makes our program this step.
pub const SUMMONS: &str = "start-program";
/// Our own program.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// Comes first through the pipe; the number of an error follows if the program cannot be executed.
const READY: u8 = b'+';
/// The pipe is standard input, which its copy must not be.
const FIRST_FREE: i32 = 3;

/// What the step is started with.
pub struct Step {
    /// The number of the wrapper's process.
    pub wrapper: OsString,
    /// The job's program.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl Step {
    /// Becomes the job's program, or says through standard input why it cannot.
    pub fn take(&self) -> ExitCode {
        // Without a word the wrapper knows that the program had no turn.
        let _ = self.become_program();
        ExitCode::FAILURE
    }

    fn become_program(&self) -> io::Result<()> {
        let mut pipe = File::from(fcntl_dupfd_cloexec(io::stdin(), FIRST_FREE)?);
        set_parent_process_death_signal(Some(Signal::KILL))?;
        let parent = getppid().map_or(0, |parent| parent.as_raw_nonzero().get());
        if self.wrapper != *parent.to_string() {
            // It ended before.
            return Ok(());
        }
        let words = std::iter::once(&self.program).chain(&self.arguments);
        let words = words.map(|word| CString::new(word.as_bytes()));
        let words = words.collect::<Result<Vec<_>, _>>()?;
        let program = words.first().ok_or(io::ErrorKind::InvalidInput)?;
        dup2_stdin(File::open("/dev/null")?)?;
        // Our runtime ignores it. What is caught is at its default again in another program.
        flag::register(SIGPIPE, Arc::default())?;
        pipe.write_all(&[READY])?;
        // Not by what gives a shell all that the kernel does not know.
        let Err(error) = execv(program, &words);
        pipe.write_all(&(error as i32).to_le_bytes())
    }
}

/// A command that takes the step to a program in a group of its own.
pub fn command(program: &OsStr, arguments: &[OsString]) -> Command {
    let mut command = Command::new(OWN_PROGRAM);
    command
        .arg0(super::NAME)
        .arg(SUMMONS)
        .arg(getpid().as_raw_nonzero().to_string())
        .arg(program)
        .args(arguments)
        .process_group(0);
    command
}

/// Takes it; returns once the program runs. `unstarted`: what an error of its execution means.
pub fn spawn(
    mut command: Command,
    unstarted: impl FnOnce(io::Error) -> Refusal,
) -> Result<Pid, Refusal> {
    let refuse =
        |error: io::Error| Refusal::of(fault::Step::Wrapper, "no process for the program", error);
    let (heard, said) = io::pipe().map_err(refuse)?;
    let mut child = command.stdin(said).spawn().map_err(refuse)?;
    // The pipe ends with its last writer.
    drop(command);
    let refusal = match hear(heard) {
        Ok(None) => match pid(&child) {
            Some(pid) => return Ok(pid),
            None => Refusal::Host("the program has no process".to_owned()),
        },
        Ok(Some(error)) => unstarted(error),
        Err(error) => refuse(error),
    };
    let _ = child.wait();
    Err(refusal)
}

/// `None`: the program is executed. An error: it had no turn.
fn hear(mut pipe: PipeReader) -> io::Result<Option<io::Error>> {
    let mut ready = [0];
    pipe.read_exact(&mut ready)?;
    let mut number = Vec::new();
    pipe.read_to_end(&mut number)?;
    let number = number.try_into().ok().map(i32::from_le_bytes);
    Ok(number.map(io::Error::from_raw_os_error))
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}
