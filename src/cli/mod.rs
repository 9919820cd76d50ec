//! The command line: one definition for the parser, the help, the man pages and the completions;
//! one file for each command.

mod args;
mod aside;
mod capture;
mod config;
mod debug;
mod demo;
mod docs;
mod doctor;
mod drain;
mod explain;
mod health;
mod job;
mod local;
mod logging;
mod migrate;
mod note;
mod output;
mod purge;
mod replay;
mod runner;
mod serve;
mod shown;
mod store;
mod top;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::error::ErrorKind;

use crate::error::{Code, Kind, Report};
use args::{Arguments, Command};
use output::Output;

/// Stack of each worker thread, in bytes: twice the default, for XML is read recursively below us.
const WORKER_STACK: usize = 4 * 1024 * 1024;

/// How long what is still on its way may take once a command is done.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);

/// The whole program: exit codes are decided here and nowhere else.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let mut output = Output::standard();
    let is_service = matches!(arguments.command, Command::Serve(_) | Command::Runner(_));
    match run(arguments.command, &mut output) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has seen enough.
        Err(_) if output.is_broken() => ExitCode::SUCCESS,
        Err(report) => {
            if is_service {
                output.note_within(LEAVE_LIMIT, report.to_string());
            } else {
                output.note(&report);
            }
            report.kind().exit_code()
        }
    }
}

fn usage(error: &clap::Error) -> ExitCode {
    // A pipe that was closed on us takes the message with it; the exit code still tells.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => Kind::Usage.exit_code(),
    }
}

fn run(command: Command, output: &mut Output) -> Result<(), Report> {
    match command {
        Command::Serve(arguments) => in_runtime(serve::run(arguments)),
        Command::Runner(arguments) => in_runtime(runner::run(arguments)),
        Command::Demo(arguments) => in_runtime(demo::run(arguments, output)),
        Command::Config(command) => config::run(command, output),
        Command::Replay(arguments) => in_runtime(replay::run(arguments, output)),
        Command::Job(command) => in_runtime(job::run(command, output)),
        Command::Drain(arguments) => in_runtime(drain::drain(arguments, output)),
        Command::Undrain(arguments) => in_runtime(drain::undrain(arguments, output)),
        Command::Purge(arguments) => in_runtime(purge::run(arguments, output)),
        Command::Capture(command) => in_runtime(capture::run(command, output)),
        Command::Debug(command) => in_runtime(debug::run(command, output)),
        Command::Doctor(arguments) => in_runtime(doctor::run(arguments, output)),
        Command::Top(arguments) => in_runtime(top::run(arguments)),
        Command::Migrate(arguments) => in_runtime(migrate::run(arguments, output)),
        Command::Explain(arguments) => explain::run(&arguments, output),
        Command::Completions { shell } => docs::completions(shell, output),
        Command::Man { folder } => docs::man(folder.as_deref(), output),
    }
}

fn in_runtime(command: impl Future<Output = Result<(), Report>>) -> Result<(), Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(WORKER_STACK)
        .enable_all()
        .build()
        .map_err(|error| {
            Report::new(Code::SystemRefuses, "no threads to work with").because(error)
        })?;
    let done = runtime.block_on(command);
    // Who waits for a file system that hangs is not waited for.
    runtime.shutdown_timeout(LEAVE_LIMIT);
    done
}
