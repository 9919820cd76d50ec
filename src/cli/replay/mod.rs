//! `gristmill replay`: documents sent as a supervisor would send them, and their replies; with
//! --expect a regression suite that operators extend by adding files.

pub(super) mod documents;
mod target;

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::error::{Kind, Report};
use crate::windmill::{self, Answer, Reply};

use super::args::Replay;
use super::output::Output;
use documents::Document;
use target::Target;

/// What came of comparing a reply with the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    NotAsked,
    NoExpectation,
    Same,
    Different,
}

pub(super) async fn run(arguments: Replay, output: &mut Output) -> Result<(), Report> {
    let documents = documents::collect(&arguments.paths)?;
    let target = Target::open(&arguments).await?;
    let verdicts = send_all(&arguments, &documents, &target, output).await;
    target.close().await;
    conclude(&verdicts?, arguments.expect, output)
}

async fn send_all(
    arguments: &Replay,
    documents: &[Document],
    target: &Target,
    output: &mut Output,
) -> Result<Vec<Verdict>, Report> {
    let progress = progress(documents.len() as u64 * u64::from(arguments.repeat));
    let mut verdicts = Vec::new();
    for _ in 0..arguments.repeat {
        for document in documents {
            let began = Instant::now();
            let reply = target.send(document).await?;
            let took = began.elapsed();
            let verdict = if arguments.expect {
                judge(document, &reply)
            } else {
                Verdict::NotAsked
            };
            verdicts.push(verdict);
            progress.suspend(|| show(document, &reply, took, verdict, arguments.json, output))?;
            progress.inc(1);
            if let Some(pause) = arguments.rate {
                tokio::time::sleep(pause.saturating_sub(began.elapsed())).await;
            }
        }
    }
    progress.finish_and_clear();
    Ok(verdicts)
}

fn progress(rounds: u64) -> ProgressBar {
    if rounds < 2 || !Output::is_watched() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(rounds);
    let style =
        ProgressStyle::with_template("{bar:40} {pos}/{len} requests, {per_sec}, {eta} to go");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

fn show(
    document: &Document,
    reply: &str,
    took: Duration,
    verdict: Verdict,
    json: bool,
    output: &mut Output,
) -> Result<(), Report> {
    let name = &document.name;
    let milliseconds = took.as_secs_f64() * 1000.0;
    if json {
        let matches = match verdict {
            Verdict::Same => Some(true),
            Verdict::Different => Some(false),
            Verdict::NotAsked | Verdict::NoExpectation => None,
        };
        return output.json(&json!({
            "document": name, "reply": reply, "milliseconds": milliseconds, "matches": matches,
        }));
    }
    output.note(format_args!("{name} ({milliseconds:.1} ms)"));
    output.line(reply)?;
    if let (Verdict::Different, Some(expected)) = (verdict, &document.expected) {
        output.note(format_args!(
            "{name}: differs from what is expected:\n{}",
            expected.trim()
        ));
    }
    Ok(())
}

fn judge(document: &Document, reply: &str) -> Verdict {
    match &document.expected {
        None => Verdict::NoExpectation,
        Some(expected) if same(expected, reply) => Verdict::Same,
        Some(_) => Verdict::Different,
    }
}

/// Replies are compared by what they say; the moments in them are never the same.
fn same(expected: &str, reply: &str) -> bool {
    let read = |text: &str| windmill::read_reply(text).map(without_times);
    match (read(expected), read(reply)) {
        (Ok(expected), Ok(reply)) => expected == reply,
        _ => expected.trim() == reply.trim(),
    }
}

fn without_times(mut reply: Reply) -> Reply {
    if let Ok(Answer::Statuses(entries)) = &mut reply.content {
        for detail in entries.iter_mut().filter_map(|entry| entry.detail.as_mut()) {
            (detail.since, detail.started, detail.ended) = (None, None, None);
        }
    }
    reply
}

fn conclude(verdicts: &[Verdict], expect: bool, output: &Output) -> Result<(), Report> {
    let count = |wanted| {
        verdicts
            .iter()
            .filter(|verdict| **verdict == wanted)
            .count()
    };
    let sent = verdicts.len();
    if !expect {
        output.note(format_args!("{sent} sent"));
        return Ok(());
    }
    let (same, different) = (count(Verdict::Same), count(Verdict::Different));
    let silent = count(Verdict::NoExpectation);
    output.note(format_args!(
        "{sent} sent: {same} as expected, {different} different, {silent} without NAME{}",
        ".reply.xml"
    ));
    if different > 0 {
        return Err(Report::new(
            Kind::Failed,
            format!("{different} replies differ"),
        ));
    }
    if same == 0 {
        let report = Report::new(Kind::Failed, "nothing was compared");
        return Err(report.hint("put the expected reply into NAME.reply.xml beside NAME.xml"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_compared_by_what_they_say() {
        let reply = |since: &str, status: &str| {
            format!(
                "<getStatusResponse xmlns='urn:windmill:executor:1'><job jobID='1' \
                 taskBufferRecordID='2' status='{status}' since='{since}'/></getStatusResponse>\n"
            )
        };
        let early = reply("2005-09-01T18:40:11Z", "pending");
        assert!(same(&early, &reply("2026-09-01T18:40:11Z", "pending")));
        assert!(!same(&early, &reply("2005-09-01T18:40:11Z", "running")));
        assert!(!same(&early, "<nonsense"));
    }
}
