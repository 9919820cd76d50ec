//! Replies to XML.

use jiff::Timestamp;

use crate::job::JobId;

use super::call_writer::{attempt_attribute, record_attribute};
use super::markup::Markup;
use super::{
    Answer, CallKind, Counts, DataAnswer, Existence, Fault, FixAnswer, KillAnswer, NAMESPACE,
    Reason, Receipt, ReceiptResult, RecordRef, Reply, Status, StatusAnswer, StatusDetail,
};

/// The root of a reply to what could not be told to be a call.
pub(super) const ERROR_RESPONSE: &str = "errorResponse";

/// About how long one entry of a reply is, in bytes.
const ENTRY_BYTES: usize = 160;

/// How much a reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Leaves out what an older peer would have to ignore.
    pub strict: bool,
}

/// Writes a reply, without an XML declaration.
#[must_use]
pub fn write_reply(reply: &Reply, style: Style) -> String {
    let entries = reply.content.as_ref().map_or(0, Answer::entry_count);
    let mut markup = Markup::with_capacity(ENTRY_BYTES * (entries + 1));
    let name = reply.call.map_or(ERROR_RESPONSE, CallKind::response_name);
    markup.begin(name).plain_attribute("xmlns", NAMESPACE);
    markup.optional_attribute("inReplyTo", reply.in_reply_to.as_deref());
    if let Ok(Answer::Receipts(receipts)) = &reply.content {
        counts(&mut markup, Counts::of(receipts));
    }
    markup.open();
    match &reply.content {
        Ok(answer) => content(&mut markup, answer, style),
        Err(fault) => {
            markup.begin("error");
            finish_error(&mut markup, fault);
        }
    }
    markup.close(name);
    markup.into_string()
}

/// Writes the bare `<error>` element, for an IQ error's application-specific child.
#[must_use]
pub fn write_fault(fault: &Fault) -> String {
    let mut markup = Markup::with_capacity(ENTRY_BYTES + fault.text.len());
    markup.begin("error").plain_attribute("xmlns", NAMESPACE);
    finish_error(&mut markup, fault);
    markup.into_string()
}

fn finish_error(markup: &mut Markup, fault: &Fault) {
    markup.plain_attribute("code", fault.code.name());
    markup.plain_attribute("retry", if fault.code.retry() { "yes" } else { "no" });
    if let Some(after) = fault.retry_after {
        let begun_second = u64::from(after.subsec_nanos() > 0);
        markup.plain_attribute("retryAfter", after.as_secs().saturating_add(begun_second));
    }
    markup.open().text(&fault.text).close("error");
}

fn counts(markup: &mut Markup, counts: Counts) {
    markup.plain_attribute("received", counts.received);
    markup.plain_attribute("stored", counts.stored);
    let others = [
        ("duplicate", counts.duplicate),
        ("conflict", counts.conflict),
        ("refused", counts.refused),
    ];
    for (name, count) in others.into_iter().filter(|(_, count)| *count > 0) {
        markup.plain_attribute(name, count);
    }
}

fn content(markup: &mut Markup, answer: &Answer, style: Style) {
    match answer {
        Answer::NumJobs(number) => markup.plain_element("numJobs", Some(number)),
        Answer::Receipts(all) => all.iter().for_each(|one| receipt(markup, one)),
        Answer::ExecutorData(all) => all.iter().for_each(|one| data(markup, one)),
        Answer::Statuses(all) => all.iter().for_each(|one| status(markup, one, style)),
        Answer::Kills(all) => all.iter().for_each(|one| kill(markup, one)),
        Answer::Fixes(all) => all.iter().for_each(|one| fix(markup, one)),
        Answer::Acknowledged => {}
    }
}

fn receipt(markup: &mut Markup, receipt: &Receipt) {
    markup.begin("job");
    match &receipt.job_id {
        Some(job_id) => markup.attribute("jobID", job_id.as_str()),
        None => markup.plain_attribute("index", receipt.index),
    };
    attempt_attribute(markup, &receipt.attempt);
    markup.plain_attribute("result", receipt.result.name());
    match &receipt.result {
        ReceiptResult::Stored(id) | ReceiptResult::Duplicate(id) => {
            markup.plain_attribute("taskBufferRecordID", id).empty();
        }
        ReceiptResult::Conflict => markup.empty(),
        ReceiptResult::Refused(why) => reason_and_end(markup, why),
    }
}

fn data(markup: &mut Markup, answer: &DataAnswer) {
    markup
        .begin("job")
        .attribute("jobID", answer.job_id.as_str());
    if let Some(attempt) = answer.attempt {
        markup.plain_attribute("attempt", attempt);
    }
    markup.plain_attribute("status", answer.existence.name());
    match &answer.existence {
        Existence::Accepted(id) => markup.plain_attribute("taskBufferRecordID", id).empty(),
        Existence::Rejected(Some(why)) => reason_and_end(markup, why),
        Existence::Rejected(None) | Existence::Unknown => markup.empty(),
    }
}

/// Ends a job's tag, and writes why it was refused and its end.
fn reason_and_end(markup: &mut Markup, reason: &Reason) {
    markup
        .open()
        .begin("reason")
        .attribute("code", &reason.code);
    if reason.text.is_empty() {
        markup.empty();
    } else {
        markup.open().text(&reason.text).close("reason");
    }
    markup.close("job");
}

fn status(markup: &mut Markup, answer: &StatusAnswer, style: Style) {
    markup
        .begin("job")
        .attribute("jobID", answer.job_id.as_str());
    record_attribute(markup, &answer.record);
    markup.plain_attribute("status", answer.status.name());
    match answer.detail.as_deref().filter(|_| !style.strict) {
        None => markup.empty(),
        Some(detail) => detail_and_end(markup, detail),
    }
}

fn detail_and_end(markup: &mut Markup, detail: &StatusDetail) {
    if let Some(outcome) = detail.result {
        markup.plain_attribute("result", outcome.name());
    }
    if let Some(since) = detail.since {
        markup.plain_attribute("since", to_the_second(since));
    }
    if !detail.has_elements() {
        return markup.empty();
    }
    markup.open();
    markup.plain_element("exitCode", detail.exit_code);
    markup.plain_element("startTime", detail.started.map(to_the_second));
    markup.plain_element("endTime", detail.ended.map(to_the_second));
    if let Some(seconds) = detail.cpu_seconds {
        markup
            .begin("cpuConsumption")
            .plain_attribute("unit", "seconds");
        markup.open().plain(seconds).close("cpuConsumption");
    }
    if let Some(error) = &detail.error {
        markup.begin("error").attribute("code", &error.code);
        markup.open().text(&error.text).close("error");
    }
    outputs(markup, detail);
    markup.close("job");
}

fn outputs(markup: &mut Markup, detail: &StatusDetail) {
    let omitted = detail.omitted_outputs;
    if detail.outputs.is_empty() && omitted == 0 {
        return;
    }
    markup.begin("outputs");
    if omitted > 0 {
        markup.plain_attribute("omitted", omitted);
    }
    markup.open();
    for file in &detail.outputs {
        markup
            .begin("file")
            .attribute("logicalFileName", &file.logical_name);
        markup.plain_attribute("size", file.size);
        markup.attribute("sha256", &file.sha256).empty();
    }
    markup.close("outputs");
}

/// RFC 3339 in UTC, without a fraction.
pub(super) fn to_the_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn kill(markup: &mut Markup, answer: &KillAnswer) {
    let (job_id, record) = (&answer.job_id, &answer.record);
    outcome(markup, job_id, record, answer.result.name(), answer.status);
}

fn fix(markup: &mut Markup, answer: &FixAnswer) {
    let (job_id, record) = (&answer.job_id, &answer.record);
    outcome(markup, job_id, record, answer.result.name(), answer.status);
}

/// What came of doing something to a record, and the record's word after it.
fn outcome(
    markup: &mut Markup,
    job_id: &JobId,
    record: &RecordRef,
    result: &'static str,
    status: Status,
) {
    markup.begin("job").attribute("jobID", job_id.as_str());
    record_attribute(markup, record);
    markup.plain_attribute("result", result);
    markup.plain_attribute("status", status.name()).empty();
}
