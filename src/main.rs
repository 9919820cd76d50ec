//! The `gristmill` program: parse, start, map an error to an exit code.

fn main() {}
