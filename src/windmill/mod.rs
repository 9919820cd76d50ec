//! The supervisor's language: XML text to typed calls, typed replies to XML text. No I/O.

mod call;
mod error;
mod job_reader;
mod reader;
mod reply;
mod reply_reader;
mod writer;

pub use call::{
    Call, CallKind, JobQuery, RecordQuery, RecordRef, RefusedJob, Request, Submission, SubmittedJob,
};
pub use error::ReadError;
pub use job_reader::read_job;
pub use reader::{Limits, peek_kind, read_call};
pub use reply::{
    Answer, Counts, DataAnswer, Existence, Fault, FaultCode, FixAnswer, FixResult, KillAnswer,
    KillResult, OutputFile, Reason, Receipt, ReceiptResult, Reply, Status, StatusAnswer,
    StatusDetail,
};
pub use reply_reader::read_reply;
pub use writer::{Style, write_call, write_fault, write_job, write_reply};

/// The namespace of every document that this program writes. A document without one is read alike.
pub const NAMESPACE: &str = "urn:windmill:executor:1";
