//! `gristmill doctor`: everything that the daemon needs, looked at beside a running daemon or
//! without one. It changes nothing, and binds no resource that is configured.

mod clock;
mod daemon;
mod disk;
mod finding;
mod folders;
mod limits;
mod store;
mod xmpp;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};

use crate::config::Config;
use crate::error::{Code, Report};

use super::args::Doctor;
use super::aside::within;
use super::output::Output;
use finding::{Finding, Verdict};

/// How long one look may take.
const LIMIT: Duration = Duration::from_secs(30);

pub(super) async fn run(arguments: Doctor, output: &mut Output) -> Result<(), Report> {
    let config = match arguments.source.load() {
        Ok(loaded) => loaded.config,
        Err(report) => {
            print(
                &Finding::of_report("configuration", &report),
                arguments.json,
                output,
            )?;
            output.note("nothing else can be looked at");
            return Err(named("configuration", report.code));
        }
    };
    let mut findings = vec![Finding::ok("configuration", "is sound")];
    findings.extend(look(&config).await);
    for finding in &findings {
        print(finding, arguments.json, output)?;
    }
    conclude(&findings, output)
}

/// What is printed of a configuration that can be used, line by line.
pub(super) async fn lines(config: &Config) -> Vec<String> {
    let findings = look(config).await;
    let lines = findings.iter().map(|finding| format!("{finding}\n"));
    lines.collect()
}

/// All looks at the same time; their findings in the order of what rests on what.
async fn look(config: &Config) -> Vec<Finding> {
    let config = Arc::new(config.clone());
    macro_rules! of {
        ($config:ident => $look:expr) => {{
            let $config = $config.clone();
            async move { $look }.boxed()
        }};
    }
    let looks: [(&str, BoxFuture<'static, Vec<Finding>>); 7] = [
        ("rights", of!(config => folders::look(&config))),
        ("disk", of!(config => disk::look(&config))),
        ("limits", of!(config => limits::look(&config))),
        ("store", of!(config => store::look(&config).await)),
        ("xmpp", of!(config => xmpp::look(&config).await)),
        ("runner", of!(config => look_at_runner(&config).await)),
        ("daemon", of!(config => daemon::look(&config).await)),
    ];
    let looks = looks.map(|(subject, look)| async move {
        within(LIMIT, look).await.unwrap_or_else(|| {
            let what = format!("no answer within {} s", LIMIT.as_secs());
            let remedy = "find out what it waits for; a file system that hangs looks like this";
            vec![Finding::error(subject, Code::CheckLate, what, remedy)]
        })
    });
    join_all(looks).await.into_iter().flatten().collect()
}

async fn look_at_runner(config: &Config) -> Vec<Finding> {
    if !config.conductor.enabled {
        return vec![Finding::ok("runner", "no jobs are run here")];
    }
    vec![match crate::daemon::try_runner(config).await {
        Ok(()) if config.runner.in_process => Finding::ok("runner", "jobs can be run here"),
        Ok(()) => {
            let socket = config.runner.socket.display();
            Finding::ok("runner", format!("answers at {socket}"))
        }
        Err(report) => Finding::of_report("runner", &report),
    }]
}

fn print(finding: &Finding, json: bool, output: &mut Output) -> Result<(), Report> {
    if json {
        output.json(&finding.to_json())
    } else {
        output.line(finding)
    }
}

/// Warnings are no failure.
fn conclude(findings: &[Finding], output: &Output) -> Result<(), Report> {
    let warnings = count(findings, |verdict| verdict == Verdict::Warning);
    let errors = count(findings, |verdict| matches!(verdict, Verdict::Error(_)));
    let worst = findings.iter().filter_map(|finding| match finding.verdict {
        Verdict::Error(code) => Some((finding.subject, code)),
        Verdict::Ok | Verdict::Warning => None,
    });
    output.note(format_args!("{errors} error(s), {warnings} warning(s)"));
    match worst.max_by_key(|(_, code)| code.kind().code()) {
        Some((subject, code)) => Err(named(subject, code)),
        None => Ok(()),
    }
}

/// The finding that decides the exit code; all of it is said already.
fn named(subject: &str, code: Code) -> Report {
    Report::new(code, format!("{subject}: {}", code.title()))
}

fn count(findings: &[Finding], wanted: impl Fn(Verdict) -> bool) -> usize {
    findings
        .iter()
        .filter(|finding| wanted(finding.verdict))
        .count()
}
