//! A start that takes its time is never taken for one that did not happen: neither by who asks
//! after it, nor by the next daemon. No real runner is slow when a test wants it to be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use gristmill::job::{RunKey, RunOrder, RunReport, StoreId};
use gristmill::runner::remote::{Link, Settings};
use gristmill::runner::socket::{Service, Users, listen, serve};
use gristmill::runner::{Heard, News, RunError, RunState, Runner};
use gristmill::vitals::Pulse;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::stage::{PATIENCE, key, order, spec, until};
use crate::rig::folder;

/// So long nothing may happen that must not.
const A_WHILE: Duration = Duration::from_millis(500);

/// Starts when it is let, and until then has started nothing.
#[derive(Default)]
struct Slow {
    asked: AtomicU32,
    started: AtomicU32,
    let_start: Gate,
}

struct Gate(Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

fn other<T>() -> Result<T, RunError> {
    Err(RunError::Permanent("nobody asks that".to_owned()))
}

#[async_trait]
impl Runner for Slow {
    async fn serve(&self, _: &StoreId) -> Result<(), RunError> {
        other()
    }

    async fn ready(&self) -> Result<(), RunError> {
        other()
    }

    async fn start(&self, _: &RunOrder) -> Result<(), RunError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let _let_start = self.let_start.0.acquire().await;
        self.started.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn look_up(&self, _: RunKey) -> Result<RunState, RunError> {
        Ok(match self.started.load(Ordering::SeqCst) {
            0 => RunState::NeverStarted,
            _ => RunState::Alive,
        })
    }

    async fn ended(&self, _: RunKey) -> Result<(), RunError> {
        std::future::pending().await
    }

    async fn renew(&self, _: RunKey, _: Option<Duration>) -> Result<(), RunError> {
        other()
    }

    async fn stop(&self, _: RunKey) -> Result<(), RunError> {
        other()
    }

    async fn collect(&self, _: RunKey) -> Result<RunReport, RunError> {
        other()
    }

    async fn news(&self, _: RunKey, _: Option<Heard>) -> Result<News, RunError> {
        other()
    }

    async fn runs(&self) -> Result<Vec<RunKey>, RunError> {
        other()
    }

    async fn forget(&self, _: RunKey, _: bool) -> Result<(), RunError> {
        other()
    }
}

struct Scene {
    runner: Arc<Slow>,
    folder: TempDir,
}

impl Scene {
    fn open() -> Self {
        let scene = Self {
            runner: Arc::default(),
            folder: folder::new(),
        };
        let service = Service {
            runner: scene.runner.clone(),
            holder: "slow".to_owned(),
            folder: None,
            users: Users::ourselves(),
        };
        let listener = listen(&scene.settings().socket).unwrap();
        let pulse = Pulse::new("runner", Duration::MAX);
        tokio::spawn(serve(listener, service, pulse, CancellationToken::new()));
        scene
    }

    fn settings(&self) -> Settings {
        Settings {
            socket: self.folder.path().join("runner.sock"),
            users: Users::ourselves(),
        }
    }

    async fn until_asked(&self) {
        until("a start is asked for", || {
            self.runner.asked.load(Ordering::SeqCst) == 1
        })
        .await;
    }
}

#[tokio::test]
async fn who_asks_after_a_start_hears_of_it_when_it_is_done() {
    let scene = Scene::open();
    let link = Link::start(scene.settings());
    let remote = link.runner().await;
    let starting = tokio::spawn({
        let remote = remote.clone();
        async move { remote.start(&order(1, spec("job", ""))).await }
    });
    scene.until_asked().await;
    // As who gave the start up, and must know what became of it.
    starting.abort();
    let looking = tokio::spawn({
        let remote = remote.clone();
        async move { remote.look_up(key(1, 1)).await }
    });
    let other_run = remote.look_up(key(2, 1)).await;
    assert_eq!(other_run.unwrap(), RunState::NeverStarted);
    tokio::time::sleep(A_WHILE).await;
    assert!(!looking.is_finished());
    scene.runner.let_start.0.add_permits(1);
    let state = tokio::time::timeout(PATIENCE, looking).await.unwrap();
    assert_eq!(state.unwrap().unwrap(), RunState::Alive);
}

#[tokio::test]
async fn the_next_daemon_is_served_when_the_starts_of_the_one_before_are_done() {
    let scene = Scene::open();
    let first = Link::start(scene.settings());
    let remote = first.runner().await;
    let starting = tokio::spawn(async move { remote.start(&order(1, spec("job", ""))).await });
    scene.until_asked().await;
    starting.abort();
    let _ = starting.await;
    drop(first);

    let next = Link::start(scene.settings());
    tokio::time::sleep(A_WHILE).await;
    assert!(next.runner_now().is_none());
    scene.runner.let_start.0.add_permits(1);
    let remote = tokio::time::timeout(PATIENCE, next.runner()).await.unwrap();
    let state = remote.look_up(key(1, 1)).await;
    assert_eq!(state.unwrap(), RunState::Alive);
}
