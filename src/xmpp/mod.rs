//! The door to supervisors on Jabber: who may speak, what they said, and the way back.

mod carrier;
pub mod connector;
mod courtesy;
pub mod guard;
mod lane;
mod link;
mod login;
pub mod loopback;
mod parcel;
pub mod peer;
mod queries;
mod redial;
mod roster;
mod server_clock;
mod session;
pub mod settings;
mod srv;
mod teller;
mod tls;
mod unasked;
mod visit;
mod vitals;
mod wire;
mod wish;

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::bridge::Bridge;

pub use connector::{Connector, Established};
pub use redial::Refusals;
pub use roster::Roster;
pub use settings::{
    InvalidServer, Security, Server, Settings, Supervisor, TimeLimits, password_oddity,
};
pub use tls::check_authorities;
pub use visit::{Certificate, ServerTime, Visit, visit};
pub use vitals::{Call, Calls, Vitals};
pub use wire::ConnectError;

/// Keeps the door open until `shutdown`, then answers what is in hand and closes it. An error
/// closes it by itself. How it goes is written to `vitals`; who may speak
/// changes with `supervisors`.
///
/// At log level trace tokio-xmpp prints passwords and payloads: whoever sets up logging caps its
/// target `tokio_xmpp` at info.
pub async fn run(
    settings: Settings,
    bridge: Arc<Bridge>,
    vitals: Arc<Vitals>,
    supervisors: watch::Receiver<Vec<Supervisor>>,
    shutdown: CancellationToken,
) -> Result<(), DoorError> {
    let session = session::Session::new(settings, bridge, vitals, supervisors);
    session.run(shutdown).await
}

/// Connects and logs in once, and leaves again: whether the configuration is right.
pub async fn try_login(settings: &Settings) -> Result<(), ConnectError> {
    Connector::new(Arc::new(settings.clone()))
        .open()
        .await
        .map(drop)
}

/// Why the door closes by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DoorError {
    /// One of us and the server does not trust the other, and it never was otherwise.
    #[error("{0}")]
    Refused(String),
    /// The account or its password is not accepted, and never was. Trying again often may get us
    /// banned.
    #[error("{0}")]
    Denied(String),
    /// The server gave us another resource than the configured one.
    #[error(
        "the server bound {bound} and not {wanted}; supervisors would not find us. \
         Give xmpp.jid a resource that the server allows"
    )]
    WrongResource {
        /// The configured JID.
        wanted: String,
        /// The one that was bound.
        bound: String,
    },
    /// Another client takes our resource whenever we have it.
    #[error(
        "another client keeps taking our resource on the server; \
         is a second daemon running with the same xmpp.jid?"
    )]
    Conflict,
    /// A bug of ours.
    #[error("a queue of requests broke down; please report this with the log above")]
    Broken,
}
