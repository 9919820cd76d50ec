//! The door to supervisors on Jabber: who may speak, what they said, and the way back.

#[allow(dead_code, reason = "the session that uses it is on its way")]
mod carrier;
pub mod connector;
pub mod guard;
mod login;
pub mod loopback;
#[allow(dead_code, reason = "the session that uses it is on its way")]
mod queries;
pub mod settings;
mod srv;
mod tls;

pub use connector::{ConnectError, Connector, Security};
pub use settings::{InvalidServer, Server, Settings, Supervisor, TimeLimits};
