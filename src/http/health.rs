//! Whether it lives, and whether it does what it is there for.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::House;
use crate::vitals::Pulse;

/// What `/healthz` says.
#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
    loops: BTreeMap<&'static str, Turning>,
}

/// One loop.
#[derive(Serialize)]
struct Turning {
    ok: bool,
    last_turn_seconds_ago: f64,
    limit_seconds: f64,
}

/// What `/readyz` says.
#[derive(Serialize)]
pub(super) struct Readiness {
    status: &'static str,
    reasons: Vec<String>,
}

impl From<&Pulse> for Turning {
    fn from(pulse: &Pulse) -> Self {
        Self {
            ok: pulse.is_turning(),
            last_turn_seconds_ago: pulse.age().as_secs_f64(),
            limit_seconds: pulse.limit().as_secs_f64(),
        }
    }
}

/// Each loop's last turn; 503 if one of them does not turn.
pub(super) async fn healthz(State(house): State<Arc<House>>) -> (StatusCode, Json<Health>) {
    let (code, status) = if house.is_alive() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "stuck")
    };
    let loops = house
        .pulses
        .iter()
        .map(|pulse| (pulse.name(), pulse.into()));
    let loops = loops.collect();
    (code, Json(Health { status, loops }))
}

/// 503 with the reasons, if there are any.
pub(super) async fn readyz(State(house): State<Arc<House>>) -> (StatusCode, Json<Readiness>) {
    let reasons = house.hindrances();
    let (code, status) = if reasons.is_empty() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    (code, Json(Readiness { status, reasons }))
}
