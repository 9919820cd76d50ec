//! What can be set: layers, cross-checks, secrets. The only reader of the environment.

mod check;
mod keep_keys;
mod layers;
mod running;
pub mod secrets;
mod surroundings;
mod units;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_path_to_error::Segment;
use toml::{Table, Value};
use xmpp_parsers::jid::{FullJid, Jid};

use crate::buffer::StoreUrl;
use crate::error::{Code, Report};
use crate::http::Listen;
use crate::xmpp::{Security, Server};
use layers::Layers;

pub use keep_keys::KeepKeys;
pub use layers::Source;
pub use running::{Cgroup, Conductor, KeepWork, Limits, Process, Runner, RunnerKind};
pub use surroundings::{Supervision, logs_to_journal, supervision};
pub(crate) use units::age;

/// The commented defaults: the lowest layer and, by that, documentation that cannot drift.
pub const DEFAULTS: &str = include_str!("default.toml");

/// Where the configuration is looked for when no file is named.
pub const DEFAULT_FILE: &str = "/etc/gristmill/gristmill.toml";

/// What begins the name of an environment variable that sets a key.
const ENVIRONMENT_PREFIX: &str = "GRISTMILL_";

/// The whole configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How the XMPP server is reached.
    pub xmpp: Xmpp,
    /// Who may hand out jobs.
    #[serde(default)]
    pub supervisor: Vec<Supervisor>,
    /// How supervisors are answered.
    pub bridge: Bridge,
    /// Where jobs are stored.
    pub buffer: Buffer,
    /// Whether and how often jobs are run.
    pub conductor: Conductor,
    /// What runs them.
    pub runner: Runner,
    /// Where health and metrics are.
    pub http: Http,
    /// What an operator may have captured.
    pub capture: Capture,
    /// What is logged.
    pub log: Log,
}

/// `[xmpp]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Xmpp {
    /// Ours, with the resource to bind.
    #[serde(deserialize_with = "units::parsed")]
    pub jid: FullJid,
    /// Holds the password.
    pub password_file: Option<PathBuf>,
    /// Where the server is; `None`: where the SRV records of the JID's domain say.
    #[serde(default, deserialize_with = "units::parsed_option")]
    pub server: Option<Server>,
    /// How the connection is protected.
    #[serde(deserialize_with = "units::security")]
    pub security: Security,
    /// The certificate authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// Whether SASL PLAIN may be used.
    pub allow_plain: bool,
    /// In bytes.
    #[serde(deserialize_with = "units::size")]
    pub max_stanza: usize,
}

/// `[[supervisor]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supervisor {
    /// Bare: every resource of it. Full: that resource only.
    #[serde(deserialize_with = "units::parsed")]
    pub jid: Jid,
    /// The name under which its jobs are stored.
    pub owner: Option<String>,
    /// Whether it is told of changes unasked.
    #[serde(default)]
    pub notify: bool,
}

/// `[bridge]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bridge {
    /// What numJobsWanted is answered.
    pub jobs_wanted: u32,
    /// The same while jobs cannot be stored or run; `None`: no other number.
    pub wanted_when_unable: Option<u32>,
    /// More are `too-large`.
    pub max_jobs_per_request: usize,
    /// In bytes.
    #[serde(deserialize_with = "units::size")]
    pub max_request: usize,
    /// Whether an executeJobs by message is answered when every job was stored.
    pub receipts: bool,
    /// Whether getStatus says the five words and nothing more.
    pub strict: bool,
    /// Requests that may wait.
    pub queue: usize,
    /// How late an executeJobs may be delivered.
    #[serde(deserialize_with = "units::duration")]
    pub max_age: Duration,
}

/// `[buffer]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Buffer {
    /// Which store.
    #[serde(deserialize_with = "units::parsed")]
    pub url: StoreUrl,
    /// Holds the store's password.
    pub password_file: Option<PathBuf>,
    /// The certificate authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// How long an answer waits for the store.
    #[serde(deserialize_with = "units::duration")]
    pub timeout: Duration,
    /// How long the keys of ended jobs stay.
    #[serde(deserialize_with = "units::parsed")]
    pub keep_keys: KeepKeys,
    /// Connections to MySQL.
    pub pool: usize,
    /// Whether jobs that their supervisor would not find are no reason to refuse to start.
    pub allow_orphans: bool,
    /// Where it is noted how far the store is; `None`: in a folder that depends on the runner.
    pub generation_file: Option<PathBuf>,
}

/// `[http]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where it listens.
    #[serde(deserialize_with = "units::parsed")]
    pub listen: Listen,
    /// Whether `listen` is the compiled-in default, which another daemon may have taken.
    #[serde(skip)]
    pub listen_is_default: bool,
}

/// `[capture]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capture {
    /// Where orders to capture are left.
    pub control: PathBuf,
    /// Requests with their replies in one folder.
    pub max_exchanges: u64,
    /// Of all files in one folder, in bytes.
    #[serde(deserialize_with = "units::size")]
    pub max_size: usize,
}

/// `[log]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// From which level on.
    #[serde(deserialize_with = "units::parsed")]
    pub level: tracing::Level,
    /// In which form.
    pub format: LogFormat,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where settings come from, as plain values.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Which file, with the `conf.d` beside it.
    pub file: FileChoice,
    /// `--set section.key=value`, in order.
    pub flags: Vec<(String, String)>,
    /// Environment variables, see [`environment`].
    pub environment: Vec<(String, String)>,
}

/// Which file a configuration is read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FileChoice {
    /// [`DEFAULT_FILE`], where there is one.
    #[default]
    Default,
    /// This one, which must be there.
    Named(PathBuf),
    /// None: the defaults and what is set over them.
    Without,
}

impl FileChoice {
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Default => Some(Path::new(DEFAULT_FILE)).filter(|path| path.exists()),
            Self::Named(path) => Some(path),
            Self::Without => None,
        }
    }
}

/// A configuration that passed every check, and how it came to be.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// The same as a tree, for showing.
    pub tree: Table,
    /// Where each dotted key came from.
    pub sources: BTreeMap<String, Source>,
}

/// The variables of this process's environment that set a key.
#[must_use]
pub fn environment() -> Vec<(String, String)> {
    let ours = |(name, _): &(String, String)| name.starts_with(ENVIRONMENT_PREFIX);
    let mut variables: Vec<_> = std::env::vars().filter(ours).collect();
    variables.sort();
    variables
}

/// Whether colours may be used: nobody set `NO_COLOR`.
#[must_use]
pub fn colours_are_welcome() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Who runs this process, as the environment says: before sudo, or else now.
#[must_use]
pub fn user() -> Option<String> {
    let variables = ["SUDO_USER", "USER", "LOGNAME"];
    let value = |name: &str| std::env::var(name).ok().filter(|user| !user.is_empty());
    variables.into_iter().find_map(value)
}

/// Merges all layers and checks the result.
pub fn load(sources: &Sources) -> Result<Loaded, Report> {
    let mut layers = Layers::default();
    layers.add_defaults(DEFAULTS)?;
    if let Some(file) = sources.file.path() {
        layers.add_file(file)?;
        for fragment in fragments(file)? {
            layers.add_file(&fragment)?;
        }
    }
    for (name, value) in &sources.environment {
        let key = name.trim_start_matches(ENVIRONMENT_PREFIX);
        let key = key.to_ascii_lowercase().replace("__", ".");
        layers.add_value(&key, value, Source::Environment(name.clone()))?;
    }
    for (key, value) in &sources.flags {
        layers.add_value(key, value, Source::Flag)?;
    }
    let mut config = read_tree(&layers).map_err(|report| name_missing_file(report, sources))?;
    config.http.listen_is_default = layers.sources.get("http.listen") == Some(&Source::Default);
    check::cross_check(&config).map_err(|fault| locate(&layers.sources, fault))?;
    Ok(Loaded {
        config,
        tree: layers.tree,
        sources: layers.sources,
    })
}

impl Loaded {
    /// What an operator reads of a key whose value cannot be used.
    #[must_use]
    pub fn fault(
        &self,
        code: Code,
        key: &str,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> Report {
        let fault = check::Fault {
            code,
            key: key.to_owned(),
            what: what.into(),
            hint: Some(hint.into()),
        };
        locate(&self.sources, fault)
    }
}

/// What is missing is most likely in a file that was not found.
fn name_missing_file(report: Report, sources: &Sources) -> Report {
    if sources.file == FileChoice::Default && sources.file.path().is_none() {
        return report.hint(format!(
            "there is no {DEFAULT_FILE}; write it (`gristmill config default` begins one), \
             or name another with --config"
        ));
    }
    report
}

/// The files in `conf.d` beside the file, by name. Names that begin with a dot are an editor's or
/// another system's.
fn fragments(file: &Path) -> Result<Vec<PathBuf>, Report> {
    let folder = file.parent().unwrap_or(Path::new(".")).join("conf.d");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let unreadable = |error| {
        let what = format!("{}: the folder cannot be read", folder.display());
        Report::new(Code::ConfigUnreadable, what).because(error)
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.ends_with(b".toml") && !name.starts_with(b".") {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn read_tree(layers: &Layers) -> Result<Config, Report> {
    let tree = Value::Table(layers.tree.clone());
    serde_path_to_error::deserialize(tree).map_err(|error| {
        let path = error.path().iter().filter_map(|segment| match segment {
            Segment::Map { key } => Some(key.clone()),
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Enum { .. } | Segment::Unknown => None,
        });
        let path = path.collect::<Vec<_>>().join(".");
        locate(
            &layers.sources,
            check::explain(&path, error.inner().message()),
        )
    })
}

/// Says where in the layers a fault is.
fn locate(sources: &BTreeMap<String, Source>, fault: check::Fault) -> Report {
    let section = || fault.key.rsplit_once('.').map(|(section, _)| section);
    let source = sources.get(&fault.key);
    let source = source.or_else(|| sources.get(section()?));
    let what = match source {
        Some(Source::Default) | None => match layers::first_file(sources) {
            // What is missing can be written anywhere.
            Some(file) => format!("{}:1:1: {}: {}", file.display(), fault.key, fault.what),
            None => format!("{}: {}", fault.key, fault.what),
        },
        Some(source) => format!("{source}: {}: {}", fault.key, fault.what),
    };
    let report = Report::new(fault.code, what);
    report.hint(fault.hint.unwrap_or_else(|| {
        "`gristmill config default` shows every key with its default".to_owned()
    }))
}

#[cfg(test)]
mod tests;
