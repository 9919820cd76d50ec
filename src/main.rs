//! The `gristmill` program: parse, start, map an error to an exit code. Started by the process
//! runner it is the wrapper of a run.

use std::process::ExitCode;

use gristmill::{cli, runner::wrapper};

fn main() -> ExitCode {
    match wrapper::summoned(std::env::args_os()) {
        Some(summons) => wrapper::main(&summons),
        None => cli::main(),
    }
}
