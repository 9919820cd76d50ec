//! Runs in cgroups, on a kernel that has them.

mod runs;
mod units;
