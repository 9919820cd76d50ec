//! The `gristmill` program: parse, start, map an error to an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    gristmill::cli::main()
}
