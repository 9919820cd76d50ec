//! Documents to calls.

use std::ops::Range;

use crate::job::{Attempt, JobId, JobKey, Requirements};

use super::characters;
use super::elements::Elements;
use super::envelope::{self, Entry, Envelope, Header};
use super::error::Problem;
use super::fields::Fields;
use super::submissions;
use super::{
    AttemptRef, Call, CallKind, FaultCode, HeardChange, JobQuery, ReadError, RecordQuery,
    RecordRef, Request, SubmittedJob,
};

/// How much one document may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest document, in bytes.
    pub max_bytes: usize,
    /// The most `<job>` entries of one call.
    pub max_jobs: usize,
}

/// The longest record ID that is repeated although it is none, in characters.
const MAX_UNREADABLE_CHARS: usize = 64;

/// Reads a supervisor's document. Time and memory are linear in its size.
///
/// All of it is looked at before anything is built: UTF-8 (with or without a byte order mark), no
/// DTD, no entities but the predefined five, no forbidden characters, no more than
/// [`MAX_DEPTH`](super::MAX_DEPTH) levels, one root. Unknown and foreign elements and attributes
/// are ignored. Every text loses the white space around it, but for the `id`.
///
/// Errors have the code `malformed`, `invalid`, `unsupported-call` or `too-large`. A job that
/// cannot be stored is no error: it is [`Submission::Refused`](super::Submission::Refused).
pub fn read_call(document: &[u8], limits: &Limits) -> Result<Request, ReadError> {
    open_call(document, limits)?.read(Vec::new())
}

/// A document of which all is looked at and nothing is built yet. What is wrong within the jobs of
/// an executeJobs is still to be seen.
#[derive(Debug)]
pub struct OpenCall<'a> {
    document: &'a str,
    envelope: Envelope<'a>,
    id: Option<String>,
}

/// The first half of [`read_call`].
pub fn open_call<'a>(document: &'a [u8], limits: &Limits) -> Result<OpenCall<'a>, ReadError> {
    let mut header = Header::default();
    match open(document, limits, &mut header) {
        Ok((document, envelope)) => Ok(OpenCall {
            document,
            envelope,
            id: header.id,
        }),
        Err(problem) => {
            if header.call.is_none() && header.id.is_none() {
                header = envelope::peek(sound_part(document, problem.at));
            }
            Err(problem.located(document, header.call, header.id))
        }
    }
}

impl OpenCall<'_> {
    /// The names of an executeJobs' jobs, in order, if all can be read; none of another call.
    #[must_use]
    pub fn job_keys(&self) -> Vec<JobKey> {
        match self.envelope.call {
            CallKind::ExecuteJobs => submissions::keys(&self.envelope).unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// How many `<job>` elements it has.
    #[must_use]
    pub fn job_count(&self) -> usize {
        self.envelope.entries.len()
    }

    /// The second half of [`read_call`]. `known` has for each of [`job_keys`](Self::job_keys), in
    /// order, what was read under that name before, or is empty: a job that came in the very same
    /// XML is not read again.
    pub fn read(self, known: Vec<Option<SubmittedJob>>) -> Result<Request, ReadError> {
        match build(self.document, &self.envelope, known) {
            Ok(call) => Ok(Request { id: self.id, call }),
            Err(problem) => {
                let call = Some(self.envelope.call);
                Err(problem.located(self.document.as_bytes(), call, self.id))
            }
        }
    }
}

/// The call that a document's root names, from its prolog and its first tag alone.
#[must_use]
pub fn peek_kind(document: &str) -> Option<CallKind> {
    envelope::peek(trimmed(document).0).call
}

/// The `id` of a document's root, from its prolog and its first tag alone.
#[must_use]
pub fn peek_id(document: &str) -> Option<String> {
    envelope::peek(trimmed(document).0).id
}

fn open<'a>(
    document: &'a [u8],
    limits: &Limits,
    header: &mut Header,
) -> Result<(&'a str, Envelope<'a>), Problem> {
    if document.len() > limits.max_bytes {
        let text = format!(
            "the document has {} bytes, and {} are allowed; send fewer jobs at a time",
            document.len(),
            limits.max_bytes
        );
        return Err(Problem::new(FaultCode::TooLarge, limits.max_bytes, text));
    }
    let document = characters::check(document)?;
    let (text, base) = trimmed(document);
    let envelope = Envelope::read(text, base, limits.max_jobs, header)?;
    let may_be_empty = matches!(envelope.call, CallKind::NumJobsWanted | CallKind::Ack);
    if envelope.entries.is_empty() && !may_be_empty {
        let problem = Problem::invalid(envelope.root.tag.at, "there is no <job> in it");
        return Err(problem.within(envelope.root.tag.name));
    }
    Ok((document, envelope))
}

fn build(
    document: &str,
    envelope: &Envelope<'_>,
    known: Vec<Option<SubmittedJob>>,
) -> Result<Call, Problem> {
    Ok(match envelope.call {
        CallKind::NumJobsWanted => Call::NumJobsWanted(read_requirements(document, envelope)?),
        CallKind::ExecuteJobs => Call::ExecuteJobs(submissions::read(document, envelope, known)?),
        CallKind::GetExecutorData => Call::GetExecutorData(each(envelope, read_job_query)?),
        CallKind::GetStatus => Call::GetStatus(each(envelope, read_record_query)?),
        CallKind::KillJobs => Call::KillJobs(each(envelope, read_record_query)?),
        CallKind::FixJobs => Call::FixJobs(each(envelope, read_record_query)?),
        CallKind::Ack => Call::Ack(each(envelope, read_heard_change)?),
    })
}

/// The document without a byte order mark and the white space around it, and where that begins.
pub(super) fn trimmed(document: &str) -> (&str, usize) {
    let marked = document.strip_prefix('\u{FEFF}').unwrap_or(document);
    let text = marked.trim_start_matches(characters::is_space);
    let base = document.len() - text.len();
    (text.trim_end_matches(characters::is_space), base)
}

/// What stands before a problem, as far as it is text.
fn sound_part(document: &[u8], end: usize) -> &str {
    let part = document.get(..end).unwrap_or(document);
    let part = str::from_utf8(part).unwrap_or_else(|error| {
        let valid = part.get(..error.valid_up_to()).unwrap_or_default();
        str::from_utf8(valid).unwrap_or_default()
    });
    trimmed(part).0
}

fn read_requirements(
    document: &str,
    envelope: &Envelope<'_>,
) -> Result<Option<Requirements>, Problem> {
    let Some(range) = envelope.requirements.clone() else {
        return Ok(None);
    };
    let mut elements = part(document, range, envelope)?;
    elements.root()?;
    let mut fields = Fields::default();
    let requirements = fields.requirements(&mut elements)?;
    match fields.into_complaint() {
        None => Ok(Some(requirements)),
        Some(complaint) => {
            let problem = Problem::invalid(complaint.at, complaint.reason.text);
            Err(problem.within(&complaint.element))
        }
    }
}

/// The elements in a part of a document.
pub(super) fn part<'a>(
    document: &'a str,
    range: Range<usize>,
    envelope: &Envelope<'_>,
) -> Result<Elements<'a>, Problem> {
    let base = range.start;
    Elements::within(
        document.get(range).unwrap_or_default(),
        base,
        &envelope.bindings,
    )
}

/// Reads every entry of a query.
fn each<T>(
    envelope: &Envelope<'_>,
    read: fn(&Entry<'_>) -> Result<T, String>,
) -> Result<Vec<T>, Problem> {
    let located = |entry: &Entry<'_>| {
        read(entry).map_err(|text| {
            let tag = entry.element.tag;
            Problem::invalid(tag.at, text).within(tag.name)
        })
    };
    envelope.entries.iter().map(located).collect()
}

fn read_job_query(entry: &Entry<'_>) -> Result<JobQuery, String> {
    let job_id = queried_job_id(entry)?;
    let attempt = entry.keys.attempt.as_deref();
    let attempt = attempt.map(|text| text.trim_matches(characters::is_space).parse::<Attempt>());
    let attempt = attempt.transpose().map_err(|error| error.to_string())?;
    Ok(JobQuery { job_id, attempt })
}

fn read_record_query(entry: &Entry<'_>) -> Result<RecordQuery, String> {
    let job_id = queried_job_id(entry)?;
    let text = entry
        .keys
        .record_id
        .as_deref()
        .ok_or("taskBufferRecordID is missing")?;
    Ok(RecordQuery {
        job_id,
        record: record_ref(text),
    })
}

fn read_heard_change(entry: &Entry<'_>) -> Result<HeardChange, String> {
    let RecordQuery { job_id, record } = read_record_query(entry)?;
    let text = entry.keys.change.as_deref().ok_or("change is missing")?;
    let change = text.trim_matches(characters::is_space).parse();
    Ok(HeardChange {
        job_id,
        record,
        change: change.map_err(|_| "change is not a whole number from 0".to_owned())?,
    })
}

fn queried_job_id(entry: &Entry<'_>) -> Result<JobId, String> {
    if let Some(name) = entry.keys.twice {
        return Err(format!("{name} is given twice"));
    }
    let text = entry.keys.job_id.as_deref().ok_or("jobID is missing")?;
    JobId::new(text.trim_matches(characters::is_space)).map_err(|error| error.to_string())
}

/// A record ID, or the text that is none.
pub(super) fn record_ref(text: &str) -> RecordRef {
    match text.trim_matches(characters::is_space).parse() {
        Ok(id) => RecordRef::Readable(id),
        Err(_) => RecordRef::Unreadable(text.chars().take(MAX_UNREADABLE_CHARS).collect()),
    }
}

/// An attempt, or the text that is none; the first one where there is no text.
pub(super) fn attempt_ref(text: Option<&str>) -> AttemptRef {
    let Some(text) = text else {
        return AttemptRef::Readable(Attempt::FIRST);
    };
    match text.trim_matches(characters::is_space).parse() {
        Ok(attempt) => AttemptRef::Readable(attempt),
        Err(_) => AttemptRef::Unreadable(text.chars().take(MAX_UNREADABLE_CHARS).collect()),
    }
}
