//! Documents to calls.

use std::collections::HashSet;
use std::ops::Range;

use rayon::prelude::*;

use crate::job::{Attempt, JobId, Requirements};

use super::characters;
use super::elements::Elements;
use super::envelope::{self, Entry, Envelope, Header};
use super::error::Problem;
use super::excerpt;
use super::fields::Fields;
use super::job_reader::{self, ReadJob};
use super::{
    Call, CallKind, FaultCode, JobQuery, ReadError, RecordQuery, RecordRef, RefusedJob, Request,
    Submission, SubmittedJob,
};

/// How much one document may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest document, in bytes.
    pub max_bytes: usize,
    /// The most `<job>` entries of one call.
    pub max_jobs: usize,
}

/// From so many jobs on it pays to read them on several cores.
const MANY_JOBS: usize = 100;

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
/// cannot be stored is no error: it is [`Submission::Refused`].
pub fn read_call(document: &[u8], limits: &Limits) -> Result<Request, ReadError> {
    let read = |text: &str, envelope: Envelope<'_>| build(text, &envelope);
    let (call, id) = located(document, limits, read)?;
    Ok(Request { id, call })
}

/// What a document asks, and where its jobs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// The call.
    pub call: CallKind,
    /// The root's `id`.
    pub id: Option<String>,
    /// The `<job>` elements, in order, as byte ranges of the document.
    pub jobs: Vec<Range<usize>>,
}

/// Looks at a whole document as [`read_call`] does, without building anything of it. What is
/// wrong within the jobs of an executeJobs is for `read_call` to say.
pub fn outline(document: &[u8], limits: &Limits) -> Result<Outline, ReadError> {
    let ((call, jobs), id) = located(document, limits, |_, envelope| {
        let ranges = envelope.entries.into_iter().map(|entry| entry.range);
        Ok((envelope.call, ranges.collect()))
    })?;
    Ok(Outline { call, id, jobs })
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

/// Reads the envelope, makes something of it, and adds the ID, or to an error its place.
fn located<T>(
    document: &[u8],
    limits: &Limits,
    make: impl FnOnce(&str, Envelope<'_>) -> Result<T, Problem>,
) -> Result<(T, Option<String>), ReadError> {
    let mut header = Header::default();
    match open(document, limits, &mut header).and_then(|(text, envelope)| make(text, envelope)) {
        Ok(value) => Ok((value, header.id)),
        Err(problem) => {
            if header.call.is_none() && header.id.is_none() {
                header = envelope::peek(sound_part(document, problem.at));
            }
            Err(problem.located(document, header.call, header.id))
        }
    }
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
    if envelope.entries.is_empty() && envelope.call != CallKind::NumJobsWanted {
        let problem = Problem::invalid(envelope.root.tag.at, "there is no <job> in it");
        return Err(problem.within(envelope.root.tag.name));
    }
    Ok((document, envelope))
}

fn build(document: &str, envelope: &Envelope<'_>) -> Result<Call, Problem> {
    Ok(match envelope.call {
        CallKind::NumJobsWanted => Call::NumJobsWanted(read_requirements(document, envelope)?),
        CallKind::ExecuteJobs => Call::ExecuteJobs(read_submissions(document, envelope)?),
        CallKind::GetExecutorData => Call::GetExecutorData(each(envelope, read_job_query)?),
        CallKind::GetStatus => Call::GetStatus(each(envelope, read_record_query)?),
        CallKind::KillJobs => Call::KillJobs(each(envelope, read_record_query)?),
        CallKind::FixJobs => Call::FixJobs(each(envelope, read_record_query)?),
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
fn part<'a>(
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

/// Reads the jobs of a large request on all cores: that takes longer than all else about it.
fn read_submissions(document: &str, envelope: &Envelope<'_>) -> Result<Vec<Submission>, Problem> {
    let entries = &envelope.entries;
    let read = |(place, entry)| read_submission(document, envelope, entry, place + 1);
    let read: Vec<_> = if entries.len() < MANY_JOBS {
        entries.iter().enumerate().map(read).collect()
    } else {
        entries.par_iter().enumerate().map(read).collect()
    };
    let mut named = HashSet::new();
    let mut submissions = Vec::with_capacity(entries.len());
    for (entry, read) in entries.iter().zip(read) {
        let (key, submission) = read?;
        if let Some(key) = key
            && let Some((job_id, attempt)) = named.replace(key)
        {
            let text = format!("the job {job_id} with attempt {attempt} is there twice");
            return Err(Problem::invalid(entry.element.tag.at, text).within(entry.element.tag.name));
        }
        submissions.push(submission);
    }
    Ok(submissions)
}

/// A job, and its key where that can be read.
fn read_submission(
    document: &str,
    envelope: &Envelope<'_>,
    entry: &Entry<'_>,
    index: usize,
) -> Result<(Option<(JobId, Attempt)>, Submission), Problem> {
    let mut elements = part(document, entry.range.clone(), envelope)?;
    let (element, _) = elements.root()?;
    let job = job_reader::read_content(&mut elements, element, &entry.keys)?;
    elements.finish()?;
    let key = job.job_id.clone().zip(job.attempt);
    Ok((key, submission(document, envelope, entry, index, job)))
}

fn submission(
    document: &str,
    envelope: &Envelope<'_>,
    entry: &Entry<'_>,
    index: usize,
    job: ReadJob,
) -> Submission {
    match job.spec {
        Ok(spec) => {
            let xml = document.get(entry.range.clone()).unwrap_or_default();
            let xml = excerpt::readable_alone(xml, entry.element, &envelope.bindings);
            Submission::Good(Box::new(SubmittedJob::new(spec, xml)))
        }
        Err(reason) => Submission::Refused(RefusedJob {
            index,
            job_id: job.job_id,
            attempt: job.attempt.unwrap_or(Attempt::FIRST),
            reason,
        }),
    }
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
