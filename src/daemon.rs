//! Puts the house together: the store behind its gate, the conductor beside it, the bridge over
//! it, the door before it; signals and the ordered stop.

mod capture;
mod check;
mod clock;
mod conducting;
mod door;
mod health;
mod journal;
mod log_queue;
mod manager;
mod owners;
mod reload;
mod reports;
mod runner;
mod signals;
mod store;
mod truth;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use secrecy::SecretString;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use xmpp_parsers::jid::FullJid;

use crate::bridge::{self, Bridge};
use crate::buffer::{self, Gate, OpenError, Options, StoreUrl};
use crate::conductor;
use crate::config::{self, Config};
use crate::error::{Code, Report};
use crate::http::House;
use crate::job::Owner;
use crate::vitals::Count;
use crate::windmill::Limits;
use crate::xmpp;
use conducting::Conducting;
use door::Door;
use health::HealthDoor;
use owners::Assignment;
use reload::Live;

pub use capture::Capture;
pub use check::{check_daemon, check_runner};
pub use clock::SystemClock;
pub use journal::{JournalLayer, JournalSocket};
pub use log_queue::LogQueue;
pub use manager::Manager;
pub use reload::Reload;
pub use reports::store_report;
pub use runner::{serve_runner, try_runner};
pub use signals::until_signalled;
pub use store::{checked_store_options, store_options};
pub use truth::RunnerTruth;

/// What surrounds the daemon.
pub struct Surroundings {
    /// Cancelled when it is to stop.
    pub shutdown: CancellationToken,
    /// Who wants to know how it is.
    pub manager: Manager,
    /// Changes the configuration while it runs.
    pub reload: Option<Reload>,
    /// Captures what is asked and answered, while an operator wants it.
    pub capture: Option<Capture>,
    /// How many lines of its log were dropped.
    pub dropped_log_lines: Arc<Count>,
}

/// Runs the daemon until `shutdown`, or until something that time does not heal.
pub async fn run(config: &Config, migrate: bool, surroundings: Surroundings) -> Result<(), Report> {
    let Surroundings {
        shutdown,
        manager,
        reload,
        capture,
        dropped_log_lines,
    } = surroundings;
    let settings = door_settings(config)?;
    let health = HealthDoor::open(&config.http).await?;
    let url = &config.buffer.url;
    // The store closes last, and captures end after the door has said its last word.
    let (store_stop, heard_all) = (CancellationToken::new(), CancellationToken::new());
    let _closing = store_stop.clone().drop_guard();
    let gate = open_in_background(config, migrate, store_stop)?;
    let draining = Arc::<AtomicBool>::default();
    let slots = Arc::new(AtomicUsize::new(conducting::slots(config)));
    let conducting = Conducting::prepare(config, &gate, draining.clone(), slots.clone())?;
    let bridge = build_bridge(config, &gate, draining.clone(), conducting.as_ref());
    let bridge = Arc::new(capture::heard_by(capture.as_ref(), bridge));
    tracing::info!(jid = %config.xmpp.jid, store = %url, "gristmill {} starts", env!("CARGO_PKG_VERSION"));

    let door_vitals = Arc::<xmpp::Vitals>::default();
    let house = House::new(
        door_vitals.clone(),
        gate.clone(),
        conducting.as_ref().map(Conducting::vitals),
        draining,
        shutdown.clone(),
        Arc::new(SystemClock),
    )
    .counting_dropped_log_lines(dropped_log_lines);
    let house = Arc::new(house);
    let (others, supervisors) = watch::channel(settings.supervisors.clone());
    let live = Live {
        bridge: bridge.clone(),
        gate: gate.clone(),
        supervisors: others,
        slots,
    };
    let aside = async {
        tokio::join!(
            tell_health(health, house.clone(), &shutdown),
            manager.attend(&house, &shutdown),
            reload_when_asked(reload, live, &manager, &shutdown),
            capture::run(capture, heard_all.clone()),
        );
    };

    // A store that is well is open before the first question; another one is not waited for.
    let _ = timeout(config.buffer.timeout, gate.opened()).await;
    let door = Door {
        config,
        vitals: door_vitals,
        manager: &manager,
        shutdown: &shutdown,
    };
    let door = Box::pin(async {
        let ended = door.run(settings, bridge, supervisors).await;
        heard_all.cancel();
        ended
    });
    let conductor = Box::pin(conduct(conducting, &shutdown));
    let store = keep_store(&gate, url, &shutdown);
    // Whatever ends, with an error or in order, ends the others.
    let (door, conductor, store, ()) = tokio::join!(
        then_stop(&shutdown, door),
        then_stop(&shutdown, conductor),
        then_stop(&shutdown, store),
        Box::pin(aside),
    );
    store.and(door).and(conductor)
}

/// Until `shutdown`, or until it is known that the store cannot be opened.
async fn keep_store(
    gate: &Gate,
    url: &StoreUrl,
    shutdown: &CancellationToken,
) -> Result<(), Report> {
    tokio::select! {
        opened = gate.opened() => opened.map_err(|error| store_report(url, &error))?,
        () = shutdown.cancelled() => (),
    }
    shutdown.cancelled().await;
    Ok(())
}

/// Runs the conductor in a task of its own, so that its panic is not everybody's.
async fn conduct(
    conducting: Option<Conducting>,
    shutdown: &CancellationToken,
) -> Result<(), Report> {
    let Some(conducting) = conducting else {
        shutdown.cancelled().await;
        return Ok(());
    };
    let mut task = JoinSet::new();
    task.spawn(conducting.run(shutdown.clone()));
    match task.join_next().await {
        Some(Ok(ended)) => ended,
        Some(Err(error)) => Err(conducting::broken(error)),
        None => Ok(()),
    }
}

async fn reload_when_asked(
    reload: Option<Reload>,
    live: Live,
    manager: &Manager,
    stop: &CancellationToken,
) {
    match reload {
        Some(reload) => reload.run(live, manager, stop).await,
        // Nobody else is to take it that there will be no change.
        None => stop.cancelled().await,
    }
}

/// Answers whoever asks how it goes.
async fn tell_health(door: Option<HealthDoor>, house: Arc<House>, shutdown: &CancellationToken) {
    if let Some(door) = door {
        door.serve(house, shutdown.clone()).await;
    }
}

async fn then_stop(
    shutdown: &CancellationToken,
    part: impl Future<Output = Result<(), Report>>,
) -> Result<(), Report> {
    let ended = part.await;
    shutdown.cancel();
    ended
}

/// Asks the store and the runner and logs in to the XMPP server, once, and changes nothing.
pub async fn try_connections(config: &Config) -> Result<(), Report> {
    try_store(config).await?;
    runner::try_runner(config).await?;
    let settings = door_settings(config)?;
    xmpp::try_login(&settings).await.map_err(|error| {
        let what = format!("{}: no log-in to the XMPP server", config.xmpp.jid);
        Report::new(Code::LoginFailed, what).because(error)
    })
}

/// Visits the XMPP server step by step; an error where the password cannot be read.
pub async fn visit_server(config: &Config) -> Result<xmpp::Visit, Report> {
    Ok(xmpp::visit(&door_settings(config)?, &SystemClock).await)
}

/// A store that still has to be made or migrated is asked for that alone.
async fn try_store(config: &Config) -> Result<(), Report> {
    let (url, options) = (&config.buffer.url, store_options(&config.buffer)?);
    let unopened = |error| store_report(url, &error);
    if !buffer::plan(url, &options)
        .await
        .map_err(unopened)?
        .is_empty()
    {
        return Ok(());
    }
    let store = buffer::open_for_reading(url, &options)
        .await
        .map_err(unopened)?;
    store
        .ping()
        .await
        .map_err(|error| Report::new(Code::StoreMute, format!("{url}: no answer")).because(error))
}

fn build_bridge(
    config: &Config,
    gate: &Arc<Gate>,
    draining: Arc<AtomicBool>,
    conducting: Option<&Conducting>,
) -> Bridge {
    let listening = listening_owners(config).into_iter().collect();
    let bridge = Bridge::new(gate.clone(), Arc::new(SystemClock), bridge_settings(config))
        .drained_by(draining)
        .able_while(is_able(gate.clone(), conducting))
        .with_telling(gate.clone(), listening);
    match conducting {
        Some(conducting) => bridge.with_truth(conducting.truth()),
        None => bridge,
    }
}

/// Says whether jobs can be stored, and run where this daemon runs jobs.
fn is_able(gate: Arc<Gate>, conducting: Option<&Conducting>) -> bridge::IsAble {
    let runs = conducting.map(Conducting::vitals);
    let can_run = move || runs.as_ref().is_none_or(conductor::Vitals::can_start);
    Arc::new(move || gate.can_store().is_ok() && can_run())
}

/// How calls are answered.
#[must_use]
pub fn bridge_settings(config: &Config) -> bridge::Settings {
    let bridge = &config.bridge;
    bridge::Settings {
        jobs_wanted: bridge.jobs_wanted,
        wanted_when_unable: bridge.wanted_when_unable,
        limits: Limits {
            max_bytes: bridge.max_request,
            max_jobs: bridge.max_jobs_per_request,
        },
        receipts: bridge.receipts,
        strict: bridge.strict,
        max_age: bridge.max_age,
        timeout: config.buffer.timeout,
    }
}

/// How a client other than the daemon reaches the daemon's XMPP server.
#[must_use]
pub fn client_settings(config: &Config, jid: FullJid, password: SecretString) -> xmpp::Settings {
    let xmpp = &config.xmpp;
    xmpp::Settings {
        jid,
        password,
        server: xmpp.server.clone(),
        security: xmpp.security,
        ca_file: xmpp.ca_file.clone(),
        allow_plain: xmpp.allow_plain,
        max_stanza: xmpp.max_stanza,
        max_request: config.bridge.max_request,
        supervisors: Vec::new(),
        queue: config.bridge.queue,
        limits: xmpp::TimeLimits::default(),
    }
}

/// Who may speak.
fn supervisors(config: &Config) -> Result<Vec<xmpp::Supervisor>, Report> {
    let supervisors = config.supervisor.iter().map(|supervisor| {
        let owner = supervisor.owner().map_err(|error| {
            Report::new(Code::OwnerInvalid, format!("{}: {error}", supervisor.jid))
        })?;
        Ok(xmpp::Supervisor {
            jid: supervisor.jid.clone(),
            owner,
            notify: is_told(config, supervisor),
        })
    });
    supervisors.collect()
}

fn door_settings(config: &Config) -> Result<xmpp::Settings, Report> {
    let (jid, password) = (config.xmpp.jid.clone(), config.xmpp.password()?);
    Ok(xmpp::Settings {
        supervisors: supervisors(config)?,
        ..client_settings(config, jid, password)
    })
}

fn open_in_background(
    config: &Config,
    migrate: bool,
    shutdown: CancellationToken,
) -> Result<Arc<Gate>, Report> {
    let options = Options {
        migrate,
        ..checked_store_options(config)?
    };
    if options.generation_file.is_none() {
        tracing::info!("an older copy of the store will not be noticed: no buffer.generation_file");
    }
    let url = config.buffer.url.clone();
    let (assignment, listening) = (assignment(config)?, listening_owners(config));
    let open = move || {
        let (url, options) = (url.clone(), options.clone());
        let (assignment, listening) = (assignment.clone(), listening.clone());
        async move {
            let store = buffer::open(&url, &options).await?;
            assignment.take_effect(&*store).await?;
            let listening = store.listen(&assignment.daemon, &listening).await;
            listening.map_err(|error| OpenError::Unreachable(error.to_string()))?;
            Ok(store)
        }
    };
    Ok(Gate::start(open, config.buffer.timeout, shutdown))
}

/// The owners whose supervisors are told of changes unasked.
fn listening_owners(config: &Config) -> Vec<Owner> {
    let listening = config
        .supervisor
        .iter()
        .filter(|peer| is_told(config, peer));
    listening.filter_map(|peer| peer.owner().ok()).collect()
}

/// A strict daemon says nothing that the old protocol does not know.
fn is_told(config: &Config, supervisor: &config::Supervisor) -> bool {
    supervisor.notify && !config.bridge.strict
}

/// Which owner each supervisor is to have.
fn assignment(config: &Config) -> Result<Assignment, Report> {
    Ok(Assignment {
        daemon: config.xmpp.jid.to_string(),
        supervisors: supervisors(config)?,
        allow_orphans: config.buffer.allow_orphans,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{BufferError, NewJob, StoreRequest, TaskBuffer};
    use crate::config::{FileChoice, Sources};
    use crate::job::{Attempt, ContentHash, JobId, JobKey, State};
    use jiff::Timestamp;

    /// The least that is configured, and these keys.
    pub(super) fn config_with(keys: &[(&str, &str)]) -> Config {
        let least = [
            ("xmpp.jid", "executor@localhost/here"),
            ("supervisor", "[{ jid = \"supervisor@localhost\" }]"),
        ];
        let flags = least.iter().chain(keys);
        let sources = Sources {
            file: FileChoice::Without,
            flags: flags
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            environment: Vec::new(),
        };
        config::load(&sources).unwrap().config
    }

    /// To who has the wrong owner's name all jobs would be `rejected`.
    #[tokio::test]
    async fn nobody_is_answered_from_a_store_with_strangers_jobs() {
        let folder = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(folder.path().join("buffer.db"));
        let generation = folder.path().join("generation");
        let config = config_with(&[
            ("buffer.url", &url.to_string()),
            ("buffer.generation_file", &generation.display().to_string()),
        ]);
        let job_id = JobId::new("1").unwrap();
        let job = NewJob {
            key: JobKey {
                job_id: job_id.clone(),
                attempt: Attempt::FIRST,
            },
            content: ContentHash([0; 32]),
            priority: 0,
            state: State::Ready,
            payload: String::new(),
        };
        let request = StoreRequest {
            owner: Owner::new("stranger").unwrap(),
            jobs: vec![job],
            refusals: Vec::new(),
            sent_at: Timestamp::MAX,
            prompt_until: None,
            now: Timestamp::UNIX_EPOCH,
        };
        let store = buffer::open(&url, &Options::default()).await.unwrap();
        store.store(request).await.unwrap();
        drop(store);

        let gate = open_in_background(&config, true, CancellationToken::new()).unwrap();
        let opened = gate.opened().await;
        assert!(matches!(opened, Err(OpenError::Orphaned(_))), "{opened:?}");
        let owner = config.supervisor.first().unwrap().owner().unwrap();
        let found = gate.find_jobs(&owner, &[(job_id, None)]).await;
        assert!(
            matches!(found, Err(BufferError::Unreachable(_))),
            "{found:?}"
        );
    }
}
