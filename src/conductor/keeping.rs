//! Has the runner keep no more than it may of the runs that are forgotten, and nothing of jobs that
//! were purged.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::context::Context;
use crate::buffer::BufferError;
use crate::job::RecordId;
use crate::runner::{Kept, RunError};

/// How often.
const TEND_EVERY: Duration = Duration::from_secs(10);
/// Records in one question to the store.
const LOT: usize = 500;

/// Tends what is kept, for ever.
pub(super) async fn keep_tending(context: Arc<Context>) {
    loop {
        if let Err(error) = tend(&context).await {
            tracing::debug!(%error, "what is kept of runs cannot be tended");
        }
        sleep(TEND_EVERY).await;
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Runner(#[from] RunError),
    #[error(transparent)]
    Store(#[from] BufferError),
}

async fn tend(context: &Context) -> Result<(), Error> {
    let kept = context.runner.tend_kept(&[]).await?;
    note(context, &kept);
    let mut records: Vec<RecordId> = kept.runs.iter().map(|run| run.record).collect();
    records.dedup();
    let mut purged = Vec::new();
    for lot in records.chunks(LOT) {
        purged.append(&mut context.claims.purged(lot).await?);
    }
    if !purged.is_empty() {
        note(context, &context.runner.tend_kept(&purged).await?);
    }
    Ok(())
}

fn note(context: &Context, kept: &Kept) {
    context.counters().kept.set(kept.runs.len());
    let bytes = usize::try_from(kept.bytes).unwrap_or(usize::MAX);
    context.counters().kept_bytes.set(bytes);
}
