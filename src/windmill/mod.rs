//! The supervisor's language: XML text to typed calls, typed replies to XML text. No I/O.
//!
//! ```text
//! read_call:  characters ─▶ tokens ─▶ elements ─▶ envelope ─▶ reader ─▶ submissions ─▶ job_reader ─▶ fields
//! write_*:    call_writer, reply_writer ─▶ markup
//! ```

mod call;
mod call_writer;
mod changes;
mod characters;
mod elements;
mod envelope;
mod error;
mod excerpt;
mod fault;
mod fields;
mod job_reader;
mod markup;
mod reader;
mod renumber;
mod reply;
mod reply_reader;
mod reply_writer;
pub mod sample;
mod skim;
mod submissions;
mod tokens;

pub use call::{
    AttemptRef, Call, CallKind, HeardChange, JobQuery, RecordQuery, RecordRef, RefusedJob, Request,
    Submission, SubmittedJob,
};
pub use call_writer::{write_call, write_job};
pub use changes::{ChangedJob, JOB_CHANGED, write_job_changed};
pub use elements::MAX_ATTRIBUTES;
pub use envelope::MAX_ID_CHARS;
pub use error::ReadError;
pub use fault::{Fault, FaultCode};
pub use fields::{MAX_FILES, MAX_NAME_CHARS, MAX_PARAMETERS_BYTES};
pub use job_reader::read_job;
pub use reader::{Limits, OpenCall, open_call, peek_id, peek_kind, read_call};
pub use renumber::{ELSEWHERE, Renumbering};
pub use reply::{
    Answer, Counts, DataAnswer, Existence, FixAnswer, FixResult, KillAnswer, KillResult,
    OutputFile, Reason, Receipt, ReceiptResult, Reply, Status, StatusAnswer, StatusDetail,
};
pub use reply_reader::read_reply;
pub use reply_writer::{Style, write_fault, write_reply};
pub use tokens::MAX_DEPTH;

/// The namespace of every document that this program writes. A document without one is read alike.
pub const NAMESPACE: &str = "urn:windmill:executor:1";

/// The namespace that covers what comes over a stream without one of its own.
const JABBER_NAMESPACE: &str = "jabber:client";
