//! A record in a getStatusResponse's words. Pure.

use std::time::Duration;

use crate::buffer::Lookup;
use crate::job::{Outcome, OutputFile, Phase, Record, RunReport};
use crate::windmill::{self, Reason, RecordQuery, StatusAnswer, StatusDetail};

use super::answers::{status, word};

/// Half of the unit in which CPU time is told.
const HALF_A_SECOND: Duration = Duration::from_millis(500);

pub(super) fn statuses(queries: Vec<RecordQuery>, found: &[Lookup<Record>]) -> Vec<StatusAnswer> {
    let entries = queries.into_iter().zip(found);
    entries
        .map(|(query, found)| StatusAnswer {
            job_id: query.job_id,
            record: query.record,
            status: word(found, |record| status(record.state)),
            detail: match found {
                Lookup::Found(record) => Some(Box::new(detail(record))),
                Lookup::Absent | Lookup::Unreachable => None,
            },
        })
        .collect()
}

fn detail(record: &Record) -> StatusDetail {
    let since = Some(record.since);
    match record.state.phase() {
        Phase::Pending => StatusDetail {
            since,
            ..StatusDetail::default()
        },
        Phase::Running => StatusDetail {
            since,
            started: record.started_at,
            ..StatusDetail::default()
        },
        Phase::Finished(outcome) => StatusDetail {
            result: Some(outcome),
            since,
            error: error(record, outcome),
            ..record.result.as_deref().map(of_run).unwrap_or_default()
        },
    }
}

/// What the last run left behind.
fn of_run(report: &RunReport) -> StatusDetail {
    StatusDetail {
        exit_code: report.exit_code,
        started: report.started_at,
        ended: Some(report.ended_at),
        cpu_seconds: Some(report.cpu.saturating_add(HALF_A_SECOND).as_secs()),
        outputs: report.outputs.iter().map(output).collect(),
        ..StatusDetail::default()
    }
}

/// What went wrong: in the run, where that was the end of it; else what the record says.
fn error(record: &Record, outcome: Outcome) -> Option<Reason> {
    let of_run = record
        .result
        .as_ref()
        .and_then(|report| report.fault.clone());
    let of_run = of_run.map(|fault| Reason {
        code: fault.code,
        text: fault.text,
    });
    let of_record = || {
        record.reason.clone().map(|text| Reason {
            code: outcome.name().to_owned(),
            text,
        })
    };
    match outcome {
        Outcome::Succeeded => None,
        Outcome::Failed | Outcome::TimedOut => of_run.or_else(of_record),
        Outcome::Cancelled | Outcome::Trashed => of_record(),
    }
}

fn output(file: &OutputFile) -> windmill::OutputFile {
    windmill::OutputFile {
        logical_name: file.logical_name.clone(),
        size: file.size,
        sha256: file.sha256_hex(),
    }
}
