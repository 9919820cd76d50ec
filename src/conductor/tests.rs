//! A conductor, or several, in a world that does everything that worlds do to conductors.

mod chaos;
mod checks;
pub(super) mod freeze;
mod machine;
mod proofs;
mod scenario;
mod store;
mod world;
