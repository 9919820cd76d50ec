//! The domain: what a job is and how it lives. Plain validated types; no I/O, no async, no clock.

mod claim;
pub mod command;
mod id;
mod order;
pub mod policy;
mod record;
mod run;
mod runs_folder;
mod spec;
mod state;

pub use claim::{Fence, Limits, Move, Ruling, Standing, Step};
pub use id::{Attempt, InvalidId, JobId, JobKey, Owner, RecordId};
pub use order::{Action, Declined, Effect};
pub use record::{Event, Level, Record, Refusal};
pub use run::{
    OutputFile, Progress, RunFault, RunKey, RunOrder, RunReport, StoreId, Token, Verdict,
};
pub use runs_folder::RunsFolder;
pub use spec::{ContentHash, File, JobSpec, Quantity, Requirements, Transformation};
pub use state::{HeldFrom, IllegalTransition, Outcome, Phase, State, Transition};
