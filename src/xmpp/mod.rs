//! The door to supervisors on Jabber: who may speak, what they said, and the way back.

pub mod connector;
pub mod guard;
mod login;
pub mod settings;
mod srv;
mod tls;

pub use connector::{ConnectError, Connector, Security};
pub use settings::{InvalidServer, Server, Settings, Supervisor, TimeLimits};
