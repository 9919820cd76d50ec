//! `gristmill job submit`: the jobs of executeJobs documents, stored as if their supervisor had
//! sent them: the same checks, and sending them again is harmless.

use serde_json::json;

use crate::config::{Config, Supervisor};
use crate::error::{Code, Report};
use crate::job::{Attempt, Owner};
use crate::windmill::{Answer, CallKind, Counts, Fault, FaultCode, Receipt, ReceiptResult};

use super::super::args::Submit;
use super::super::local::Local;
use super::super::output::Output;
use super::super::replay::documents;
use super::super::store;
use super::present::one_line;

pub(super) async fn run(arguments: Submit, output: &mut Output) -> Result<(), Report> {
    let config = arguments.source.load()?.config;
    let owner = owner(&config, arguments.owner)?;
    let documents = arguments.files.iter().map(|file| documents::one(file));
    let documents = documents.collect::<Result<Vec<_>, _>>()?;
    let store = store::for_operating(&config).await?.into_buffer();
    let local = Local::new(store, &config, owner);
    let mut all = Vec::new();
    for document in &documents {
        let receipts = submit(&local, &document.name, &document.text).await?;
        for receipt in &receipts {
            show(receipt, arguments.json, output)?;
        }
        all.extend(receipts);
    }
    conclude(&all, output)
}

/// The named one, which must be configured: nobody else could ask for the jobs.
fn owner(config: &Config, named: Option<Owner>) -> Result<Owner, Report> {
    let owners = config.supervisor.iter().map(Supervisor::owner);
    let mut owners: Vec<_> = owners.filter_map(Result::ok).collect();
    owners.sort();
    owners.dedup();
    let all = owners.iter().map(Owner::as_str).collect::<Vec<_>>();
    let hint = format!("--owner takes one of: {}", all.join(", "));
    match (named, owners.as_slice()) {
        (Some(named), known) if known.contains(&named) => Ok(named),
        (Some(named), _) => {
            let what = format!("no supervisor is configured whose jobs belong to {named}");
            Err(Report::new(Code::OwnerUnknown, what).hint(hint))
        }
        (None, [only]) => Ok(only.clone()),
        (None, _) => {
            let what = "whose jobs are these?";
            Err(Report::new(Code::OwnerUnsaid, what).hint(hint))
        }
    }
}

async fn submit(local: &Local, name: &str, document: &[u8]) -> Result<Vec<Receipt>, Report> {
    let refused = |fault: &Fault| refused(name, fault);
    let request = match local.read(document).await {
        Ok(request) => request,
        Err(reply) => return Err(unreadable(name, reply.content.err().as_ref())),
    };
    let kind = request.call.kind();
    if kind != CallKind::ExecuteJobs {
        let what = format!("{name}: it is a {}, not an executeJobs", kind.name());
        let report = Report::new(Code::NotExecuteJobs, what);
        return Err(report.hint("`gristmill replay` sends any document"));
    }
    match local.answer(request).await.content {
        Ok(Answer::Receipts(receipts)) => Ok(receipts),
        Ok(other) => Err(Report::new(
            Code::Internal,
            format!("{name}: an executeJobs was answered {other:?}"),
        )),
        Err(fault) => Err(refused(&fault)),
    }
}

/// What cannot be read is answered with a fault.
fn unreadable(name: &str, fault: Option<&Fault>) -> Report {
    fault.map_or_else(
        || Report::new(Code::Internal, format!("{name}: it cannot be read")),
        |fault| refused(name, fault),
    )
}

fn refused(name: &str, fault: &Fault) -> Report {
    let code = match fault.code {
        FaultCode::DatabaseUnavailable | FaultCode::Busy => Code::SubmitUnanswered,
        FaultCode::Internal => Code::Internal,
        _ => Code::SubmitRefused,
    };
    let what = format!("{name}: {}: {}", fault.code.name(), fault.text);
    Report::new(code, what)
        .hint("no job of it was stored, as far as is known; sending it again is harmless")
}

fn show(receipt: &Receipt, json: bool, output: &mut Output) -> Result<(), Report> {
    let (record, reason) = match &receipt.result {
        ReceiptResult::Stored(record) | ReceiptResult::Duplicate(record) => (Some(*record), None),
        ReceiptResult::Conflict => (None, None),
        ReceiptResult::Refused(reason) => (None, Some(reason)),
    };
    let word = receipt.result.name();
    if json {
        return output.json(&json!({
            "index": receipt.index,
            "jobID": receipt.job_id.as_ref().map(crate::job::JobId::as_str),
            "attempt": receipt.attempt.readable().map(Attempt::get),
            "result": word,
            "recordID": record.map(crate::job::RecordId::get),
            "code": reason.map(|reason| &reason.code),
            "why": reason.map(|reason| &reason.text),
        }));
    }
    let name = match &receipt.job_id {
        Some(job_id) => format!("{job_id}#{}", receipt.attempt),
        None => format!("job {} of the document", receipt.index),
    };
    let detail = match (record, reason, &receipt.result) {
        (Some(record), ..) => format!("  record {record}"),
        (None, Some(reason), _) => format!(": {}: {}", reason.code, one_line(&reason.text)),
        (None, None, _) => ": another content is stored under its name, and stays".to_owned(),
    };
    output.line(format_args!("{name}  {word}{detail}"))
}

fn conclude(receipts: &[Receipt], output: &Output) -> Result<(), Report> {
    let counts = Counts::of(receipts);
    let words = [
        (counts.stored, "stored"),
        (counts.duplicate, "duplicate"),
        (counts.conflict, "conflict"),
        (counts.refused, "refused"),
    ];
    let words = words.iter().filter(|(number, _)| *number > 0);
    let words: Vec<_> = words
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
    let words = words.join(", ");
    if counts.conflict > 0 {
        return Err(Report::new(Code::SomeConflict, words));
    }
    if counts.refused > 0 {
        return Err(Report::new(Code::SomeRefused, words));
    }
    output.note(words);
    Ok(())
}
