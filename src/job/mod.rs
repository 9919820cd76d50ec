//! The domain: what a job is and how it lives. Plain validated types; no I/O, no async, no clock.

mod id;
pub mod policy;
mod record;
mod spec;
mod state;

pub use id::{Attempt, InvalidId, JobId, JobKey, Owner, RecordId};
pub use record::{Event, Level, Record, Refusal};
pub use spec::{ContentHash, File, JobSpec, Quantity, Requirements, Transformation};
pub use state::{HeldFrom, IllegalTransition, Outcome, Phase, State, Transition};
