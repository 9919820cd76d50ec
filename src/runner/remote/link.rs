//! The way to a runner, which is made anew whenever it breaks.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::connection::{Connection, Settings};
use super::{ConnectError, RemoteRunner};
use crate::job::policy::Backoff;

/// How long to wait before a runner is tried again that was not there.
const TRY_AGAIN: Backoff = Backoff {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(5),
};

/// The way to a runner. It is kept up as long as somebody has it.
#[derive(Clone)]
pub struct Link {
    current: watch::Receiver<Option<Arc<Connection>>>,
    _keeper: Arc<DropGuard>,
}

impl Link {
    /// Begins to connect, and never ends.
    #[must_use]
    pub fn start(settings: Settings) -> Self {
        let (current, connections) = watch::channel(None);
        let stop = CancellationToken::new();
        tokio::spawn({
            let stop = stop.clone();
            async move {
                tokio::select! {
                    () = stop.cancelled() => (),
                    () = keep(&settings, &current) => (),
                }
            }
        });
        Self {
            current: connections,
            _keeper: Arc::new(stop.drop_guard()),
        }
    }

    /// The runner, once it is there.
    pub async fn runner(&self) -> RemoteRunner {
        let mut current = self.current.clone();
        if let Ok(connection) = current.wait_for(Option::is_some).await
            && let Some(connection) = &*connection
        {
            return self.bound_to(connection);
        }
        // The runtime is being shut down.
        pending().await
    }

    /// The runner, if it is there.
    #[must_use]
    pub fn runner_now(&self) -> Option<RemoteRunner> {
        self.current().map(|connection| self.bound_to(&connection))
    }

    fn bound_to(&self, connection: &Connection) -> RemoteRunner {
        RemoteRunner {
            link: self.clone(),
            holder: connection.holder.clone(),
            folder: connection.folder.clone(),
        }
    }

    pub(super) fn current(&self) -> Option<Arc<Connection>> {
        self.current.borrow().clone()
    }

    /// Returns once a runner of another holder is there.
    pub(super) async fn other_than(&self, holder: &str) {
        let mut current = self.current.clone();
        let other = |connection: &Option<Arc<Connection>>| {
            let connection = connection.as_ref();
            connection.is_some_and(|connection| connection.holder != holder)
        };
        if current.wait_for(other).await.is_err() {
            pending::<()>().await;
        }
    }
}

async fn keep(settings: &Settings, current: &watch::Sender<Option<Arc<Connection>>>) {
    let socket = settings.socket.display();
    let (mut failures, mut said) = (0, None);
    loop {
        match Connection::open(settings).await {
            Ok((connection, carrying)) => {
                let holder = &connection.holder;
                tracing::info!(%socket, %holder, "the runner is there");
                (failures, said) = (0, None);
                current.send_replace(Some(Arc::new(connection)));
                let error = carrying.await;
                current.send_replace(None);
                tracing::warn!(%socket, %error, "the runner is away; jobs wait, and what runs goes on");
            }
            Err(error) => say_once(&mut said, &socket, &error),
        }
        failures += 1;
        sleep(TRY_AGAIN.wait(failures, rand::random())).await;
    }
}

fn say_once(said: &mut Option<String>, socket: &impl std::fmt::Display, error: &ConnectError) {
    let text = Some(error.to_string());
    if *said == text {
        tracing::debug!(%socket, %error, "the runner is away still");
    } else {
        tracing::warn!(%socket, %error, "the runner is away; jobs wait");
        *said = text;
    }
}
