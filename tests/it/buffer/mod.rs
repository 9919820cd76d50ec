//! The task buffer: one suite for every store, and what only one of them can do wrong.

mod beside;
mod doubt;
mod gate;
mod gated_claims;
mod keeping;
mod killing;
mod locking;
mod looking;
mod mill;
mod moved;
mod mysql;
mod noticing;
mod operators;
mod outage;
mod place;
mod proxy;
mod refusing;
mod restored;
mod sharing;
mod sqlite;
mod staleness;
mod suite;
mod telling;
mod two_daemons;
mod upgrading;
mod write;
