//! What the buffer said, in the supervisor's words. Pure.

use std::time::Duration;

use crate::buffer::{BufferError, Kill, KnownJob, Lookup, NewJob, Stored};
use crate::job::{Attempt, JobId, Phase, RecordId, Refusal, State};
use crate::windmill::{
    Answer, AttemptRef, Call, DataAnswer, Existence, Fault, FaultCode, FixAnswer, FixResult,
    KillAnswer, KillResult, Reason, Receipt, ReceiptResult, RecordQuery, RecordRef, Reply, Status,
    Submission,
};

use super::Finding;

/// Splits an executeJobs into what is stored as jobs and what is recorded as refused. A refused
/// job without a name cannot be asked for again, so there is nothing to record.
pub(super) fn for_the_store(jobs: Vec<Submission>) -> (Vec<NewJob>, Vec<Refusal>) {
    let mut good = Vec::with_capacity(jobs.len());
    let mut refused = Vec::new();
    for job in jobs {
        match job {
            Submission::Good(job) => good.push(NewJob {
                content: job.content,
                key: job.key,
                priority: job.priority,
                state: State::Ready,
                payload: job.xml,
            }),
            Submission::Refused(job) => {
                let key = job.job_id.zip(job.attempt.readable());
                refused.extend(key.map(|(job_id, attempt)| Refusal {
                    job_id,
                    attempt,
                    code: job.reason.code,
                    text: job.reason.text,
                }));
            }
        }
    }
    (good, refused)
}

/// One receipt for each job, in order. Those of good jobs say, until the store has answered, what
/// takes the most room.
pub(super) fn open_receipts(jobs: &[Submission]) -> Vec<Receipt> {
    let jobs = jobs.iter().zip(1..);
    jobs.map(|(job, index)| match job {
        Submission::Good(job) => Receipt {
            index,
            job_id: Some(job.key.job_id.clone()),
            attempt: AttemptRef::Readable(job.key.attempt),
            result: ReceiptResult::Duplicate(RecordId::MAX),
        },
        Submission::Refused(job) => Receipt {
            index: job.index,
            job_id: job.job_id.clone(),
            attempt: job.attempt.clone(),
            result: ReceiptResult::Refused(job.reason.clone()),
        },
    })
    .collect()
}

/// Fills in what the store said of the good jobs.
pub(super) fn receipts(mut open: Vec<Receipt>, stored: Vec<Stored>) -> Result<Answer, Fault> {
    let is_good = |receipt: &&mut Receipt| !matches!(receipt.result, ReceiptResult::Refused(_));
    let mut stored = stored.into_iter();
    for receipt in open.iter_mut().filter(is_good) {
        receipt.result = match stored.next() {
            Some(Stored::New(id)) => ReceiptResult::Stored(id),
            Some(Stored::Duplicate(id)) => ReceiptResult::Duplicate(id),
            Some(Stored::Conflict) => ReceiptResult::Conflict,
            None => {
                return Err(incident(
                    "the store answered for fewer jobs than it was given",
                ));
            }
        };
    }
    Ok(Answer::Receipts(open))
}

/// An outage of the store is the same for every entry.
pub(super) fn each_or_unreachable<T>(
    found: Result<Vec<Lookup<T>>, BufferError>,
    entries: usize,
) -> Vec<Lookup<T>> {
    found.unwrap_or_else(|_| {
        std::iter::repeat_with(|| Lookup::Unreachable)
            .take(entries)
            .collect()
    })
}

/// The pairs that the store can be asked for.
pub(super) fn readable(queries: &[RecordQuery]) -> Vec<(JobId, RecordId)> {
    let pairs = queries.iter().filter_map(|query| match query.record {
        RecordRef::Readable(id) => Some((query.job_id.clone(), id)),
        RecordRef::Unreadable(_) => None,
    });
    pairs.collect()
}

/// Puts the entries back that the store was not asked for: no record has such an ID.
pub(super) fn absent_where_unreadable<T>(
    queries: &[RecordQuery],
    found: Vec<Lookup<T>>,
) -> Vec<Lookup<T>> {
    let mut found = found.into_iter();
    let entries = queries.iter().map(|query| match query.record {
        RecordRef::Readable(_) => found.next().unwrap_or(Lookup::Unreachable),
        RecordRef::Unreadable(_) => Lookup::Absent,
    });
    entries.collect()
}

pub(super) fn executor_data(
    asked: Vec<(JobId, Option<Attempt>)>,
    found: Vec<Lookup<KnownJob>>,
) -> Vec<DataAnswer> {
    let entries = asked.into_iter().zip(found);
    entries
        .map(|((job_id, asked), found)| {
            let (attempt, existence) = match found {
                Lookup::Found(KnownJob::Accepted { id, attempt }) => {
                    (Some(attempt), Existence::Accepted(id))
                }
                Lookup::Found(KnownJob::Refused(refusal)) => {
                    let Refusal { code, text, .. } = refusal;
                    (asked, Existence::Rejected(Some(Reason { code, text })))
                }
                Lookup::Absent => (asked, Existence::Rejected(None)),
                Lookup::Unreachable => (asked, Existence::Unknown),
            };
            DataAnswer {
                job_id,
                attempt,
                existence,
            }
        })
        .collect()
}

pub(super) fn kills(queries: Vec<RecordQuery>, killed: &[Lookup<Kill>]) -> Vec<KillAnswer> {
    let entries = queries.into_iter().zip(killed);
    entries
        .map(|(query, killed)| KillAnswer {
            job_id: query.job_id,
            record: query.record,
            result: match killed {
                Lookup::Found(Kill::Killed) => KillResult::Killed,
                Lookup::Found(Kill::Requested(_)) => KillResult::KillRequested,
                Lookup::Found(Kill::AlreadyFinished(_)) => KillResult::AlreadyFinished,
                Lookup::Absent => KillResult::Rejected,
                Lookup::Unreachable => KillResult::Unknown,
            },
            status: word(killed, |kill| match kill {
                Kill::Killed => Status::Finished,
                Kill::Requested(state) | Kill::AlreadyFinished(state) => status(*state),
            }),
        })
        .collect()
}

/// A record as it is now, and what looking again came to.
pub(super) fn fixes(
    queries: Vec<RecordQuery>,
    looked: &[Lookup<(State, Finding)>],
) -> Vec<FixAnswer> {
    let entries = queries.into_iter().zip(looked);
    entries
        .map(|(query, looked)| FixAnswer {
            job_id: query.job_id,
            record: query.record,
            result: match looked {
                Lookup::Found((_, Finding::Corrected)) => FixResult::Fixed,
                Lookup::Found((_, Finding::Right)) => FixResult::Unchanged,
                Lookup::Absent => FixResult::Rejected,
                Lookup::Found((_, Finding::Unclear)) | Lookup::Unreachable => FixResult::Unknown,
            },
            status: word(looked, |(state, _)| status(*state)),
        })
        .collect()
}

/// The word for a look-up: the two that are never stored come from here and nowhere else.
pub(super) fn word<T>(found: &Lookup<T>, stored: impl FnOnce(&T) -> Status) -> Status {
    match found {
        Lookup::Found(found) => stored(found),
        Lookup::Absent => Status::Rejected,
        Lookup::Unreachable => Status::Unknown,
    }
}

pub(super) fn status(state: State) -> Status {
    match state.phase() {
        Phase::Pending => Status::Pending,
        Phase::Running => Status::Running,
        Phase::Finished(_) => Status::Finished,
    }
}

/// The longest answer to a call that changes something; `None` for a call that does not.
pub(super) fn worst(call: &Call) -> Option<Answer> {
    match call {
        Call::ExecuteJobs(jobs) => {
            let mut receipts = open_receipts(jobs);
            drop_reason_texts(&mut receipts);
            Some(Answer::Receipts(receipts))
        }
        Call::KillJobs(queries) => {
            let worst = queries.iter().cloned().map(|query| KillAnswer {
                job_id: query.job_id,
                record: query.record,
                result: KillResult::AlreadyFinished,
                status: Status::Finished,
            });
            Some(Answer::Kills(worst.collect()))
        }
        Call::FixJobs(queries) => {
            let worst = queries.iter().cloned().map(|query| FixAnswer {
                job_id: query.job_id,
                record: query.record,
                result: FixResult::Unchanged,
                status: Status::Finished,
            });
            Some(Answer::Fixes(worst.collect()))
        }
        Call::Ack(_) => Some(Answer::Acknowledged),
        Call::NumJobsWanted(_) | Call::GetExecutorData(_) | Call::GetStatus(_) => None,
    }
}

/// Takes the sentences out of a reply, and leaves their codes.
pub(super) fn drop_texts(reply: &mut Reply) {
    match &mut reply.content {
        Ok(Answer::Receipts(receipts)) => drop_reason_texts(receipts),
        Ok(Answer::ExecutorData(entries)) => {
            for entry in entries {
                if let Existence::Rejected(Some(reason)) = &mut entry.existence {
                    reason.text.clear();
                }
            }
        }
        Ok(Answer::Statuses(entries)) => {
            let details = entries.iter_mut().filter_map(|entry| entry.detail.as_mut());
            for error in details.filter_map(|detail| detail.error.as_mut()) {
                error.text.clear();
            }
        }
        _ => (),
    }
}

/// The reply with `unknown` wherever it says `rejected`; `None` where it does not.
pub(super) fn without_rejections(reply: &Reply) -> Option<Reply> {
    let mut doubtful = reply.clone();
    let Ok(answer) = &mut doubtful.content else {
        return None;
    };
    let mut found = false;
    let mut doubt = |status: &mut Status| {
        let is_rejected = *status == Status::Rejected;
        if is_rejected {
            *status = Status::Unknown;
        }
        found |= is_rejected;
        is_rejected
    };
    match answer {
        Answer::ExecutorData(entries) => {
            for entry in entries.iter_mut().filter(|entry| entry.is_rejected()) {
                entry.existence = Existence::Unknown;
                found = true;
            }
        }
        Answer::Statuses(entries) => {
            for entry in entries {
                doubt(&mut entry.status);
            }
        }
        Answer::Kills(entries) => {
            for entry in entries {
                if doubt(&mut entry.status) {
                    entry.result = KillResult::Unknown;
                }
            }
        }
        Answer::Fixes(entries) => {
            for entry in entries {
                if doubt(&mut entry.status) {
                    entry.result = FixResult::Unknown;
                }
            }
        }
        Answer::NumJobs(_) | Answer::Receipts(_) | Answer::Acknowledged => {}
    }
    found.then_some(doubtful)
}

/// Leaves out half of the outputs of a lone job; `false`: there are none to leave out.
pub(super) fn drop_outputs_of_one(reply: &mut Reply) -> bool {
    let Ok(Answer::Statuses(entries)) = &mut reply.content else {
        return false;
    };
    let [entry] = entries.as_mut_slice() else {
        return false;
    };
    let Some(detail) = entry
        .detail
        .as_mut()
        .filter(|detail| !detail.outputs.is_empty())
    else {
        return false;
    };
    let kept = detail.outputs.len() / 2;
    detail.omitted_outputs += detail.outputs.len() - kept;
    detail.outputs.truncate(kept);
    true
}

fn drop_reason_texts(receipts: &mut [Receipt]) {
    for receipt in receipts {
        if let ReceiptResult::Refused(reason) = &mut receipt.result {
            reason.text.clear();
        }
    }
}

/// Whether they say of every job that it is there, and nothing else.
pub(super) fn only_say_stored(receipts: &[Receipt]) -> bool {
    use ReceiptResult::{Duplicate, Stored};
    receipts
        .iter()
        .all(|receipt| matches!(receipt.result, Stored(_) | Duplicate(_)))
}

pub(super) fn reply_too_large() -> Fault {
    let text = "the answer would be longer than a stanza may be (xmpp.max_stanza); \
                nothing was done, ask for fewer jobs at a time";
    Fault::new(FaultCode::ReplyTooLarge, text)
}

pub(super) fn too_old(age: Duration, limit: Duration) -> Fault {
    let (age, limit) = (age.as_secs(), limit.as_secs());
    let text = format!(
        "this executeJobs was delivered {age} s after it was sent, and {limit} s is the limit \
         (bridge.max_age); nothing was stored"
    );
    Fault::new(FaultCode::Stale, text)
}

/// Why a call that changes something could not be seen through.
pub(super) fn store_fault(error: &BufferError) -> Fault {
    match error {
        BufferError::Unreachable(_)
        | BufferError::Full(_)
        | BufferError::ReadOnly(_)
        | BufferError::Conflict(_)
        | BufferError::Restored => {
            let text = "the task buffer cannot be reached, is full or takes no writes; nothing is \
                        known to be done, send the request again later";
            Fault::new(FaultCode::DatabaseUnavailable, text)
        }
        BufferError::Stale => {
            let text = "a job of this executeJobs was, or may have been, answered `rejected` after \
                        the request was sent, and given away; nothing was stored";
            Fault::new(FaultCode::Stale, text)
        }
        BufferError::Corrupt(text) => incident(text),
    }
}

/// A bug of ours: the supervisor hears a number, the log says what happened under it.
#[must_use]
pub fn incident(what: &str) -> Fault {
    let incident: u32 = rand::random();
    tracing::error!(
        incident = format!("{incident:08x}"),
        what,
        "a request could not be answered"
    );
    Fault::new(
        FaultCode::Internal,
        format!("internal error, incident {incident:08x}"),
    )
}
