//! All of a daemon in the test's process: door, bridge, gate, conductor and real runs, over a
//! store that fails as it is told, beside the small XMPP server of the demo.

use std::collections::HashSet;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gristmill::bridge::{self, Bridge};
use gristmill::buffer::{Gate, Holder, Notices, OpenError, Options, SqliteBuffer, Store};
use gristmill::conductor::{self, Patience, Tools};
use gristmill::daemon::{RunnerTruth, SystemClock};
use gristmill::job::policy::Backoff;
use gristmill::job::{Limits, Owner};
use gristmill::runner::cgroup::Wanted;
use gristmill::runner::process::{self, KeepLimits, KeepWork, ProcessRunner};
use gristmill::vitals::Pulse;
use gristmill::windmill;
use gristmill::xmpp::loopback::{Account, Loopback};
use gristmill::xmpp::peer::Peer;
use gristmill::xmpp::{self, Security, Supervisor, TimeLimits};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::faulty_store::{Faults, FaultyStore};
use crate::hooked_store::HookedStore;
use crate::rig::folder;

/// No question to the store may take longer.
pub const STORE_LIMIT: Duration = Duration::from_millis(500);
/// Nothing else takes longer, on a machine that is busy with others.
pub const PATIENCE: Duration = Duration::from_mins(1);

const EXECUTOR: &str = "executor@demo/panda";
const SUPERVISOR: &str = "supervisor@demo/drill";

pub struct House {
    folder: TempDir,
    pub store: Arc<FaultyStore>,
    server: xmpp::Settings,
    _running: DropGuard,
}

pub fn owner() -> Owner {
    Owner::new("prodsys").unwrap()
}

impl House {
    /// Opens a house over a new store.
    pub async fn open(faults: Faults) -> Self {
        let folder = folder::new();
        fs::create_dir(folder.path().join("programs")).unwrap();
        // An empty one is no sound one.
        fs::write(folder.path().join("programs/README"), "programs").unwrap();
        let file = folder.path().join("buffer.db");
        let real = SqliteBuffer::open(&file, &Options::default())
            .await
            .unwrap();
        let running = CancellationToken::new();
        let house = Self {
            folder,
            store: Arc::new(HookedStore {
                real: Arc::new(real),
                hook: faults,
            }),
            server: serve_xmpp(running.clone()).await,
            _running: running.clone().drop_guard(),
        };
        house.start(&running);
        house
    }

    fn start(&self, running: &CancellationToken) {
        let store = self.store.clone();
        let open = move || {
            let store = store.clone();
            async move {
                let listening = store.listen(EXECUTOR, &[owner()]).await;
                listening.map_err(|error| OpenError::Unreachable(error.to_string()))?;
                Ok::<Arc<dyn Store>, OpenError>(store)
            }
        };
        let gate = Gate::start(open, STORE_LIMIT, running.clone());
        let (tools, settings) = self.conductor(&gate);
        let truth = RunnerTruth {
            claims: gate.clone(),
            runner: tools.runner.clone(),
            clock: Arc::new(SystemClock),
            holder: settings.holder.clone(),
            daemon: settings.daemon.clone(),
            limits: settings.limits,
            others_lapse: false,
        };
        let bridge = Bridge::new(gate.clone(), Arc::new(SystemClock), bridge_settings())
            .with_telling(gate, HashSet::from([owner()]))
            .with_truth(Arc::new(truth));
        let supervisors = watch::Sender::new(self.server.supervisors.clone());
        let (door, stop) = (self.server.clone(), running.clone());
        tokio::spawn(async move {
            let heard = supervisors.subscribe();
            let door = xmpp::run(door, Arc::new(bridge), Arc::default(), heard, stop.clone());
            let ended = door.await;
            assert!(stop.is_cancelled(), "{ended:?}");
        });
        let stop = running.clone();
        tokio::spawn(async move {
            let ended = conductor::run(tools, settings, stop.clone()).await;
            assert!(stop.is_cancelled(), "{ended:?}");
        });
    }

    fn conductor(&self, gate: &Arc<Gate>) -> (Tools, conductor::Settings) {
        let clock = Arc::new(SystemClock);
        let runner = ProcessRunner::open(self.runner_settings(), clock.clone()).unwrap();
        let settings = conductor::Settings {
            holder: Holder::new(runner.holder().to_owned()).unwrap(),
            folder: None,
            daemon: EXECUTOR.to_owned(),
            slots: Arc::new(4.into()),
            leases: None,
            limits: Limits {
                max_runs: 3,
                max_abandons: 5,
                backoff: Backoff {
                    first: Duration::from_millis(20),
                    longest: Duration::from_millis(100),
                },
            },
            patience: Patience {
                store: STORE_LIMIT * 2,
                runner: PATIENCE,
                collect: PATIENCE,
                stop: PATIENCE,
            },
        };
        let tools = Tools {
            claims: gate.clone(),
            runner: Arc::new(runner),
            read_job: Arc::new(|payload| windmill::read_job(payload).map_err(|reason| reason.text)),
            clock: clock.clone(),
            boot_clock: clock,
            dice: Arc::new(rand::random),
            bell: gate.bell(),
            draining: Arc::default(),
            counters: Arc::default(),
            pulse: Pulse::new("conductor", PATIENCE),
            breaker: Arc::default(),
        };
        (tools, settings)
    }

    fn runner_settings(&self) -> process::Settings {
        process::Settings {
            transformations: vec![self.folder.path().join("programs")],
            work_dir: self.folder.path().join("work"),
            wrapper: PathBuf::from(env!("CARGO_BIN_EXE_gristmill")),
            timeout: PATIENCE,
            grace: Duration::from_secs(5),
            keep_work: KeepWork::Never,
            keep: KeepLimits::default(),
            cgroup: Wanted::Off,
            retry_exit_codes: vec![75],
            limits: process::Limits::default(),
        }
    }

    /// Writes a shell script that jobs can name. What it appends to `$LOG` is in [`Self::log`].
    pub fn script(&self, name: &str, text: &str) {
        let path = self.folder.path().join("programs").join(name);
        let log = self.folder.path().join("log");
        let text = format!("#!/bin/sh\nLOG={}\n{text}\n", log.display());
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What scripts have written to `$LOG`.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A supervisor that is online.
    pub async fn supervisor(&self) -> Peer {
        let settings = xmpp::Settings {
            jid: SUPERVISOR.parse().unwrap(),
            password: "supervisor".to_owned().into(),
            ..self.server.clone()
        };
        let executor = EXECUTOR.parse().unwrap();
        Peer::connect(settings, executor, PATIENCE).await.unwrap()
    }
}

async fn serve_xmpp(running: CancellationToken) -> xmpp::Settings {
    let accounts = ["executor", "supervisor"].map(|name| Account {
        jid: format!("{name}@demo").parse().unwrap(),
        password: name.to_owned().into(),
    });
    let server = Loopback::bind(accounts, (Ipv4Addr::LOCALHOST, 0).into());
    let server = server.await.unwrap();
    let address = server.address().to_string();
    tokio::spawn(server.run(running));
    xmpp::Settings {
        jid: EXECUTOR.parse().unwrap(),
        password: "executor".to_owned().into(),
        server: Some(address.parse().unwrap()),
        security: Security::Plaintext,
        ca_file: None,
        allow_plain: true,
        max_stanza: 256 * 1024,
        max_request: 4 << 20,
        supervisors: vec![Supervisor {
            jid: "supervisor@demo".parse().unwrap(),
            owner: owner(),
            notify: true,
        }],
        queue: 64,
        limits: TimeLimits::default(),
    }
}

fn bridge_settings() -> bridge::Settings {
    bridge::Settings {
        jobs_wanted: 1000,
        wanted_when_unable: None,
        limits: windmill::Limits {
            max_bytes: 4 << 20,
            max_jobs: 1000,
        },
        receipts: true,
        strict: false,
        max_age: Duration::from_mins(10),
        timeout: STORE_LIMIT,
    }
}
