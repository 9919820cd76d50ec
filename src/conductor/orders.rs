//! What the store wants of a holder: kills, claims that are its no more, draining.

use std::sync::atomic::Ordering;

use super::context::Context;
use crate::job::RunKey;

/// Asks once and passes the orders on.
pub(super) async fn follow(context: &Context) {
    let settings = &context.settings;
    let held = context.holdings.claimed();
    let claims: Vec<_> = held
        .iter()
        .map(|holding| (holding.key.record, holding.key.token))
        .collect();
    let asked = context
        .claims
        .orders(&settings.holder, &settings.daemon, &claims);
    let Ok(orders) = asked.await else {
        return;
    };
    for (record, token) in orders.lost {
        if let Some(holding) = context.holdings.get(RunKey { record, token }) {
            holding.lost.cancel();
        }
    }
    for record in orders.kill {
        for holding in context.holdings.of_record(record) {
            holding.kill.cancel();
        }
    }
    let before = context.tools.draining.swap(orders.drain, Ordering::Relaxed);
    if before != orders.drain {
        tracing::info!(draining = orders.drain, "an operator changed it");
    }
    if orders.drain {
        for holding in context.holdings.claimed() {
            holding.recall.cancel();
        }
    }
}
