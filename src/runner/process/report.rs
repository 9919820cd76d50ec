//! What a run's journal and files say of it.

use std::io;
use std::path::Path;

use jiff::Timestamp;

use super::super::wrapper::{Cause, End, Exit, Start, Trace};
use super::{Settings, outputs};
use crate::job::{RunFault, RunReport, Verdict};

/// A run's report, from its trace and its folder. `now` is when a run ended that nobody saw end.
pub(super) fn report(
    trace: Trace,
    work: &Path,
    outputs: &[String],
    settings: &Settings,
    now: Timestamp,
) -> io::Result<RunReport> {
    match trace {
        Trace::Never | Trace::Alive(_) => Ok(lost(None, now, "it never started")),
        Trace::Ended(start, None) => {
            let text = "it vanished: its machine crashed, or somebody killed its wrapper";
            Ok(lost(Some(start.at), now, text))
        }
        Trace::Ended(start, Some(exit)) => ended(&start, &exit, work, outputs, settings),
    }
}

fn lost(started_at: Option<Timestamp>, ended_at: Timestamp, text: &str) -> RunReport {
    RunReport {
        verdict: Verdict::Lost,
        started_at,
        ended_at,
        exit_code: None,
        cpu: std::time::Duration::ZERO,
        peak_memory: 0,
        fault: Some(fault("lost", text)),
        outputs: Vec::new(),
    }
}

fn ended(
    start: &Start,
    exit: &Exit,
    work: &Path,
    outputs: &[String],
    settings: &Settings,
) -> io::Result<RunReport> {
    let (outputs, missing) = outputs::gather(work, outputs)?;
    let (verdict, fault) = match exit.cause {
        Some(cause) => ended_by_us(cause, settings),
        None => match ended_by_itself(exit.end, settings) {
            None if missing.is_empty() => (Verdict::Succeeded, None),
            None => {
                let text = format!("declared outputs are missing: {}", missing.join(", "));
                (Verdict::Failed, Some(fault("missing-output", text)))
            }
            Some((verdict, fault)) => (verdict, Some(fault)),
        },
    };
    Ok(RunReport {
        verdict,
        started_at: Some(start.at),
        ended_at: exit.at,
        exit_code: match exit.end {
            End::Code(code) => Some(code),
            End::Signal(_) => None,
        },
        cpu: exit.cpu,
        peak_memory: exit.peak_memory,
        fault,
        outputs,
    })
}

fn ended_by_us(cause: Cause, settings: &Settings) -> (Verdict, Option<RunFault>) {
    let (verdict, code, text) = match cause {
        Cause::Stop => (
            Verdict::Stopped,
            "stopped",
            "it was told to stop".to_owned(),
        ),
        Cause::Lease => {
            let text = "its lease was not renewed in time".to_owned();
            (Verdict::Lost, "lease-lapsed", text)
        }
        Cause::WallTime => {
            let text = format!("it took longer than {:?}", settings.timeout);
            (Verdict::TimedOut, "wall-time", text)
        }
    };
    (verdict, Some(fault(code, text)))
}

/// `None`: well.
fn ended_by_itself(end: End, settings: &Settings) -> Option<(Verdict, RunFault)> {
    match end {
        End::Code(0) => None,
        End::Code(code) => {
            let retry = settings.retry_exit_codes.contains(&code);
            let verdict = if retry {
                Verdict::FailedForNow
            } else {
                Verdict::Failed
            };
            let text = format!("transformation ended with exit code {code}");
            Some((verdict, fault("exit-status", text)))
        }
        End::Signal(signal) => {
            let text = format!("transformation was ended by signal {signal}");
            Some((Verdict::Failed, fault("killed-by-signal", text)))
        }
    }
}

fn fault(code: &str, text: impl Into<String>) -> RunFault {
    RunFault {
        code: code.to_owned(),
        text: text.into(),
    }
}
