//! Who comes to the socket, and who of them is served.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::frames::{self, FrameError, Receiver, Sender};
use super::wire::{Greeting, Welcome};
use super::{GREETING_LIMIT, PROTOCOL, Users, session};
use crate::job::RunsFolder;
use crate::runner::Runner;
use crate::vitals::Pulse;

/// So many may be about to say who they are; more are turned away unheard.
const MAX_GREETINGS: usize = 32;
/// How long a daemon waits for the one before it to be gone: a restart is quicker than that.
const SLOT_LIMIT: Duration = Duration::from_secs(3);
/// How long to wait where the system has no room for one more connection.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// The loop that waits for visitors turns at least so often.
const TURN_EVERY: Duration = Duration::from_secs(1);

/// What is served, and to whom.
pub struct Service {
    /// What answers.
    pub runner: Arc<dyn Runner>,
    /// Under which name its user holds claims.
    pub holder: String,
    /// The folder of the runs, where that is known.
    pub folder: Option<RunsFolder>,
    /// Who may ask.
    pub users: Users,
}

struct House {
    service: Service,
    /// One daemon is served at a time.
    slot: Arc<Semaphore>,
    stop: CancellationToken,
}

/// Serves until `stop`, and then sees done what was begun. Runs live on.
pub async fn serve(
    listener: UnixListener,
    service: Service,
    pulse: Pulse,
    stop: CancellationToken,
) {
    let house = Arc::new(House {
        service,
        slot: Arc::new(Semaphore::new(1)),
        stop: stop.clone(),
    });
    let greetings = Arc::new(Semaphore::new(MAX_GREETINGS));
    let visitors = TaskTracker::new();
    let mut ticks = interval(TURN_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pulse.turn();
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            _ = ticks.tick() => continue,
            accepted = listener.accept() => accepted,
        };
        match (accepted, greetings.clone().try_acquire_owned()) {
            (Ok((stream, _)), Ok(greeting)) => {
                visitors.spawn(house.clone().receive(stream, greeting));
            }
            (Ok(_), Err(_)) => tracing::debug!("too many at the socket; one is turned away"),
            (Err(error), _) => {
                tracing::warn!(%error, "nobody can come to the socket just now");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    visitors.close();
    visitors.wait().await;
}

impl House {
    async fn receive(self: Arc<Self>, stream: UnixStream, greeting: OwnedSemaphorePermit) {
        let greeted = tokio::select! {
            biased;
            () = self.stop.cancelled() => return,
            greeted = self.greet(stream) => greeted,
        };
        drop(greeting);
        match greeted {
            Ok(Some((mut receiver, sender, slot))) => {
                receiver.expect_questions();
                tracing::info!("a daemon is served");
                session::serve(receiver, sender, &self.service.runner, &self.stop).await;
                drop(slot);
            }
            Ok(None) | Err(FrameError::Ended) => (),
            Err(error) => tracing::warn!(%error, "somebody came to the socket and is not served"),
        }
    }

    /// `None`: whoever it is has had an answer, and nothing more is to be done.
    async fn greet(
        &self,
        stream: UnixStream,
    ) -> Result<Option<(Receiver, Sender, OwnedSemaphorePermit)>, FrameError> {
        let user = stream.peer_cred()?.uid();
        let (mut receiver, mut sender) = frames::halves(stream);
        let (welcome, slot) = if self.service.users.contain(user) {
            self.judge(&receiver.next(GREETING_LIMIT).await?).await
        } else {
            tracing::warn!(
                user,
                "not served; is this user missing in runner.allow_users?"
            );
            (Welcome::Stranger { user }, None)
        };
        sender.send(frames::encode(&welcome)?).await?;
        Ok(slot.map(|slot| (receiver, sender, slot)))
    }

    async fn judge(&self, greeting: &Greeting) -> (Welcome, Option<OwnedSemaphorePermit>) {
        if greeting.protocol != PROTOCOL {
            let theirs = greeting.protocol;
            tracing::warn!(theirs, ours = PROTOCOL, "a daemon of another version");
            return (Welcome::Protocol { spoken: PROTOCOL }, None);
        }
        if greeting.probe {
            return (self.served(), None);
        }
        let slot = timeout(SLOT_LIMIT, self.slot.clone().acquire_owned()).await;
        if let Ok(Ok(slot)) = slot {
            return (self.served(), Some(slot));
        }
        tracing::warn!("a second daemon is turned away as long as the first is there");
        (Welcome::Busy, None)
    }

    fn served(&self) -> Welcome {
        Welcome::Served {
            holder: self.service.holder.clone(),
            folder: self
                .service
                .folder
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        }
    }
}
