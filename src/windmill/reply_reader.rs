//! Replies back to their types, for the supervisor's side.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;

use crate::job::{JobId, Outcome, RecordId};

use super::characters;
use super::elements::{Element, Elements};
use super::error::Problem;
use super::reader::{attempt_ref, record_ref, trimmed};
use super::reply_writer::ERROR_RESPONSE;
use super::{
    Answer, CallKind, DataAnswer, Existence, Fault, FaultCode, FixAnswer, FixResult, KillAnswer,
    KillResult, OutputFile, ReadError, Reason, Receipt, ReceiptResult, RecordRef, Reply, Status,
    StatusAnswer, StatusDetail,
};

/// Reads a reply of an executor's.
pub fn read_reply(document: &str) -> Result<Reply, ReadError> {
    read(document).map_err(|problem| problem.located(document.as_bytes(), None, None))
}

fn read(document: &str) -> Result<Reply, Problem> {
    let (text, base) = trimmed(characters::check(document.as_bytes())?);
    let mut reader = ReplyReader {
        elements: Elements::new(text, base),
    };
    let (root, ours) = reader.elements.root()?;
    let in_reply_to = reader.attribute(root, "inReplyTo")?;
    let call = CallKind::ALL
        .into_iter()
        .find(|call| call.response_name() == root.name);
    if !ours || call.is_none() && root.name != ERROR_RESPONSE {
        return Err(Problem::invalid(root.tag.at, "this is no reply").within(root.tag.name));
    }
    let content = reader.content(root, call)?;
    reader.elements.finish()?;
    Ok(Reply {
        call,
        in_reply_to,
        content,
    })
}

struct ReplyReader<'a> {
    elements: Elements<'a>,
}

impl ReplyReader<'_> {
    fn content(
        &mut self,
        root: Element<'_>,
        call: Option<CallKind>,
    ) -> Result<Result<Answer, Fault>, Problem> {
        let mut answer = match call {
            None | Some(CallKind::NumJobsWanted) => None,
            Some(CallKind::ExecuteJobs) => Some(Answer::Receipts(Vec::new())),
            Some(CallKind::GetExecutorData) => Some(Answer::ExecutorData(Vec::new())),
            Some(CallKind::GetStatus) => Some(Answer::Statuses(Vec::new())),
            Some(CallKind::KillJobs) => Some(Answer::Kills(Vec::new())),
            Some(CallKind::FixJobs) => Some(Answer::Fixes(Vec::new())),
            Some(CallKind::Ack) => Some(Answer::Acknowledged),
        };
        let mut fault = None;
        while let Some(child) = self.elements.next_child()? {
            match (child.name, &mut answer) {
                ("error", _) => fault = Some(self.fault(child)?),
                ("numJobs", None) => answer = Some(Answer::NumJobs(self.number(child)?)),
                ("job", Some(Answer::Receipts(all))) => {
                    all.push(self.receipt(child, all.len() + 1)?);
                }
                ("job", Some(Answer::ExecutorData(all))) => all.push(self.data(child)?),
                ("job", Some(Answer::Statuses(all))) => all.push(self.status(child)?),
                ("job", Some(Answer::Kills(all))) => all.push(self.kill(child)?),
                ("job", Some(Answer::Fixes(all))) => all.push(self.fix(child)?),
                _ => self.elements.skip()?,
            }
        }
        match (fault, answer) {
            (Some(fault), _) => Ok(Err(fault)),
            (None, Some(answer)) => Ok(Ok(answer)),
            (None, None) => {
                let text = "there is neither an answer nor an error in it";
                Err(Problem::invalid(root.tag.at, text).within(root.tag.name))
            }
        }
    }

    fn fault(&mut self, element: Element<'_>) -> Result<Fault, Problem> {
        let code = self.word(element, "code", FaultCode::ALL, FaultCode::name)?;
        let retry_after = self.parsed(element, "retryAfter")?.map(Duration::from_secs);
        let text = self.elements.text()?.value.into_owned();
        Ok(Fault {
            code,
            text,
            retry_after,
        })
    }

    fn receipt(&mut self, element: Element<'_>, place: usize) -> Result<Receipt, Problem> {
        let index = self.parsed(element, "index")?.unwrap_or(place);
        let job_id = self.optional_job_id(element)?;
        let attempt = attempt_ref(self.attribute(element, "attempt")?.as_deref());
        let result = self.required(element, "result")?;
        let record = self.parsed::<RecordId>(element, "taskBufferRecordID")?;
        let reason = self.reason()?;
        let result = match (result.as_str(), record, reason) {
            ("stored", Some(id), _) => ReceiptResult::Stored(id),
            ("duplicate", Some(id), _) => ReceiptResult::Duplicate(id),
            ("conflict", _, _) => ReceiptResult::Conflict,
            ("refused", _, Some(reason)) => ReceiptResult::Refused(reason),
            _ => return Err(unclear(element, "result")),
        };
        Ok(Receipt {
            index,
            job_id,
            attempt,
            result,
        })
    }

    fn data(&mut self, element: Element<'_>) -> Result<DataAnswer, Problem> {
        let job_id = self.job_id(element)?;
        let attempt = self.parsed(element, "attempt")?;
        let status = self.required(element, "status")?;
        let record = self.parsed(element, "taskBufferRecordID")?;
        let reason = self.reason()?;
        let existence = match (status.as_str(), record) {
            ("accepted", Some(id)) => Existence::Accepted(id),
            ("rejected", _) => Existence::Rejected(reason),
            ("unknown", _) => Existence::Unknown,
            _ => return Err(unclear(element, "status")),
        };
        Ok(DataAnswer {
            job_id,
            attempt,
            existence,
        })
    }

    fn status(&mut self, element: Element<'_>) -> Result<StatusAnswer, Problem> {
        let job_id = self.job_id(element)?;
        let record = self.record(element)?;
        let status = self.word(element, "status", Status::ALL, Status::name)?;
        let result = self.optional_word(element, "result", Outcome::ALL, Outcome::name)?;
        let since = self.parsed(element, "since")?;
        let detail = self.detail(result, since)?;
        let some = detail != StatusDetail::default();
        Ok(StatusAnswer {
            job_id,
            record,
            status,
            detail: some.then(|| Box::new(detail)),
        })
    }

    fn detail(
        &mut self,
        result: Option<Outcome>,
        since: Option<Timestamp>,
    ) -> Result<StatusDetail, Problem> {
        let mut detail = StatusDetail {
            result,
            since,
            ..StatusDetail::default()
        };
        while let Some(child) = self.elements.next_child()? {
            match child.name {
                "exitCode" => detail.exit_code = Some(self.number(child)?),
                "startTime" => detail.started = Some(self.number(child)?),
                "endTime" => detail.ended = Some(self.number(child)?),
                "cpuConsumption" => detail.cpu_seconds = Some(self.number(child)?),
                "error" => detail.error = Some(self.coded_text(child)?),
                "outputs" => {
                    detail.omitted_outputs = self.parsed(child, "omitted")?.unwrap_or_default();
                    detail.outputs = self.outputs()?;
                }
                _ => self.elements.skip()?,
            }
        }
        Ok(detail)
    }

    fn outputs(&mut self) -> Result<Vec<OutputFile>, Problem> {
        let mut outputs = Vec::new();
        while let Some(child) = self.elements.next_child()? {
            if child.name == "file" {
                let size = self.parsed(child, "size")?;
                outputs.push(OutputFile {
                    logical_name: self.required(child, "logicalFileName")?,
                    size: size.ok_or_else(|| unclear(child, "size"))?,
                    sha256: self.required(child, "sha256")?,
                });
            }
            self.elements.skip()?;
        }
        Ok(outputs)
    }

    fn kill(&mut self, element: Element<'_>) -> Result<KillAnswer, Problem> {
        let answer = KillAnswer {
            job_id: self.job_id(element)?,
            record: self.record(element)?,
            result: self.word(element, "result", KillResult::ALL, KillResult::name)?,
            status: self.word(element, "status", Status::ALL, Status::name)?,
        };
        self.elements.skip()?;
        Ok(answer)
    }

    fn fix(&mut self, element: Element<'_>) -> Result<FixAnswer, Problem> {
        let answer = FixAnswer {
            job_id: self.job_id(element)?,
            record: self.record(element)?,
            result: self.word(element, "result", FixResult::ALL, FixResult::name)?,
            status: self.word(element, "status", Status::ALL, Status::name)?,
        };
        self.elements.skip()?;
        Ok(answer)
    }

    /// The `<reason>` in the innermost open element, whose end is read too.
    fn reason(&mut self) -> Result<Option<Reason>, Problem> {
        let mut reason = None;
        while let Some(child) = self.elements.next_child()? {
            match child.name {
                "reason" => reason = Some(self.coded_text(child)?),
                _ => self.elements.skip()?,
            }
        }
        Ok(reason)
    }

    fn coded_text(&mut self, element: Element<'_>) -> Result<Reason, Problem> {
        Ok(Reason {
            code: self.required(element, "code")?,
            text: self.elements.text()?.value.into_owned(),
        })
    }

    fn number<T: FromStr>(&mut self, element: Element<'_>) -> Result<T, Problem> {
        let text = self.elements.text()?.value;
        text.parse().map_err(|_| unclear(element, "text"))
    }

    fn job_id(&self, element: Element<'_>) -> Result<JobId, Problem> {
        self.optional_job_id(element)?
            .ok_or_else(|| unclear(element, "jobID"))
    }

    fn optional_job_id(&self, element: Element<'_>) -> Result<Option<JobId>, Problem> {
        let text = self.attribute(element, "jobID")?;
        text.map(JobId::new)
            .transpose()
            .map_err(|_| unclear(element, "jobID"))
    }

    fn record(&self, element: Element<'_>) -> Result<RecordRef, Problem> {
        Ok(record_ref(&self.required(element, "taskBufferRecordID")?))
    }

    /// An attribute that has one of a few words.
    fn word<T: Copy, const N: usize>(
        &self,
        element: Element<'_>,
        name: &str,
        all: [T; N],
        word: fn(T) -> &'static str,
    ) -> Result<T, Problem> {
        let found = self.optional_word(element, name, all, word)?;
        found.ok_or_else(|| unclear(element, name))
    }

    fn optional_word<T: Copy, const N: usize>(
        &self,
        element: Element<'_>,
        name: &str,
        all: [T; N],
        word: fn(T) -> &'static str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.attribute(element, name)? else {
            return Ok(None);
        };
        let found = all.into_iter().find(|one| word(*one) == text);
        found.map(Some).ok_or_else(|| unclear(element, name))
    }

    fn parsed<T: FromStr>(&self, element: Element<'_>, name: &str) -> Result<Option<T>, Problem> {
        let text = self.attribute(element, name)?;
        let parsed = text.map(|text| text.parse()).transpose();
        parsed.map_err(|_| unclear(element, name))
    }

    fn required(&self, element: Element<'_>, name: &str) -> Result<String, Problem> {
        self.attribute(element, name)?
            .ok_or_else(|| unclear(element, name))
    }

    fn attribute(&self, element: Element<'_>, name: &str) -> Result<Option<String>, Problem> {
        let value = self
            .elements
            .attribute(&[name])
            .map_err(|_| unclear(element, name))?;
        Ok(value.map(|value| value.clone().into_owned()))
    }
}

fn unclear(element: Element<'_>, what: &str) -> Problem {
    let text = format!("its {what} is missing or makes no sense");
    Problem::invalid(element.tag.at, text).within(element.tag.name)
}
