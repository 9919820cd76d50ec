//! The task buffer: one suite for every store, and what only one of them can do wrong.

mod gate;
mod keeping;
mod killing;
mod looking;
mod operators;
mod place;
mod refusing;
mod sqlite;
mod staleness;
mod suite;
mod write;
