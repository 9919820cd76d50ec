//! The jobs of an executeJobs.

use std::collections::HashSet;

use rayon::prelude::*;

use crate::job::{Attempt, JobId, JobKey, command};

use super::characters;
use super::envelope::{Entry, Envelope, Keys};
use super::error::Problem;
use super::excerpt;
use super::job_reader;
use super::reader::{attempt_ref, part};
use super::{Reason, RefusedJob, Submission, SubmittedJob};

/// From so many jobs on it pays to read them on several cores.
const MANY_JOBS: usize = 100;

/// The jobs' names, if all of them can be read.
pub(super) fn keys(envelope: &Envelope<'_>) -> Option<Vec<JobKey>> {
    let entries = envelope.entries.iter();
    entries.map(|entry| key(&entry.keys)).collect()
}

fn key(keys: &Keys<'_>) -> Option<JobKey> {
    let trimmed = |text: &str| text.trim_matches(characters::is_space).to_owned();
    if keys.twice.is_some() {
        return None;
    }
    let attempt = keys.attempt.as_deref().map(|text| trimmed(text).parse());
    Some(JobKey {
        job_id: JobId::new(trimmed(keys.job_id.as_deref()?)).ok()?,
        attempt: attempt.unwrap_or(Ok(Attempt::FIRST)).ok()?,
    })
}

/// Reads the jobs of a large request on all cores: that takes longer than all else about it.
/// `known`: see [`OpenCall::read`](super::OpenCall::read).
pub(super) fn read(
    document: &str,
    envelope: &Envelope<'_>,
    mut known: Vec<Option<SubmittedJob>>,
) -> Result<Vec<Submission>, Problem> {
    let entries = &envelope.entries;
    known.resize_with(entries.len(), || None);
    let read = |((place, entry), known): ((usize, &Entry<'_>), _)| {
        read_one(document, envelope, entry, place + 1, known)
    };
    let read: Vec<_> = if entries.len() < MANY_JOBS {
        entries.iter().enumerate().zip(known).map(read).collect()
    } else {
        let entries = entries.par_iter().enumerate();
        entries.zip(known).map(read).collect()
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
fn read_one(
    document: &str,
    envelope: &Envelope<'_>,
    entry: &Entry<'_>,
    index: usize,
    known: Option<SubmittedJob>,
) -> Result<(Option<(JobId, Attempt)>, Submission), Problem> {
    let xml = document.get(entry.range.clone()).unwrap_or_default();
    let xml = excerpt::readable_alone(xml, entry.element, &envelope.bindings);
    if let Some(known) = known.filter(|known| known.xml == xml) {
        let key = (known.key.job_id.clone(), known.key.attempt);
        return Ok((Some(key), Submission::Good(Box::new(known))));
    }
    let mut elements = part(document, entry.range.clone(), envelope)?;
    let (element, _) = elements.root()?;
    let job = job_reader::read_content(&mut elements, element, &entry.keys)?;
    elements.finish()?;
    let key = job.job_id.clone().zip(job.attempt);
    let spec = job.spec.and_then(|spec| match command::check(&spec) {
        Ok(()) => Ok(spec),
        Err(text) => Err(Reason {
            code: "invalid-field".into(),
            text,
        }),
    });
    let submission = match spec {
        Ok(spec) => Submission::Good(Box::new(SubmittedJob::new(spec, xml.into_owned()))),
        Err(reason) => Submission::Refused(RefusedJob {
            index,
            job_id: job.job_id,
            attempt: attempt_ref(entry.keys.attempt.as_deref()),
            reason,
        }),
    };
    Ok((key, submission))
}
