//! `gristmill replay`: documents sent as a supervisor would send them, and their replies; with
//! --expect a regression suite that operators extend by adding files.

mod compare;
pub(super) mod documents;
mod target;

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::error::{Code, Report};

use super::args::Replay;
use super::output::Output;
use compare::{Judge, Verdict};
use documents::Document;
use target::Target;

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
        let mut judge = Judge::default();
        for document in documents {
            let began = Instant::now();
            let reply = target
                .send(&document.name, &judge.translate(document))
                .await?;
            let took = began.elapsed();
            let verdict = if arguments.expect {
                judge.judge(document, &reply)
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
            Code::RepliesDiffer,
            format!("{different} replies differ"),
        ));
    }
    if same == 0 {
        let report = Report::new(Code::NothingCompared, "nothing was compared");
        return Err(report.hint("put the expected reply into NAME.reply.xml beside NAME.xml"));
    }
    Ok(())
}
