//! Notes in the store that no job is started, and why, for people who ask what jobs wait for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::breaker::Unfit;
use super::context::Context;
use crate::buffer::{BufferError, OpenBreaker};

/// How soon a change is noted.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So often it is noted again that nothing has changed.
const AGAIN: u32 = 60;

/// Notes every change of the breaker, for ever. What an earlier process noted goes first.
pub(super) async fn keep_noting(context: Arc<Context>) {
    let (mut noted, mut looks, mut failures) = (None, 0, 0);
    loop {
        let unfit = context.breaker().unfit();
        looks += 1;
        let is_old = unfit.is_some() && looks >= AGAIN;
        if noted.as_ref() != Some(&unfit) || is_old {
            if note(&context, unfit.as_ref()).await.is_ok() {
                (noted, looks, failures) = (Some(unfit), 0, 0);
            } else {
                failures += 1;
                sleep(context.wait_after(failures)).await;
            }
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn note(context: &Context, unfit: Option<&Unfit>) -> Result<(), BufferError> {
    let settings = &context.settings;
    let open = unfit.map(|unfit| OpenBreaker {
        holder: settings.holder.clone(),
        daemon: settings.daemon.clone(),
        reason: unfit.why.clone(),
        since: unfit.since,
        seen: context.tools.clock.now(),
    });
    let noted = context.claims.note_breaker(&settings.holder, open.as_ref());
    noted.await
}
