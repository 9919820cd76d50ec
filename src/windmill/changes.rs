//! What a supervisor is told unasked: how its jobs' words have changed.

use jiff::Timestamp;

use crate::job::{JobKey, Outcome, RecordId};

use super::markup::Markup;
use super::reply_writer::to_the_second;
use super::{NAMESPACE, Status};

/// The root of what is told unasked.
pub const JOB_CHANGED: &str = "jobChanged";

/// About how long one entry is, in bytes.
const ENTRY_BYTES: usize = 190;

/// A job whose word has changed since its supervisor was last heard to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedJob {
    /// The supervisor's name for it, and its try at it.
    pub key: JobKey,
    /// Its record.
    pub record: RecordId,
    /// The word that it has now: pending, running or finished.
    pub status: Status,
    /// How it ended; only with finished.
    pub result: Option<Outcome>,
    /// When it entered its state; told to the second.
    pub since: Timestamp,
    /// Grows with each change of this job: what has a smaller one is old. An ack repeats it.
    pub change: u64,
}

/// Writes a `jobChanged`, without an XML declaration.
#[must_use]
pub fn write_job_changed(jobs: &[ChangedJob]) -> String {
    let mut markup = Markup::with_capacity(ENTRY_BYTES * (jobs.len() + 1));
    markup.begin(JOB_CHANGED);
    markup.plain_attribute("xmlns", NAMESPACE).open();
    for job in jobs {
        entry(&mut markup, job);
    }
    markup.close(JOB_CHANGED);
    markup.into_string()
}

fn entry(markup: &mut Markup, job: &ChangedJob) {
    markup
        .begin("job")
        .attribute("jobID", job.key.job_id.as_str());
    markup.plain_attribute("attempt", job.key.attempt);
    markup.plain_attribute("taskBufferRecordID", job.record);
    markup.plain_attribute("status", job.status.name());
    if let Some(outcome) = job.result {
        markup.plain_attribute("result", outcome.name());
    }
    markup.plain_attribute("since", to_the_second(job.since));
    markup.plain_attribute("change", job.change).empty();
}
