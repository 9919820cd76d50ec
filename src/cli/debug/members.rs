//! What stands in a bundle: one file for each subject, each gathered by itself within a time limit.

use std::fs;
use std::future::Future;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use serde_json::{Value, json};

use super::{journal, settings};
use crate::buffer::{self, Operations, Step, TaskBuffer};
use crate::cli::aside::within;
use crate::cli::{doctor, health, store};
use crate::config::{Config, Loaded};
use crate::daemon;
use crate::error::Report;

/// How long one subject may take.
const LIMIT: Duration = Duration::from_secs(45);

/// A file of the archive.
pub(super) struct Member {
    pub(super) name: &'static str,
    /// What it is, in a sentence.
    pub(super) about: &'static str,
    /// Its text, or why there is none.
    pub(super) content: Content,
}

type Content = Result<String, String>;

type Subject = (&'static str, &'static str, BoxFuture<'static, Content>);

/// All of them, in the order in which somebody reads them.
pub(super) async fn gather(loaded: Result<Loaded, Report>) -> Vec<Member> {
    let config = loaded.as_ref().ok().map(|loaded| loaded.config.clone());
    let settings = match &loaded {
        Ok(loaded) => settings::effective(loaded),
        Err(report) => settings::broken(report),
    };
    let subjects: [Subject; 9] = [
        (
            "versions.json",
            "this program, the store's, and the machine",
            versions(config.clone()).boxed(),
        ),
        (
            "configuration.txt",
            "every value with the layer that it came from, or where the configuration is wrong",
            async { Ok(settings) }.boxed(),
        ),
        (
            "doctor.txt",
            "what `gristmill doctor` says",
            with(config.clone(), looks),
        ),
        (
            "healthz.json",
            "the running daemon's loops",
            with(config.clone(), |config| ask(config, "/healthz")),
        ),
        (
            "readyz.json",
            "what keeps the running daemon from work",
            with(config.clone(), |config| ask(config, "/readyz")),
        ),
        (
            "metrics.txt",
            "the running daemon's counters",
            with(config.clone(), |config| ask(config, "/metrics")),
        ),
        (
            "jobs.json",
            "how many jobs are in each state, and who drains",
            with(config.clone(), jobs),
        ),
        (
            "schema.json",
            "the steps that the store's schema has taken, and has still to take",
            with(config, schema),
        ),
        (
            "log.txt",
            "the newest lines of the journal, from level info on, without what may quote a job",
            async { journal::recent() }.boxed(),
        ),
    ];
    let members = subjects.map(|(name, about, content)| async move {
        let late = || Err(format!("no answer within {} s", LIMIT.as_secs()));
        let content = within(LIMIT, content).await.unwrap_or_else(late);
        Member {
            name,
            about,
            content,
        }
    });
    join_all(members).await
}

/// What needs a configuration.
fn with<Asking>(
    config: Option<Config>,
    ask: impl FnOnce(Config) -> Asking,
) -> BoxFuture<'static, Content>
where
    Asking: Future<Output = Content> + Send + 'static,
{
    match config {
        Some(config) => ask(config).boxed(),
        None => async { Err("the configuration cannot be used".to_owned()) }.boxed(),
    }
}

async fn looks(config: Config) -> Content {
    let lines = doctor::lines(&config).await;
    Ok(lines.concat())
}

async fn ask(config: Config, path: &'static str) -> Content {
    let listen = &config.http.listen;
    match health::get(listen, path).await {
        Ok(Some(answer)) => Ok(answer.body),
        Ok(None) => Err("http.listen is empty, so the daemon cannot be asked".to_owned()),
        Err(error) => Err(format!("{listen}: no daemon answers: {error}")),
    }
}

async fn versions(config: Option<Config>) -> Content {
    let system = rustix::system::uname();
    let kernel = [system.sysname(), system.release(), system.machine()];
    let kernel = kernel.map(|part| part.to_string_lossy().into_owned());
    let store = match config {
        Some(config) => store_version(&config).await.map_err(|report| said(&report)),
        None => Err("the configuration cannot be used".to_owned()),
    };
    let memory = rustix::system::sysinfo();
    Ok(pretty(&json!({
        "gristmill": env!("CARGO_PKG_VERSION"),
        "store": store.unwrap_or_else(|why| why),
        "kernel": kernel.join(" "),
        "system": system_name(),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory_bytes": memory.totalram.saturating_mul(memory.mem_unit.into()),
        "up_seconds": memory.uptime,
    })))
}

async fn store_version(config: &Config) -> Result<String, Report> {
    let url = &config.buffer.url;
    let options = daemon::store_options(&config.buffer)?;
    let version = buffer::store_version(url, &options).await;
    version.map_err(|error| daemon::store_report(url, &error))
}

/// As the distribution calls itself.
fn system_name() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').to_owned())
}

async fn jobs(config: Config) -> Content {
    let counted = async {
        let store = store::for_looking_on(&config).await?;
        let census = store.ask(TaskBuffer::census).await?;
        let drains = store.ask(Operations::drains).await?;
        // Not why: that is in the operator's own words.
        let drains = drains.iter().map(
            |drain| json!({ "daemon": drain.daemon, "drains": drain.on, "since": drain.since }),
        );
        Ok(json!({
            "jobs": census.jobs,
            "unreadable": census.unreadable,
            "oldest_ready": census.oldest_ready,
            "drains": drains.collect::<Vec<_>>(),
        }))
    };
    content(counted.await)
}

async fn schema(config: Config) -> Content {
    let planned = async {
        let url = &config.buffer.url;
        let options = daemon::store_options(&config.buffer)?;
        let pending = buffer::plan(url, &options).await;
        let pending = pending.map_err(|error| daemon::store_report(url, &error))?;
        let mut taken = buffer::steps(url);
        taken.retain(|step| !pending.contains(step));
        let told = |steps: Vec<Step>| -> Vec<String> {
            let named = |step: Step| format!("{} {}", step.version, step.name);
            steps.into_iter().map(named).collect()
        };
        Ok(json!({ "taken": told(taken), "to_be_taken": told(pending) }))
    };
    content(planned.await)
}

fn content(told: Result<Value, Report>) -> Content {
    told.map(|value| pretty(&value))
        .map_err(|report| said(&report))
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// A report in one line.
fn said(report: &Report) -> String {
    let words = [&report.what].into_iter().chain(&report.causes);
    let words: Vec<_> = words.map(String::as_str).collect();
    format!("{}: {}", report.code, words.join(": "))
}
