//! Real servers for tests and benchmarks: each in a folder of its own, on free loopback ports,
//! ended when its value is dropped and also when the test process is killed.
//!
//! A missing server is an error that names its Debian package, never a skipped test.
#![allow(dead_code, reason = "each user of the rig needs another part of it")]

pub mod documents;
pub mod ejabberd;
pub mod failure;
pub mod folder;
pub mod gristmill;
pub mod guest;
pub mod http;
pub mod machine;
pub mod mariadb;
pub mod pki;
pub mod ports;
pub mod process;
pub mod prosody;
pub mod runner;
pub mod site;
pub mod slixmpp;
pub mod tree;

use std::net::SocketAddr;
use std::path::Path;

/// The domain of every account on the servers of the rig.
pub const DOMAIN: &str = "grid.test";

/// An account of the rig's XMPP servers, at [`DOMAIN`].
pub type Account<'a> = (&'a str, &'a str);

/// How much a client may send how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limits {
    /// As Debian ships the server: 256 KiB a stanza, and few kilobytes a second.
    Debian,
    /// With the settings of `packaging/`.
    Lifted,
}

/// A server of the rig, for clients.
pub trait XmppServer {
    /// Where it speaks STARTTLS.
    fn address(&self) -> SocketAddr;

    /// PEM file of the authority that vouches for it.
    fn ca_file(&self) -> &Path;
}
