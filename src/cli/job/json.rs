//! Records as JSON.

use serde_json::{Value, json};

use super::present::level;
use crate::buffer::Dossier;
use crate::job::{Event, OutputFile, Record, RunReport};

pub(super) fn dossier(dossier: &Dossier) -> Value {
    let events: Vec<_> = dossier.events.iter().map(event).collect();
    json!({ "record": record(&dossier.record), "events": events, "xml": dossier.payload })
}

pub(super) fn record(record: &Record) -> Value {
    json!({
        "recordID": record.id.get(),
        "jobID": record.key.job_id.as_str(),
        "attempt": record.key.attempt.get(),
        "owner": record.owner.as_str(),
        "state": record.state.name(),
        "since": record.since,
        "reason": record.reason,
        "priority": record.priority,
        "acceptedAt": record.accepted_at,
        "killRequestedAt": record.kill_requested_at,
        "content": record.content.to_string(),
        "dueAt": record.due_at,
        "claim": record.token.0,
        "holder": record.holder,
        "failedRuns": record.runs,
        "abandons": record.abandons,
        "startedAt": record.started_at,
        "progress": record.progress.as_ref().map(|progress| json!({
            "part": f64::from(progress.permille) / 1000.0, "words": progress.words,
        })),
        "told": record.told,
        "result": record.result.as_deref().map(report),
    })
}

fn report(report: &RunReport) -> Value {
    let output = |output: &OutputFile| {
        json!({
            "logicalFileName": output.logical_name,
            "size": output.size,
            "sha256": output.sha256_hex(),
        })
    };
    let outputs: Vec<_> = report.outputs.iter().map(output).collect();
    json!({
        "verdict": report.verdict.name(),
        "startedAt": report.started_at,
        "endedAt": report.ended_at,
        "exitCode": report.exit_code,
        "cpuSeconds": report.cpu.as_secs_f64(),
        "peakMemory": report.peak_memory,
        "fault": report.fault.as_ref().map(|fault| json!({
            "code": fault.code, "text": fault.text,
        })),
        "outputs": outputs,
    })
}

pub(super) fn event(event: &Event) -> Value {
    json!({
        "at": event.at,
        "level": level(event.level),
        "code": event.code,
        "text": event.text,
    })
}
