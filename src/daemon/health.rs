//! The door for health and metrics, on a thread of its own: it is to answer also where the threads
//! that do the work are held up.

use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::reports::listen_report;
use crate::config::Http;
use crate::error::{Code, Report};
use crate::http::{self, House, Listen, Listener};

/// A door that is open, and its thread.
pub(super) struct HealthDoor {
    listener: Listener,
    thread: Thread,
}

/// A runtime that may be dropped anywhere.
struct Thread(Option<Runtime>);

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl HealthDoor {
    /// `None`: it is off, or another process has the compiled-in default address.
    pub(super) async fn open(http: &Http) -> Result<Option<Self>, Report> {
        let listen = &http.listen;
        if *listen == Listen::Off {
            return Ok(None);
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("health")
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| {
            Report::new(
                Code::SystemRefuses,
                "no thread to tell of the daemon's health",
            )
            .because(error)
        })?;
        let there = runtime.handle().clone();
        let thread = Thread(Some(runtime));
        let place = listen.clone();
        let bound = there.spawn(async move { Listener::bind(&place).await });
        let bound = bound.await.map_err(|error| {
            Report::new(Code::Internal, "who listens for health broke down").because(error)
        })?;
        let listener = match bound {
            Err(error) if http.listen_is_default && error.is_taken() => {
                let report = listen_report(listen, &error);
                tracing::warn!(%report, "health and metrics are not served");
                None
            }
            bound => bound.map_err(|error| listen_report(listen, &error))?,
        };
        Ok(listener.map(|listener| Self { listener, thread }))
    }

    /// Answers whoever asks how it goes, until `shutdown`.
    pub(super) async fn serve(self, house: Arc<House>, shutdown: CancellationToken) {
        let Self { listener, thread } = self;
        if let Some(runtime) = &thread.0 {
            let serving = runtime.spawn(http::run(listener, house, shutdown));
            // Without it the daemon does its work all the same.
            if let Err(error) = serving.await {
                tracing::error!(%error, "nobody is told of the daemon's health any more");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_configured_place_that_is_taken_is_an_error() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut http = Http {
            listen: Listen::Tcp(other.local_addr().unwrap()),
            listen_is_default: false,
        };
        let refused = HealthDoor::open(&http).await.err().unwrap();
        assert_eq!(refused.code, Code::ListenTaken);
        assert_eq!(refused.causes.len(), 1, "{refused}");
        http.listen_is_default = true;
        assert!(HealthDoor::open(&http).await.unwrap().is_none());
    }
}
