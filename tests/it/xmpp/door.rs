//! A door in the test's own process, over a real store.

use std::sync::Arc;
use std::time::Duration;

use gristmill::bridge::{self, Bridge};
use gristmill::buffer::{Options, SqliteBuffer, TaskBuffer};
use gristmill::job::Owner;
use gristmill::job::policy::Clock;
use gristmill::windmill::Limits;
use gristmill::xmpp::{self, DoorError, Security, Settings, Supervisor, TimeLimits};
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::rig::gristmill::{EXECUTOR, EXECUTOR_JID, OTHER_SUPERVISOR, SUPERVISOR};
use crate::rig::{DOMAIN, XmppServer, folder};

/// How long a request may wait for the store.
pub const BUFFER_TIMEOUT: Duration = Duration::from_secs(20);

/// A door that runs.
pub struct Door {
    shutdown: CancellationToken,
    task: Option<JoinHandle<Result<(), DoorError>>>,
    /// What it tells of itself.
    pub vitals: Arc<xmpp::Vitals>,
    #[allow(dead_code, reason = "removed with the door")]
    store: Option<TempDir>,
}

/// What the rig's executor is told, at a server of the rig.
pub fn settings(server: &dyn XmppServer) -> Settings {
    let supervisor = |(user, _): (&str, &str)| Supervisor {
        jid: format!("{user}@{DOMAIN}").parse().unwrap(),
        owner: Owner::new(user).unwrap(),
        notify: false,
    };
    Settings {
        jid: EXECUTOR_JID.parse().unwrap(),
        password: EXECUTOR.1.to_owned().into(),
        server: Some(server.address().to_string().parse().unwrap()),
        security: Security::StartTls,
        ca_file: Some(server.ca_file().to_owned()),
        allow_plain: false,
        max_stanza: 256 * 1024,
        max_request: 4 << 20,
        supervisors: [SUPERVISOR, OTHER_SUPERVISOR].map(supervisor).into(),
        queue: 64,
        limits: TimeLimits::default(),
    }
}

impl Door {
    /// Opens one over a new SQLite store.
    pub async fn open(settings: Settings) -> Self {
        let folder = folder::new();
        let (file, options) = (folder.path().join("buffer.db"), Options::default());
        let store = Arc::new(SqliteBuffer::open(&file, &options).await.unwrap());
        let mut door = Self::open_over(settings, store);
        door.store = Some(folder);
        door
    }

    /// Opens one over this store.
    pub fn open_over(settings: Settings, store: Arc<dyn TaskBuffer>) -> Self {
        Self::open_within(settings, store, BUFFER_TIMEOUT)
    }

    /// Opens one over a store that may take so long to answer.
    pub fn open_within(settings: Settings, store: Arc<dyn TaskBuffer>, timeout: Duration) -> Self {
        let _ = tracing_subscriber::fmt()
            .with_test_writer()
            .with_env_filter("gristmill=debug,tokio_xmpp=info")
            .try_init();
        let bridge = bridge::Settings {
            timeout,
            ..bridge_settings()
        };
        let bridge = Arc::new(Bridge::new(store, Arc::new(WallClock), bridge));
        let shutdown = CancellationToken::new();
        let vitals = Arc::<xmpp::Vitals>::default();
        let (_, supervisors) = tokio::sync::watch::channel(Vec::new());
        let task = tokio::spawn(xmpp::run(
            settings,
            bridge,
            vitals.clone(),
            supervisors,
            shutdown.clone(),
        ));
        Self {
            shutdown,
            task: Some(task),
            vitals,
            store: None,
        }
    }

    /// Closes it in order.
    pub async fn close(mut self) {
        self.shutdown.cancel();
        self.end(Duration::from_secs(10)).await.unwrap();
    }

    /// Whether it has closed by itself.
    pub fn is_closed(&self) -> bool {
        self.task.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Begins to close it.
    pub fn begin_to_close(&self) {
        self.shutdown.cancel();
    }

    /// Waits until it closes by itself.
    pub async fn end(&mut self, limit: Duration) -> Result<(), DoorError> {
        let task = self.task.take().expect("an open door");
        timeout(limit, task)
            .await
            .expect("the door to end")
            .unwrap()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn bridge_settings() -> bridge::Settings {
    bridge::Settings {
        jobs_wanted: 1000,
        wanted_when_unable: None,
        limits: Limits {
            max_bytes: 4 << 20,
            max_jobs: 1000,
        },
        receipts: true,
        strict: false,
        max_age: Duration::from_mins(10),
        timeout: BUFFER_TIMEOUT,
    }
}

struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
