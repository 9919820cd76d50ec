//! Shows the store that the claims' holder lives, by a timer of its own.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{MissedTickBehavior, interval};

use super::Leases;
use super::context::Context;
use super::holding::{Holding, Tenure};
use crate::buffer::Renewed;

/// So often in the shorter lease it is looked what is due.
const LOOKS_PER_LEASE: u32 = 12;

/// Renews claims a third into their lease, for ever. Progress of a run renews nothing.
pub(super) async fn keep_renewing(context: Arc<Context>, leases: Leases) {
    let every = leases.claimed.min(leases.running) / LOOKS_PER_LEASE;
    let mut looks = interval(every.max(Duration::from_millis(1)));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let due = due(&context, &leases);
        if !due.is_empty() {
            renew(&context, &due).await;
        }
    }
}

fn due(context: &Context, leases: &Leases) -> Vec<Arc<Holding>> {
    let now = context.since_boot();
    let mut due = Vec::new();
    for holding in context.holdings.claimed() {
        // Where the runner is just being told, it is the next look's.
        if let Ok(tenure) = holding.tenure.try_lock()
            && tenure.is_due(leases, now)
        {
            due.push(holding.clone());
        }
    }
    due
}

async fn renew(context: &Context, due: &[Arc<Holding>]) {
    let name = |holding: &Arc<Holding>| (holding.key.record, holding.key.token);
    let claims: Vec<_> = due.iter().map(name).collect();
    let sent = context.since_boot();
    let answers = match context.claims.renew(&claims).await {
        Ok(answers) => answers,
        Err(error) => return tracing::warn!(%error, claims = due.len(), "claims are not renewed"),
    };
    let tell = due.iter().zip(answers).map(|(holding, answer)| async move {
        match answer {
            Renewed::Held => {
                let mut tenure = holding.tenure.lock().await;
                tenure.show(sent);
                tell_runner(context, holding, &mut tenure).await;
            }
            Renewed::Lost => holding.lost.cancel(),
            // It is as due as before.
            Renewed::Busy => (),
        }
    });
    join_all(tell).await;
}

/// Tells the runner how long the run may live.
pub(super) async fn tell_runner(context: &Context, holding: &Holding, tenure: &mut Tenure) {
    let Some(leases) = &context.settings.leases else {
        return;
    };
    let Some(deadline) = tenure.deadline(leases).filter(|_| tenure.with_runner) else {
        return;
    };
    match context.runner.renew(holding.key, Some(deadline)).await {
        Ok(()) => tenure.told = true,
        Err(error) => tracing::warn!(run = %holding.key, %error, "a run was not told of its lease"),
    }
}
