//! Looks at the daemon: its metrics, and what keeps it from work.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::scrape::Scrape;
use crate::cli::health;
use crate::cli::job::present::one_line;
use crate::http::Listen;

/// What is known of the daemon.
#[derive(Clone, Debug)]
pub(super) enum Daemon {
    /// It has not answered yet.
    Asked,
    /// `http.listen` is empty, so nobody can ask it.
    Mute,
    /// It did not answer, and why.
    Away(String),
    Here(Heard),
}

/// What it said.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) at: Instant,
    pub(super) scrape: Scrape,
    /// What keeps it from work.
    pub(super) reasons: Vec<String>,
}

impl Daemon {
    pub(super) fn scrape(&self) -> Option<&Scrape> {
        match self {
            Self::Here(heard) => Some(&heard.scrape),
            _ => None,
        }
    }
}

/// Looks again and again, until nobody wants to know any more.
pub(super) async fn keep_looking(listen: Listen, every: Duration, seen: watch::Sender<Daemon>) {
    while !seen.is_closed() {
        seen.send_replace(look(&listen).await);
        sleep(every).await;
    }
}

/// Each question has a time limit.
async fn look(listen: &Listen) -> Daemon {
    let asked = tokio::join!(
        health::get(listen, "/metrics"),
        health::get(listen, "/readyz")
    );
    let (metrics, readiness) = match asked {
        (Ok(Some(metrics)), Ok(Some(readiness))) => (metrics, readiness),
        (Ok(None), _) | (_, Ok(None)) => return Daemon::Mute,
        (Err(error), _) | (_, Err(error)) => return Daemon::Away(one_line(&error.to_string())),
    };
    match Scrape::read(&metrics.body).filter(|_| metrics.status == 200) {
        Some(scrape) => Daemon::Here(Heard {
            at: Instant::now(),
            scrape,
            reasons: reasons(&readiness.body),
        }),
        None => Daemon::Away(format!(
            "who answers there (with {}) is no gristmill",
            metrics.status
        )),
    }
}

fn reasons(body: &str) -> Vec<String> {
    let said: Value = serde_json::from_str(body).unwrap_or_default();
    let reasons = said.get("reasons").and_then(Value::as_array);
    let reasons = reasons.into_iter().flatten().filter_map(Value::as_str);
    reasons.map(one_line).collect()
}
