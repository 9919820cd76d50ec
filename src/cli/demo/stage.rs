//! Everything that the demo needs to have around: an XMPP server, the daemon, and a supervisor's
//! line to it.

use std::collections::HashMap;
use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use xmpp_parsers::jid::{BareJid, FullJid, Jid};

use crate::buffer::{self, ListFilter};
use crate::config::{self, Config, FileChoice, Sources};
use crate::daemon::{self, Manager, Surroundings};
use crate::error::{Code, Report};
use crate::job::{JobId, Record};
use crate::windmill::{self, Answer, Call, DataAnswer, JobQuery, Reply, Request};
use crate::xmpp::loopback::{Account, Loopback};
use crate::xmpp::peer::{Carrier, Peer};

use super::cast::{self, Actor};

/// The daemon's account, and the resource that it binds.
const EXECUTOR: &str = "executor@localhost/panda";
/// The supervisor's.
const SUPERVISOR: &str = "windmill@localhost/demo";
/// From the start of everything to the supervisor's being online.
const START_LIMIT: Duration = Duration::from_secs(20);
/// What an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// How soon the supervisor looks again for an executor that is not online yet.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Where the programs are, below the stage's folder.
const PROGRAMS: &str = "transformations";

/// What was asked and answered.
pub(super) struct Exchange {
    pub(super) document: String,
    pub(super) response: String,
    pub(super) reply: Reply,
    pub(super) took: Duration,
}

/// The server, the daemon and the supervisor, all up.
pub(super) struct Stage {
    supervisor: Peer,
    config: Config,
    daemon: JoinHandle<Result<(), Report>>,
    shutdown: CancellationToken,
    server_shutdown: CancellationToken,
    /// Holds the store, the password, the programs and their work; goes when the demo ends.
    folder: TempDir,
}

impl Stage {
    /// Starts everything; the daemon wants `jobs` jobs.
    pub(super) async fn set(jobs: u32) -> Result<Self, Report> {
        let folder =
            TempDir::new().map_err(|error| failed("no temporary folder").because(error))?;
        let password = SecretString::from(format!("{:032x}", rand::random::<u128>()));
        let server_shutdown = CancellationToken::new();
        let address = serve_xmpp(&password, server_shutdown.clone()).await?;
        cast::install(&folder.path().join(PROGRAMS))
            .map_err(|error| failed("no programs").because(error))?;
        let config = configure(&folder, &password, address, jobs)?;
        let shutdown = CancellationToken::new();
        let daemon = start_daemon(config.clone(), shutdown.clone());
        let stage = Self {
            supervisor: go_online(&config, password).await?,
            daemon,
            shutdown,
            server_shutdown,
            config,
            folder,
        };
        stage.wait_for_daemon().await?;
        Ok(stage)
    }

    /// The jobs that can be run here.
    pub(super) fn cast(&self, jobs: u32) -> Result<Vec<Actor>, Report> {
        let input = cast::write_input(self.folder.path())
            .map_err(|error| failed("no input").because(error))?;
        cast::jobs(jobs, &input).map_err(|error| {
            Report::new(Code::Internal, "the demo's jobs are invalid").because(error)
        })
    }

    /// What an operator sees of each job.
    pub(super) async fn records(&self) -> Result<HashMap<JobId, Record>, Report> {
        let (url, options) = (
            &self.config.buffer.url,
            daemon::store_options(&self.config.buffer)?,
        );
        let store = buffer::open_for_reading(url, &options)
            .await
            .map_err(|error| daemon::store_report(url, &error))?;
        let all = ListFilter {
            owner: None,
            job_id: None,
            state: None,
            since: None,
            limit: u32::MAX,
        };
        let records = store.list(&all).await;
        let records = records.map_err(|error| failed("the store gave no list").because(error))?;
        let by_job = |record: Record| (record.key.job_id.clone(), record);
        Ok(records.into_iter().map(by_job).collect())
    }

    /// One request and its answer.
    pub(super) async fn ask(&self, request: &Request) -> Result<Exchange, Report> {
        let document = windmill::write_call(request);
        let began = Instant::now();
        let asked = self
            .supervisor
            .ask(Carrier::Iq, &document, ANSWER_LIMIT)
            .await;
        let response =
            asked.map_err(|error| failed("the executor did not answer").because(error))?;
        let took = began.elapsed();
        let reply = windmill::read_reply(&response)
            .map_err(|error| failed("the executor's answer cannot be read").because(error))?;
        Ok(Exchange {
            document,
            response,
            reply,
            took,
        })
    }

    /// The daemon goes online, and opens its store, in its own time.
    async fn wait_for_daemon(&self) -> Result<(), Report> {
        let patience = Instant::now() + START_LIMIT;
        loop {
            let answer = self.ask(&any_job()?).await;
            match answer.map(|exchange| exchange.reply.content) {
                Ok(Ok(Answer::ExecutorData(jobs))) if jobs.iter().all(DataAnswer::is_rejected) => {
                    return Ok(());
                }
                Err(report) if self.daemon.is_finished() || Instant::now() > patience => {
                    return Err(report);
                }
                _ => sleep(LOOK_AGAIN).await,
            }
        }
    }

    /// Ends everything in order.
    pub(super) async fn strike(self) -> Result<(), Report> {
        self.supervisor.close().await;
        self.shutdown.cancel();
        let ended = self.daemon.await;
        self.server_shutdown.cancel();
        ended.map_err(|error| Report::new(Code::Internal, "the daemon panicked").because(error))?
    }
}

/// A question that is answered `rejected` once everything is up.
fn any_job() -> Result<Request, Report> {
    let job_id = JobId::new("none").map_err(|error| failed("no job ID").because(error))?;
    let query = JobQuery {
        job_id,
        attempt: None,
    };
    Ok(Request {
        id: None,
        call: Call::GetExecutorData(vec![query]),
    })
}

async fn serve_xmpp(
    password: &SecretString,
    shutdown: CancellationToken,
) -> Result<SocketAddr, Report> {
    let mut accounts = Vec::new();
    for jid in [EXECUTOR, SUPERVISOR] {
        accounts.push(Account {
            jid: bare(jid)?,
            password: password.clone(),
        });
    }
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = Loopback::bind(accounts, any_port).await;
    let server = server.map_err(|error| failed("no XMPP server on loopback").because(error))?;
    let address = server.address();
    tokio::spawn(server.run(shutdown));
    Ok(address)
}

fn configure(
    folder: &TempDir,
    password: &SecretString,
    address: SocketAddr,
    jobs: u32,
) -> Result<Config, Report> {
    let password_file = folder.path().join("password");
    write_private(&password_file, password)?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let flags = [
        ("xmpp.jid", EXECUTOR.to_owned()),
        ("xmpp.password_file", password_file.display().to_string()),
        ("xmpp.server", address.to_string()),
        ("xmpp.security", "plaintext".to_owned()),
        ("xmpp.allow_plain", "true".to_owned()),
        (
            "supervisor",
            format!("[{{ jid = \"{}\" }}]", bare(SUPERVISOR)?),
        ),
        ("bridge.jobs_wanted", jobs.to_string()),
        ("buffer.url", format!("sqlite:{}", path("buffer.db"))),
        (
            "runner.process.transformations",
            format!("[\"{}\"]", path(PROGRAMS)),
        ),
        ("runner.process.work_dir", path("work")),
        ("runner.process.grace", "1s".to_owned()),
        ("runner.process.keep_work", "never".to_owned()),
        ("conductor.slots", "0".to_owned()),
        ("http.listen", String::new()),
        ("conductor.retry_after", "500ms".to_owned()),
    ];
    let loaded = config::load(&Sources {
        file: FileChoice::Without,
        flags: flags.map(|(key, value)| (key.to_owned(), value)).into(),
        environment: Vec::new(),
    })?;
    Ok(loaded.config)
}

fn start_daemon(config: Config, shutdown: CancellationToken) -> JoinHandle<Result<(), Report>> {
    let surroundings = Surroundings {
        shutdown,
        manager: Manager::default(),
        reload: None,
        capture: None,
        dropped_log_lines: Arc::default(),
    };
    tokio::spawn(async move { daemon::run(&config, true, surroundings).await })
}

async fn go_online(config: &Config, password: SecretString) -> Result<Peer, Report> {
    let jid: FullJid = parse(SUPERVISOR)?;
    let settings = daemon::client_settings(config, jid, password);
    let executor = config.xmpp.jid.clone().into();
    let online = Peer::connect(settings, executor, START_LIMIT).await;
    online.map_err(|error| failed("the supervisor cannot go online").because(error))
}

/// Writes a secret where nobody else can read it.
fn write_private(path: &Path, secret: &SecretString) -> Result<(), Report> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(secret.expose_secret().as_bytes()));
    written.map_err(|error| failed("no file for the demo's password").because(error))
}

fn bare(jid: &str) -> Result<BareJid, Report> {
    parse::<Jid>(jid).map(|jid| jid.to_bare())
}

fn parse<T: FromStr<Err: Error>>(text: &str) -> Result<T, Report> {
    text.parse()
        .map_err(|error: T::Err| failed("the demo's names are invalid").because(error))
}

fn failed(what: &str) -> Report {
    Report::new(Code::DemoBroken, format!("the demo cannot go on: {what}"))
}
