//! The supervisor's language: XML text to typed calls, typed replies to XML text. No I/O.

mod call;
mod reply;

pub use call::{
    Call, CallKind, JobQuery, RecordQuery, RecordRef, RefusedJob, Request, Submission, SubmittedJob,
};
pub use reply::{
    Answer, Counts, DataAnswer, Existence, Fault, FaultCode, FixAnswer, FixResult, KillAnswer,
    KillResult, OutputFile, Reason, Receipt, ReceiptResult, Reply, Status, StatusAnswer,
    StatusDetail,
};

/// The namespace of every document that this program writes. A document without one is read alike.
pub const NAMESPACE: &str = "urn:windmill:executor:1";
