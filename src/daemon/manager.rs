//! What the service manager (systemd) is told: that we are ready, how we are, that we live.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::buffer::Census;
use crate::config::Supervision;
use crate::http::House;
use crate::vitals::Pulse;

/// How soon the manager hears of a change.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The watchdog is fed so often in its time.
const FEEDINGS: u32 = 3;

/// What a job is that is not done, and not running, in the store's words.
const WAITING: [&str; 4] = ["scheduled", "waiting", "ready", "claimed"];

/// The line to the service manager; says nothing where there is none.
#[derive(Clone, Default)]
pub struct Manager {
    line: Option<Arc<(UnixDatagram, SocketAddr)>>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// The one that the environment names.
    #[must_use]
    pub fn new(supervision: &Supervision) -> Self {
        let socket = supervision.socket.as_deref();
        let line = socket.and_then(|socket| match open(socket) {
            Ok(line) => Some(Arc::new(line)),
            Err(error) => {
                tracing::warn!(%error, "the service manager cannot be told anything");
                None
            }
        });
        Self {
            line,
            watchdog: supervision.watchdog,
        }
    }

    /// Whether a service manager started us, which starts us again when we end by an error.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.line.is_some()
    }

    /// Says something, if somebody listens.
    pub fn tell(&self, states: &[NotifyState]) {
        let Some((socket, address)) = self.line.as_deref() else {
            return;
        };
        let lines = states.iter().map(|state| format!("{state}\n"));
        let message: String = lines.collect();
        if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
            tracing::debug!(%error, message, "the service manager did not take it");
        }
    }

    /// Says that the configuration is being read again.
    pub fn tell_reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::debug!(%error, "no monotonic clock"),
        }
    }

    /// Says that it is ready as soon as every loop turns, then how it is; feeds the watchdog as
    /// long as every loop turns. Until `stop`.
    pub async fn attend(&self, house: &House, stop: &CancellationToken) {
        if self.line.is_none() {
            return stop.cancelled().await;
        }
        tokio::select! {
            () = stop.cancelled() => (),
            () = self.feed(&house.pulses) => (),
            () = self.tell_status(house) => (),
        }
        self.tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }

    /// Feeds the watchdog as long as these loops turn; never returns.
    pub(super) async fn feed(&self, pulses: &[Pulse]) {
        let Some(watchdog) = self.watchdog else {
            return std::future::pending().await;
        };
        let mut ticks = interval((watchdog / FEEDINGS).max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if pulses.iter().all(Pulse::is_turning) {
                self.tell(&[NotifyState::Watchdog]);
            } else {
                let stuck = pulses.iter().filter(|pulse| !pulse.is_turning());
                let stuck: Vec<_> = stuck.map(Pulse::name).collect();
                tracing::error!(?stuck, "a loop does not turn; the watchdog is not fed");
            }
        }
    }

    async fn tell_status(&self, house: &House) {
        while !house.pulses.iter().all(Pulse::has_begun) {
            sleep(LOOK_EVERY / 10).await;
        }
        let mut told = status(house).await;
        self.tell(&[NotifyState::Ready, NotifyState::Status(&told)]);
        loop {
            sleep(LOOK_EVERY).await;
            let status = status(house).await;
            if status != told {
                self.tell(&[NotifyState::Status(&status)]);
                told = status;
            }
        }
    }
}

/// A name that begins with `@` is in the abstract namespace.
fn open(socket: &OsStr) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let line = UnixDatagram::unbound()?;
    // A manager that does not read must not hold us up.
    line.set_nonblocking(true)?;
    Ok((line, address))
}

/// How it is, in one line: "XMPP online, 12 running, 3 waiting".
async fn status(house: &House) -> String {
    let store = house.store.is_up().is_ok();
    let census = if store { house.census().await } else { None };
    let line = if house.door.is_online() {
        "XMPP online".to_owned()
    } else {
        house.door_offline()
    };
    let mut parts = vec![line, work(census.as_ref())];
    if store && house.store.can_store().is_err() {
        parts.push("store takes no writes".to_owned());
    }
    if house.is_draining() {
        parts.push("draining".to_owned());
    }
    parts.join(", ")
}

fn work(census: Option<&Census>) -> String {
    match census {
        None => "store unreachable".to_owned(),
        Some(census) => {
            let (running, waiting) = (census.count(&["running"]), census.count(&WAITING));
            format!("{running} running, {waiting} waiting")
        }
    }
}
