//! Recent logs of the package's units, from systemd's journal: what is ours of each line, and
//! nothing that may quote a job or a document.

use std::io::{ErrorKind, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

/// The program that reads the journal.
const PROGRAM: &str = "journalctl";

/// Whose lines are wanted.
const UNITS: [&str; 2] = ["gristmill", "gristmill-runner"];

/// So many of the newest lines are read.
const MAX_LINES: u32 = 5_000;

/// And no more bytes.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// How long that may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Lines of ours of this priority are of level info, and larger numbers are less: documents are
/// logged below it.
const INFO: u64 = 5;

/// What begins the name of a field of ours.
const FIELD: &str = "F_";

/// Fields whose values are ours, or names.
const FIELDS: [&str; 35] = [
    "again_in_s",
    "address",
    "bound",
    "call",
    "captured",
    "claims",
    "condition",
    "cuts",
    "draining",
    "dropped",
    "duration_ms",
    "folder",
    "holder",
    "incident",
    "jid",
    "jobs",
    "key",
    "last",
    "limit",
    "lived_s",
    "ours",
    "outcome",
    "owner",
    "path",
    "record",
    "requests",
    "run",
    "socket",
    "stanzas",
    "state",
    "store",
    "supervisor",
    "theirs",
    "total",
    "user",
];

/// Fields with an error's text.
const REASONS: [&str; 3] = ["ended", "error", "why"];

/// The parts of the program whose errors are about servers, sockets and folders, never about a job.
const REASONS_OF: [&str; 7] = [
    "gristmill::buffer::health",
    "gristmill::buffer::mysql",
    "gristmill::capture",
    "gristmill::daemon::manager",
    "gristmill::http",
    "gristmill::runner::remote::link",
    "gristmill::xmpp::link",
];

/// What begins a line of ours that is not logged but printed: an error report, which ends the
/// program. Only that line of it: the ones below may quote.
const PRINTED: &str = "error[GM";

/// The newest lines, oldest first; else why there are none.
pub(super) fn recent() -> Result<String, String> {
    let lines = read(journalctl(), LIMIT)?;
    let lines: Vec<_> = lines.lines().filter_map(told).collect();
    if lines.is_empty() {
        return Err(
            "the journal has no line of gristmill's units that this user may read".to_owned(),
        );
    }
    Ok(lines.join("\n") + "\n")
}

fn journalctl() -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["--no-pager", "--quiet", "--output=json"]);
    command.arg(format!("--lines={MAX_LINES}"));
    command.args(UNITS.map(|unit| format!("--unit={unit}")));
    let ours = FIELDS.iter().chain(&REASONS);
    let ours = ours.map(|name| field(name));
    let theirs = ["MESSAGE", "PRIORITY", "TARGET", "_PID"].map(str::to_owned);
    let fields: Vec<_> = theirs.into_iter().chain(ours).collect();
    command.arg(format!("--output-fields={}", fields.join(",")));
    command
}

/// What a program prints, as far as it is read in time.
fn read(mut command: Command, limit: Duration) -> Result<String, String> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("there is no {PROGRAM} here; logs went to standard error"),
        _ => format!("{PROGRAM}: {error}"),
    })?;
    let Some(mut printed) = child.stdout.take() else {
        return Err(format!("{PROGRAM} prints nothing"));
    };
    let (done, result) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = printed.by_ref().take(MAX_BYTES).read_to_end(&mut bytes);
        // Who waited may have gone.
        let _ = done.send(read.map(|_| bytes));
    });
    let result = result.recv_timeout(limit);
    // It has said enough, or takes too long.
    let _ = child.kill();
    let _ = child.wait();
    match result {
        Ok(Ok(bytes)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Ok(Err(error)) => Err(format!("{PROGRAM}: {error}")),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            Err(format!("{PROGRAM} took longer than {} s", limit.as_secs()))
        }
    }
}

/// What is shown of one line.
fn told(line: &str) -> Option<String> {
    let entry: Map<String, Value> = serde_json::from_str(line).ok()?;
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    let message = text("MESSAGE")?;
    let at: i64 = text("__REALTIME_TIMESTAMP")?.parse().ok()?;
    let at = Timestamp::from_microsecond(at).ok()?;
    let pid = text("_PID").unwrap_or("-");
    let Some(target) = text("TARGET") else {
        let is_systemds = pid == "1";
        return (is_systemds || message.starts_with(PRINTED))
            .then(|| format!("{at} [{pid}] {}", first_line(message)));
    };
    let priority: u64 = text("PRIORITY")?.parse().ok()?;
    if priority > INFO {
        return None;
    }
    let tells_reasons = REASONS_OF.iter().any(|part| target.starts_with(part));
    let reasons = REASONS.iter().filter(|_| tells_reasons);
    let fields = FIELDS.iter().chain(reasons).filter_map(|name| {
        let value = text(&field(name))?;
        Some(format!(" {name}={value:?}"))
    });
    let fields: String = fields.collect();
    let level = level(priority);
    Some(format!(
        "{at} [{pid}] {level} {target}: {}{fields}",
        first_line(message)
    ))
}

/// The journal's name for a field of ours.
fn field(name: &str) -> String {
    format!("{FIELD}{}", name.to_ascii_uppercase())
}

fn level(priority: u64) -> &'static str {
    match priority {
        0..=3 => "ERROR",
        4 => "WARN",
        _ => "INFO",
    }
}

fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(target: &str, priority: &str, fields: &Value) -> String {
        let mut entry = json!({
            "__REALTIME_TIMESTAMP": "1700000000000000", "_PID": "7", "TARGET": target,
            "PRIORITY": priority, "MESSAGE": "said",
        });
        let entry_fields = entry.as_object_mut().unwrap();
        entry_fields.extend(fields.as_object().unwrap().clone());
        entry.to_string()
    }

    #[test]
    fn a_line_is_what_is_ours_of_it() {
        let fields =
            json!({ "F_RUN": "3-1", "F_ERROR": "canary", "F_DOCUMENT": "canary", "X": "canary" });
        let line = told(&entry("gristmill::conductor::life", "4", &fields)).unwrap();
        let wanted = "2023-11-14T22:13:20Z [7] WARN gristmill::conductor::life: said run=\"3-1\"";
        assert_eq!(line, wanted);
        let fields = json!({ "F_ERROR": "no\nroute" });
        let line = told(&entry("gristmill::xmpp::link", "3", &fields)).unwrap();
        assert!(line.ends_with(r#"link: said error="no\nroute""#), "{line}");
    }

    #[test]
    fn documents_and_strange_lines_are_left_out() {
        assert_eq!(told(&entry("gristmill::xmpp::lane", "6", &json!({}))), None);
        assert_eq!(told("no JSON"), None);
        let printed = |pid: &str, message: &str| {
            let entry = json!({
                "__REALTIME_TIMESTAMP": "1700000000000000", "_PID": pid, "PRIORITY": "6", "MESSAGE": message,
            });
            told(&entry.to_string())
        };
        assert_eq!(printed("7", "thread panicked: canary"), None);
        let report = printed("7", "error[GM0301]: away\n  why: canary").unwrap();
        assert!(report.ends_with("[7] error[GM0301]: away"), "{report}");
        assert!(printed("1", "Started gristmill.").is_some());
    }

    #[test]
    fn a_program_is_not_waited_for_for_ever() {
        let shell = |script: &str| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script]);
            command
        };
        let long = Duration::from_mins(1);
        assert_eq!(read(shell("echo a; echo b >&2"), long).unwrap(), "a\n");
        let flood = read(shell("yes"), long).unwrap();
        assert_eq!(flood.len() as u64, MAX_BYTES);
        let late = read(shell("exec sleep 60"), Duration::from_millis(10));
        assert!(late.unwrap_err().contains("took longer"));
        let missing = read(Command::new("/nonexistent/journalctl"), long);
        assert!(missing.unwrap_err().contains("there is no"));
    }
}
