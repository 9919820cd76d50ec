//! What a supervisor is told.

use jiff::Timestamp;

use crate::job::{Attempt, JobId, Outcome, RecordId};

use super::{AttemptRef, CallKind, Fault, RecordRef};

/// The answer to one request: its content, or one fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The call that is answered; `None` where it could not be told, and the root is `errorResponse`.
    pub call: Option<CallKind>,
    /// The request's ID.
    pub in_reply_to: Option<String>,
    /// What is said.
    pub content: Result<Answer, Fault>,
}

/// The content of a reply that is no fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// numJobsWanted: so many.
    NumJobs(u32),
    /// executeJobs: one receipt for each job, in the request's order.
    Receipts(Vec<Receipt>),
    /// getExecutorData: one entry for each asked one, in its order.
    ExecutorData(Vec<DataAnswer>),
    /// getStatus: likewise.
    Statuses(Vec<StatusAnswer>),
    /// killJobs: likewise.
    Kills(Vec<KillAnswer>),
    /// fixJobs: likewise.
    Fixes(Vec<FixAnswer>),
    /// ack: it is kept, durably.
    Acknowledged,
}

/// What became of one job of an executeJobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its place in the request, from 1; written where there is no job ID.
    pub index: usize,
    /// The supervisor's name for it, where that could be read.
    pub job_id: Option<JobId>,
    /// The supervisor's try at it, as it was asked.
    pub attempt: AttemptRef,
    /// What became of it.
    pub result: ReceiptResult,
}

/// See [`Receipt`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiptResult {
    /// It is there now, durably.
    Stored(RecordId),
    /// It was there, with the same content.
    Duplicate(RecordId),
    /// Another content was there under its key, and stays.
    Conflict,
    /// It is not there, and why.
    Refused(Reason),
}

/// How many jobs of an executeJobs came to what; derived from the receipts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub received: usize,
    /// See [`ReceiptResult::Stored`]
    pub stored: usize,
    /// See [`ReceiptResult::Duplicate`]
    pub duplicate: usize,
    /// See [`ReceiptResult::Conflict`]
    pub conflict: usize,
    /// See [`ReceiptResult::Refused`]
    pub refused: usize,
}

/// Why a job was refused. The code is a short word; the text may be dropped to save room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// For programs: `missing-field`, `invalid-field`.
    pub code: String,
    /// For people; may be empty.
    pub text: String,
}

/// An entry of getExecutorDataResponse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataAnswer {
    /// The asked job.
    pub job_id: JobId,
    /// The attempt that was found, else the one that was asked for.
    pub attempt: Option<Attempt>,
    /// Whether it is there.
    pub existence: Existence,
}

impl DataAnswer {
    /// Whether it says that the job is not there.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        matches!(self.existence, Existence::Rejected(_))
    }
}

/// See [`DataAnswer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Existence {
    /// It is there, under this record ID.
    Accepted(RecordId),
    /// I looked: it is not there, or was refused for this reason.
    Rejected(Option<Reason>),
    /// I could not look.
    Unknown,
}

/// The five words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// It has not started.
    Pending,
    /// It has started and not ended.
    Running,
    /// It has ended.
    Finished,
    /// I looked: there is no such record.
    Rejected,
    /// I could not look.
    Unknown,
}

/// An entry of getStatusResponse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusAnswer {
    /// The asked job.
    pub job_id: JobId,
    /// The asked record.
    pub record: RecordRef,
    /// The word.
    pub status: Status,
    /// More than the word; boxed, for most entries have little of it. Left out when strict.
    pub detail: Option<Box<StatusDetail>>,
}

/// What an older peer ignores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusDetail {
    /// How it ended; only with [`Status::Finished`].
    pub result: Option<Outcome>,
    /// When it entered its state, to the second.
    pub since: Option<Timestamp>,
    /// The program's exit code.
    pub exit_code: Option<i32>,
    /// When the last run started, to the second.
    pub started: Option<Timestamp>,
    /// When it ended, to the second.
    pub ended: Option<Timestamp>,
    /// CPU seconds of the last run.
    pub cpu_seconds: Option<u64>,
    /// What went wrong.
    pub error: Option<Reason>,
    /// The files that it left behind.
    pub outputs: Vec<OutputFile>,
    /// How many more there are, for which there was no room.
    pub omitted_outputs: usize,
}

/// A file that a job left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputFile {
    /// `logicalFileName`
    pub logical_name: String,
    /// In bytes.
    pub size: u64,
    /// In lower-case hexadecimal.
    pub sha256: String,
}

/// An entry of killJobsResponse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillAnswer {
    /// The asked job.
    pub job_id: JobId,
    /// The asked record.
    pub record: RecordRef,
    /// What came of it.
    pub result: KillResult,
    /// The job's word after it.
    pub status: Status,
}

/// See [`KillAnswer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KillResult {
    /// It is dead, and was alive before.
    Killed,
    /// It will be, as soon as its holder can.
    KillRequested,
    /// It had ended before.
    AlreadyFinished,
    /// There is no such record.
    Rejected,
    /// I could not look.
    Unknown,
}

/// An entry of fixJobsResponse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixAnswer {
    /// The asked job.
    pub job_id: JobId,
    /// The asked record.
    pub record: RecordRef,
    /// What came of it.
    pub result: FixResult,
    /// The job's word after it.
    pub status: Status,
}

/// See [`FixAnswer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FixResult {
    /// The record was wrong and is right now.
    Fixed,
    /// The record was right.
    Unchanged,
    /// There is no such record.
    Rejected,
    /// I could not look.
    Unknown,
}

impl Counts {
    /// Counts receipts by result.
    #[must_use]
    pub fn of(receipts: &[Receipt]) -> Self {
        let mut counts = Self {
            received: receipts.len(),
            ..Self::default()
        };
        for receipt in receipts {
            match receipt.result {
                ReceiptResult::Stored(_) => counts.stored += 1,
                ReceiptResult::Duplicate(_) => counts.duplicate += 1,
                ReceiptResult::Conflict => counts.conflict += 1,
                ReceiptResult::Refused(_) => counts.refused += 1,
            }
        }
        counts
    }
}

impl Answer {
    /// How many `<job>` entries it has.
    #[must_use]
    pub fn entry_count(&self) -> usize {
        match self {
            Self::NumJobs(_) | Self::Acknowledged => 0,
            Self::Receipts(all) => all.len(),
            Self::ExecutorData(all) => all.len(),
            Self::Statuses(all) => all.len(),
            Self::Kills(all) => all.len(),
            Self::Fixes(all) => all.len(),
        }
    }
}

impl ReceiptResult {
    /// The word on the wire.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stored(_) => "stored",
            Self::Duplicate(_) => "duplicate",
            Self::Conflict => "conflict",
            Self::Refused(_) => "refused",
        }
    }
}

impl Existence {
    /// The word on the wire.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Rejected(_) => "rejected",
            Self::Unknown => "unknown",
        }
    }
}

impl StatusDetail {
    /// Whether any of it is written as an element.
    #[must_use]
    pub(super) fn has_elements(&self) -> bool {
        self.exit_code.is_some()
            || self.started.is_some()
            || self.ended.is_some()
            || self.cpu_seconds.is_some()
            || self.error.is_some()
            || !self.outputs.is_empty()
            || self.omitted_outputs > 0
    }
}

impl KillResult {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Killed,
        Self::KillRequested,
        Self::AlreadyFinished,
        Self::Rejected,
        Self::Unknown,
    ];

    /// The word on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::KillRequested => "kill-requested",
            Self::AlreadyFinished => "already-finished",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
        }
    }
}

impl FixResult {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Fixed, Self::Unchanged, Self::Rejected, Self::Unknown];

    /// The word on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Unchanged => "unchanged",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
        }
    }
}

impl Status {
    /// All five.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Running,
        Self::Finished,
        Self::Rejected,
        Self::Unknown,
    ];

    /// The word on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
        }
    }
}
