//! What a supervisor can ask.

use std::fmt;

use crate::job::{Attempt, ContentHash, JobId, JobKey, JobSpec, RecordId, Requirements};

use super::Reason;

/// One document of a supervisor's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The root's `id`, at most 128 characters; the stanza's serves where it is missing.
    pub id: Option<String>,
    /// What it asks.
    pub call: Call,
}

/// The six calls, and what a supervisor answers to what it is told unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// How many jobs would you take?
    NumJobsWanted(Option<Requirements>),
    /// Take these jobs. At least one; no (jobID, attempt) twice.
    ExecuteJobs(Vec<Submission>),
    /// Under which record IDs do you have these jobs?
    GetExecutorData(Vec<JobQuery>),
    /// How are these jobs?
    GetStatus(Vec<RecordQuery>),
    /// End these jobs.
    KillJobs(Vec<RecordQuery>),
    /// Look again at these doubtful jobs.
    FixJobs(Vec<RecordQuery>),
    /// These changes were heard of; without any: tell all that was not acknowledged, now.
    Ack(Vec<HeardChange>),
}

/// Which of the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// `numJobsWanted`, also spelled `numJobWanted`
    NumJobsWanted,
    /// `executeJobs`
    ExecuteJobs,
    /// `getExecutorData`
    GetExecutorData,
    /// `getStatus`
    GetStatus,
    /// `killJobs`, also spelled `killJob`
    KillJobs,
    /// `fixJobs`, also spelled `fixJob`
    FixJobs,
    /// `ack`
    Ack,
}

/// One `<job>` of an executeJobs: good, or refused by itself without harm to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submission {
    /// A job that can be stored.
    Good(Box<SubmittedJob>),
    /// A job that cannot.
    Refused(RefusedJob),
}

/// A job that can be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmittedJob {
    /// Which job this is.
    pub key: JobKey,
    /// Higher goes first.
    pub priority: i32,
    /// The spec's hash.
    pub content: ContentHash,
    /// The `<job>` element as it came, readable by itself: [`read_job`](super::read_job) gives
    /// the spec.
    pub xml: String,
}

impl SubmittedJob {
    /// A job and its XML.
    #[must_use]
    pub fn new(spec: JobSpec, xml: String) -> Self {
        Self {
            content: spec.content_hash(),
            priority: spec.priority,
            key: spec.key,
            xml,
        }
    }
}

/// A job that cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedJob {
    /// Its place in the request, from 1: names it where it has no usable job ID.
    pub index: usize,
    /// The supervisor's name for it, where that can be read.
    pub job_id: Option<JobId>,
    /// The supervisor's try at it; the first one where it names none.
    pub attempt: AttemptRef,
    /// What is wrong with it.
    pub reason: Reason,
}

/// An entry of getExecutorData.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobQuery {
    /// The supervisor's name for the job.
    pub job_id: JobId,
    /// Its try; the latest one counts where it names none.
    pub attempt: Option<Attempt>,
}

/// An entry of getStatus, killJobs and fixJobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordQuery {
    /// The supervisor's name for the job.
    pub job_id: JobId,
    /// The record that it was told.
    pub record: RecordRef,
}

/// An entry of an ack, with what the `jobChanged` said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeardChange {
    /// The supervisor's name for the job.
    pub job_id: JobId,
    /// The job's record.
    pub record: RecordRef,
    /// Which change of it; all before it are covered too.
    pub change: u64,
}

/// An attempt as a supervisor wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptRef {
    /// One that a job can have.
    Readable(Attempt),
    /// Any other text, cut at 64 characters: no job has it.
    Unreadable(String),
}

impl AttemptRef {
    /// The attempt, where it is one.
    #[must_use]
    pub fn readable(&self) -> Option<Attempt> {
        match self {
            Self::Readable(attempt) => Some(*attempt),
            Self::Unreadable(_) => None,
        }
    }
}

impl fmt::Display for AttemptRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Readable(attempt) => attempt.fmt(f),
            Self::Unreadable(text) => f.write_str(text),
        }
    }
}

/// A record ID as a supervisor wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordRef {
    /// One that a record can have.
    Readable(RecordId),
    /// Any other text, cut at 64 characters: no record has it.
    Unreadable(String),
}

impl Call {
    /// Which one it is.
    #[must_use]
    pub fn kind(&self) -> CallKind {
        match self {
            Self::NumJobsWanted(_) => CallKind::NumJobsWanted,
            Self::ExecuteJobs(_) => CallKind::ExecuteJobs,
            Self::GetExecutorData(_) => CallKind::GetExecutorData,
            Self::GetStatus(_) => CallKind::GetStatus,
            Self::KillJobs(_) => CallKind::KillJobs,
            Self::FixJobs(_) => CallKind::FixJobs,
            Self::Ack(_) => CallKind::Ack,
        }
    }

    /// How many `<job>` entries it has.
    #[must_use]
    pub fn job_count(&self) -> usize {
        match self {
            Self::NumJobsWanted(_) => 0,
            Self::ExecuteJobs(jobs) => jobs.len(),
            Self::GetExecutorData(jobs) => jobs.len(),
            Self::GetStatus(jobs) | Self::KillJobs(jobs) | Self::FixJobs(jobs) => jobs.len(),
            Self::Ack(changes) => changes.len(),
        }
    }
}

impl CallKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NumJobsWanted,
        Self::ExecuteJobs,
        Self::GetExecutorData,
        Self::GetStatus,
        Self::KillJobs,
        Self::FixJobs,
        Self::Ack,
    ];

    /// Whether it only asks, and is asked again and again.
    #[must_use]
    pub fn is_poll(self) -> bool {
        matches!(
            self,
            Self::NumJobsWanted | Self::GetExecutorData | Self::GetStatus
        )
    }

    /// The root element's canonical name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NumJobsWanted => "numJobsWanted",
            Self::ExecuteJobs => "executeJobs",
            Self::GetExecutorData => "getExecutorData",
            Self::GetStatus => "getStatus",
            Self::KillJobs => "killJobs",
            Self::FixJobs => "fixJobs",
            Self::Ack => "ack",
        }
    }

    /// The root element of the reply.
    #[must_use]
    pub fn response_name(self) -> &'static str {
        match self {
            Self::NumJobsWanted => "numJobsWantedResponse",
            Self::ExecuteJobs => "executeJobsResponse",
            Self::GetExecutorData => "getExecutorDataResponse",
            Self::GetStatus => "getStatusResponse",
            Self::KillJobs => "killJobsResponse",
            Self::FixJobs => "fixJobsResponse",
            Self::Ack => "ackResponse",
        }
    }
}
