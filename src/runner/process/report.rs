//! What a run's journal and files say of it.

use std::io;
use std::path::Path;

use bytesize::ByteSize;
use jiff::Timestamp;
use rustix::process::Signal;
use tokio_util::sync::CancellationToken;

use super::super::wrapper::folder::{Folder, is_foreign};
use super::super::wrapper::{Cause, End, Exit, Start, Trace};
use super::{Settings, outputs};
use crate::job::{OutputFile, RunFault, RunReport, Verdict};

/// What shells add to the number of the signal that ended a command.
const SHELL_SIGNAL: i32 = 128;
/// The code of a run of which it is not known what became of it.
const LOST: &str = "lost";
/// The code of a run that has changed what was put into its folder.
const FOREIGN: &str = "foreign-files";
/// What a run did that its wrapper should have ended.
const OVERDUE: &str = "its wrapper did not end it, so that the runner killed both";

/// The fault of a run whose declared outputs are not all there.
const MISSING_OUTPUT: &str = "missing-output";

/// A run's report, from its trace and its folder, unless it is `unwanted` meanwhile. `now` is when
/// a run ended whose end was not observed.
pub(super) fn report(
    trace: Trace,
    folder: &Path,
    settings: &Settings,
    now: Timestamp,
    unwanted: &CancellationToken,
) -> io::Result<RunReport> {
    match trace {
        Trace::Never | Trace::Alive(_) => Ok(lost(None, now, "it never started")),
        Trace::Gone => {
            let text = "its folder is gone, or files in it that tell what became of it";
            Ok(lost(None, now, text))
        }
        Trace::Foreign(why) => Ok(RunReport {
            verdict: Verdict::Failed,
            fault: Some(fault(FOREIGN, why)),
            ..lost(None, now, "")
        }),
        Trace::Ended(start, None) => {
            let text = "it vanished: its machine crashed, or somebody killed its wrapper";
            Ok(lost(Some(start.at), now, text))
        }
        Trace::Ended(start, Some(exit)) => {
            let left = left(&start, folder, settings, unwanted)?;
            Ok(ended(&start, &exit, left, settings))
        }
    }
}

/// What an ended run has left: its outputs, and what is wrong with that. What is foreign is the
/// doing of the run's program, and fails it for good.
fn left(
    start: &Start,
    folder: &Path,
    settings: &Settings,
    unwanted: &CancellationToken,
) -> io::Result<(Vec<OutputFile>, Option<RunFault>)> {
    let gathered = Folder::open(folder).and_then(|folder| {
        folder.check()?;
        let declared = match outputs::declared(&folder)? {
            None if start.lists_outputs => {
                let text = "it ended well, but the list of its declared outputs is gone";
                return Ok((Vec::new(), Some(fault(LOST, text))));
            }
            declared => declared.unwrap_or_default(),
        };
        let most = settings.limits.file_size;
        let (found, wrong) = outputs::gather(&folder, declared, most, unwanted)?;
        Ok((found, wrong.map(|wrong| fault(MISSING_OUTPUT, wrong))))
    });
    match gathered {
        Err(error) if is_foreign(&error) => {
            Ok((Vec::new(), Some(fault(FOREIGN, error.to_string()))))
        }
        gathered => gathered,
    }
}

/// Whether it is for want of outputs that a run has failed.
pub(super) fn lacks_outputs(report: &RunReport) -> bool {
    let fault = report.fault.as_ref();
    fault.is_some_and(|fault| fault.code == MISSING_OUTPUT)
}

fn lost(started_at: Option<Timestamp>, ended_at: Timestamp, text: &str) -> RunReport {
    RunReport {
        verdict: Verdict::Lost,
        started_at,
        ended_at,
        exit_code: None,
        cpu: std::time::Duration::ZERO,
        peak_memory: 0,
        fault: Some(fault(LOST, text)),
        outputs: Vec::new(),
    }
}

fn ended(
    start: &Start,
    exit: &Exit,
    (outputs, wrong): (Vec<OutputFile>, Option<RunFault>),
    settings: &Settings,
) -> RunReport {
    let (verdict, fault) = match exit.cause {
        Some(cause) => {
            let (verdict, mut fault) = ended_by_us(cause, settings);
            if let (Cause::Folder, Some(unseen)) = (cause, &exit.unseen) {
                fault.text = format!("{}; not looked at: {unseen}", fault.text);
            }
            (verdict, Some(fault))
        }
        None => match (ended_by_itself(start, exit, settings), wrong) {
            (_, Some(wrong)) if wrong.code == FOREIGN => (Verdict::Failed, Some(wrong)),
            (Some((verdict, fault)), _) => (verdict, Some(fault)),
            (None, Some(wrong)) if wrong.code == LOST => (Verdict::Lost, Some(wrong)),
            (None, Some(wrong)) => (Verdict::Failed, Some(wrong)),
            (None, None) => (Verdict::Succeeded, None),
        },
    };
    RunReport {
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
    }
}

fn ended_by_us(cause: Cause, settings: &Settings) -> (Verdict, RunFault) {
    let limits = &settings.limits;
    let size = |bytes| ByteSize(bytes).display().iec();
    let (verdict, code, text) = match cause {
        Cause::Stop => (Verdict::Stopped, "stopped", "it was told to stop".into()),
        Cause::Lease => {
            let text = "its lease was not renewed in time".into();
            (Verdict::Lost, "lease-lapsed", text)
        }
        Cause::WallTime => {
            let text = format!("it took longer than {:?}", settings.timeout);
            (Verdict::TimedOut, "wall-time", text)
        }
        Cause::CpuTime => {
            let text = format!("it used more CPU time than {:?}", limits.cpu_time);
            (Verdict::Failed, "cpu-limit", text)
        }
        Cause::Memory => {
            let text = format!("it used more memory than {}", size(limits.memory));
            (Verdict::Failed, "memory-limit", text)
        }
        Cause::Processes => {
            let text = format!(
                "it had more processes and threads than {}",
                limits.processes
            );
            (Verdict::Failed, "process-limit", text)
        }
        Cause::Output => {
            let most = size(limits.output_size);
            let text = format!("it wrote more than {most} to an output; the rest was cut off");
            (Verdict::Failed, "output-limit", text)
        }
        Cause::Folder => {
            let text = format!("its folder took more than {}", size(limits.folder_size));
            (Verdict::Failed, "folder-limit", text)
        }
        Cause::StopUnheeded => {
            let text = format!("it was told to stop, and {OVERDUE}");
            (Verdict::Stopped, "overdue", text)
        }
        Cause::WallTimeUnheeded => {
            let limit = settings.timeout;
            let text = format!("it took longer than {limit:?}, and {OVERDUE}");
            (Verdict::TimedOut, "overdue", text)
        }
    };
    (verdict, fault(code, text))
}

/// `None`: well.
fn ended_by_itself(start: &Start, exit: &Exit, settings: &Settings) -> Option<(Verdict, RunFault)> {
    let limits = &settings.limits;
    let end = match exit.end {
        End::Code(0) => return None,
        End::Code(code) if settings.retry_exit_codes.contains(&code) => {
            let text = format!("transformation ended with exit code {code}");
            return Some((Verdict::FailedForNow, fault("exit-status", text)));
        }
        End::Code(code) => format!("transformation ended with exit code {code}"),
        End::Signal(signal) => format!("transformation was ended by signal {signal}"),
    };
    // A shell's exit code tells of the signal that ended its command.
    let is = |signal: Signal| {
        let number = signal.as_raw();
        exit.end == End::Signal(number) || exit.end == End::Code(SHELL_SIGNAL + number)
    };
    let code = if is(Signal::XFSZ) {
        "file-size-limit"
    } else if is(Signal::XCPU) {
        "cpu-limit"
    } else if start.cgroup.is_none() && exit.peak_memory > limits.memory / 10 * 9 {
        // The kernel gave it no more, and that is why it ended.
        "memory-limit"
    } else if matches!(exit.end, End::Signal(_)) {
        "killed-by-signal"
    } else {
        "exit-status"
    };
    Some((Verdict::Failed, fault(code, end)))
}

fn fault(code: &str, text: impl Into<String>) -> RunFault {
    RunFault {
        code: code.to_owned(),
        text: text.into(),
    }
}
