//! Requests and their replies, written to files that `gristmill replay` takes as they are. Whoever
//! answers is never kept waiting: what cannot be written in time is dropped and counted.

mod control;
mod folder;
mod recorder;
mod tape;

pub use control::{Control, Order, Progress};
pub use folder::Caps;
pub use recorder::Recorder;
