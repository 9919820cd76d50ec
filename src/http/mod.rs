//! A door for this machine only: health and metrics. It changes nothing, so it has no log-in.

mod bind;
mod census;
mod exposition;
mod health;
mod host;
mod house;
mod listen;
mod metrics;
mod process;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::{CONNECTION, HeaderValue};
use axum::middleware::{from_fn, map_response};
use axum::response::Response;
use axum::routing::get;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use bind::{BindError, Listener};
pub use house::House;
pub use listen::{InvalidListen, Listen};

/// How long answers that have begun may take when the door closes.
const GOODBYE: Duration = Duration::from_secs(1);

/// Answers until `shutdown`.
pub async fn run(listener: Listener, house: Arc<House>, shutdown: CancellationToken) {
    let closing = shutdown.clone();
    let mut routes = routes(house);
    if listener.is_tcp() {
        routes = routes.layer(from_fn(host::only_of_this_machine));
    }
    let serve = axum::serve(listener, routes)
        .with_graceful_shutdown(async move { closing.cancelled().await });
    let served = tokio::spawn(async move { serve.await });
    shutdown.cancelled().await;
    // Who has not got an answer by then does not need it.
    let _ = timeout(GOODBYE, served).await;
}

fn routes(house: Arc<House>) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
        .layer(map_response(one_answer))
        .with_state(house)
}

/// A connection is for one answer, so that idle ones take no room.
async fn one_answer(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
