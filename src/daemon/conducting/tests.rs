//! A conductor that breaks.

use async_trait::async_trait;

use super::*;
use crate::buffer::{self, Options};
use crate::config::{self, FileChoice, Sources};
use crate::job::{RunKey, RunOrder, RunReport, StoreId};
use crate::runner::{Heard, News, RunError, RunState};

/// A bug.
struct Panics;

#[async_trait]
impl Runner for Panics {
    async fn serve(&self, _: &StoreId) -> Result<(), RunError> {
        panic!("a bug of the runner's")
    }
    async fn ready(&self) -> Result<(), RunError> {
        unreachable!()
    }
    async fn start(&self, _: &RunOrder) -> Result<(), RunError> {
        unreachable!()
    }
    async fn look_up(&self, _: RunKey) -> Result<RunState, RunError> {
        unreachable!()
    }
    async fn ended(&self, _: RunKey) -> Result<(), RunError> {
        unreachable!()
    }
    async fn renew(&self, _: RunKey, _: Option<Duration>) -> Result<(), RunError> {
        unreachable!()
    }
    async fn stop(&self, _: RunKey) -> Result<(), RunError> {
        unreachable!()
    }
    async fn collect(&self, _: RunKey) -> Result<RunReport, RunError> {
        unreachable!()
    }
    async fn news(&self, _: RunKey, _: Option<Heard>) -> Result<News, RunError> {
        unreachable!()
    }
    async fn runs(&self) -> Result<Vec<RunKey>, RunError> {
        unreachable!()
    }
    async fn forget(&self, _: RunKey, _: bool) -> Result<(), RunError> {
        unreachable!()
    }
}

/// A bug in one part ends the daemon in order, so that it is started again.
#[tokio::test]
async fn a_conductor_that_panics_is_a_part_that_broke() {
    let folder = tempfile::tempdir().unwrap();
    let url = StoreUrl::Sqlite(folder.path().join("buffer.db"));
    let flags = [
        ("xmpp.jid", "executor@localhost/here"),
        ("supervisor", "[{ jid = \"supervisor@localhost\" }]"),
    ];
    let config = config::load(&Sources {
        file: FileChoice::Without,
        flags: flags.map(|(key, value)| (key.into(), value.into())).into(),
        environment: Vec::new(),
    });
    let config = config.unwrap().config;
    let shutdown = CancellationToken::new();
    let open = move || {
        let url = url.clone();
        async move { buffer::open(&url, &Options::default()).await }
    };
    let gate = Gate::start(open, config.buffer.timeout, shutdown.clone());
    gate.opened().await.unwrap();
    let host = Host {
        holder: holder("mill").unwrap(),
        folder: None,
    };
    let conducting = Conducting {
        config,
        gate,
        draining: Arc::default(),
        counters: Arc::default(),
        slots: Arc::new(AtomicUsize::new(1)),
        pulse: Pulse::new("conductor", Duration::from_secs(1)),
        breaker: Arc::default(),
        place: Place::Here(Arc::new(Panics), host),
    };
    let ended = crate::daemon::conduct(Some(conducting), &shutdown).await;
    assert_eq!(ended.unwrap_err().code, Code::PartBroken);
    shutdown.cancel();
}
