//! Calls and jobs to XML, in canonical spelling.

use crate::job::{File, JobId, JobSpec, Quantity, Requirements};

use super::markup::Markup;
use super::{
    AttemptRef, Call, HeardChange, JobQuery, NAMESPACE, RecordQuery, RecordRef, Request,
    Submission, read_job,
};

/// About how long a job is, and an entry of a query, in bytes.
const JOB_BYTES: usize = 4096;
const QUERY_BYTES: usize = 64;

/// Writes a supervisor's document, whatever the spelling of its jobs' XML; of a refused job, and
/// of one whose XML cannot be read, the names.
#[must_use]
pub fn write_call(request: &Request) -> String {
    let entry_bytes = match request.call {
        Call::ExecuteJobs(_) => JOB_BYTES,
        _ => QUERY_BYTES,
    };
    let capacity = entry_bytes * (request.call.job_count() + 1);
    let mut markup = Markup::with_capacity(capacity);
    let name = request.call.kind().name();
    markup.begin(name).plain_attribute("xmlns", NAMESPACE);
    markup
        .optional_attribute("id", request.id.as_deref())
        .open();
    match &request.call {
        Call::NumJobsWanted(None) => {}
        Call::NumJobsWanted(Some(wanted)) => requirements(&mut markup, wanted),
        Call::ExecuteJobs(jobs) => jobs.iter().for_each(|job| submission(&mut markup, job)),
        Call::GetExecutorData(jobs) => jobs.iter().for_each(|job| job_query(&mut markup, job)),
        Call::GetStatus(jobs) | Call::KillJobs(jobs) | Call::FixJobs(jobs) => {
            for job in jobs {
                record_query(&mut markup, job);
            }
        }
        Call::Ack(changes) => changes
            .iter()
            .for_each(|heard| heard_change(&mut markup, heard)),
    }
    markup.close(name);
    markup.into_string()
}

/// Writes a `<job>` element, without a namespace.
#[must_use]
pub fn write_job(spec: &JobSpec) -> String {
    let mut markup = Markup::with_capacity(JOB_BYTES);
    job(&mut markup, spec);
    markup.into_string()
}

fn job_query(markup: &mut Markup, query: &JobQuery) {
    markup
        .begin("job")
        .attribute("jobID", query.job_id.as_str());
    if let Some(attempt) = query.attempt {
        markup.plain_attribute("attempt", attempt);
    }
    markup.empty();
}

fn record_query(markup: &mut Markup, query: &RecordQuery) {
    markup
        .begin("job")
        .attribute("jobID", query.job_id.as_str());
    record_attribute(markup, &query.record);
    markup.empty();
}

fn heard_change(markup: &mut Markup, heard: &HeardChange) {
    markup
        .begin("job")
        .attribute("jobID", heard.job_id.as_str());
    record_attribute(markup, &heard.record);
    markup.plain_attribute("change", heard.change).empty();
}

/// Writes a record ID as the supervisor wrote it.
pub(super) fn record_attribute(markup: &mut Markup, record: &RecordRef) {
    match record {
        RecordRef::Readable(id) => markup.plain_attribute("taskBufferRecordID", id),
        RecordRef::Unreadable(text) => markup.attribute("taskBufferRecordID", text),
    };
}

/// Writes an attempt as the supervisor wrote it.
pub(super) fn attempt_attribute(markup: &mut Markup, attempt: &AttemptRef) {
    match attempt {
        AttemptRef::Readable(attempt) => markup.plain_attribute("attempt", attempt),
        AttemptRef::Unreadable(text) => markup.attribute("attempt", text),
    };
}

fn submission(markup: &mut Markup, submission: &Submission) {
    match submission {
        Submission::Good(good) => match read_job(&good.xml) {
            Ok(spec) => job(markup, &spec),
            Err(_) => names(
                markup,
                Some(&good.key.job_id),
                &AttemptRef::Readable(good.key.attempt),
            ),
        },
        Submission::Refused(refused) => names(markup, refused.job_id.as_ref(), &refused.attempt),
    }
}

fn names(markup: &mut Markup, job_id: Option<&JobId>, attempt: &AttemptRef) {
    let job_id = job_id.map(JobId::as_str);
    markup.begin("job").optional_attribute("jobID", job_id);
    attempt_attribute(markup, attempt);
    markup.empty();
}

fn job(markup: &mut Markup, spec: &JobSpec) {
    markup
        .begin("job")
        .attribute("jobID", spec.key.job_id.as_str());
    markup.plain_attribute("attempt", spec.key.attempt).open();
    markup.optional_element("jobName", spec.name.as_deref());
    markup.optional_element("jobExecutionID", spec.execution_id.as_deref());
    markup.optional_element("taskID", spec.task_id.as_deref());
    markup.plain_element("priority", (spec.priority != 0).then_some(spec.priority));
    markup.begin("transformation").open();
    markup.optional_element("transUses", spec.transformation.uses.as_deref());
    markup.optional_element("transHome", spec.transformation.home.as_deref());
    markup.text_element("transPath", &spec.transformation.path);
    markup.optional_element("transPars", spec.transformation.parameters.as_deref());
    markup.close("transformation");
    markup.text_element("jobPars", &spec.parameters);
    if spec.requirements != Requirements::default() {
        requirements(markup, &spec.requirements);
    }
    files(markup, "inputs", &spec.inputs);
    files(markup, "outputs", &spec.outputs);
    spec.stdout
        .iter()
        .for_each(|stdout| file(markup, "stdout", stdout));
    spec.stderr
        .iter()
        .for_each(|stderr| file(markup, "stderr", stderr));
    markup.close("job");
}

fn requirements(markup: &mut Markup, wanted: &Requirements) {
    markup.begin("requirements").open();
    markup.optional_element("transUses", wanted.uses.as_deref());
    quantity(markup, "cpuCount", wanted.cpu.as_ref());
    quantity(markup, "diskCount", wanted.disk.as_ref());
    quantity(markup, "ramCount", wanted.ram.as_ref());
    markup.optional_element("ipConnectivity", wanted.ip_connectivity.as_deref());
    markup.close("requirements");
}

fn quantity(markup: &mut Markup, name: &str, quantity: Option<&Quantity>) {
    if let Some(quantity) = quantity {
        markup
            .begin(name)
            .optional_attribute("unit", quantity.unit.as_deref());
        markup.open().plain(quantity.value).close(name);
    }
}

fn files(markup: &mut Markup, name: &str, files: &[File]) {
    if !files.is_empty() {
        markup.begin(name).open();
        for one in files {
            file(markup, "file", one);
        }
        markup.close(name);
    }
}

fn file(markup: &mut Markup, name: &str, file: &File) {
    markup
        .begin(name)
        .attribute("logicalFileName", &file.logical_name);
    markup.optional_attribute("dataset", file.dataset.as_deref());
    markup.optional_attribute("destinationSE", file.destination.as_deref());
    markup.empty();
}
