//! A runner behind a unix socket, so that what faces the network and what runs jobs are processes
//! of two users.
//!
//! ```text
//! daemon ── greeting ─▶ runner      who the daemon is, the kernel says (peer credentials)
//!        ◀─ welcome ──              the holder's name, or why it is not served
//!        ── request N ─▶            many at once, answered in any order
//!        ◀─ response N ─
//! ```
//!
//! Each is a frame: its length (4 bytes, big end first), then JSON. One daemon is served at a time,
//! since a holder of claims is one live daemon at most: the next one is served when all that the
//! one before wanted done is done.

pub(super) mod frames;
mod place;
mod server;
mod session;
mod users;
pub(super) mod wire;
mod wire_order;
mod wire_report;

use std::time::Duration;

pub use place::{MAX_PATH_BYTES, PlaceError, listen};
pub use server::{Service, serve};
pub use users::{UnknownUser, Users, user_id};

/// What both sides must speak; it grows with every change of the frames.
pub const PROTOCOL: u32 = 4;

/// No frame is longer, in bytes.
pub const MAX_FRAME_BYTES: usize = 32 * 1024 * 1024;
/// No greeting or welcome is longer, in bytes.
pub(super) const MAX_GREETING_BYTES: usize = 4096;
/// How long either side may take for its part of the greeting. The runner's part holds a wait for
/// the daemon before to be gone.
pub(super) const GREETING_LIMIT: Duration = Duration::from_secs(10);
/// How often a daemon shows that it lives.
pub(super) const PING_EVERY: Duration = Duration::from_secs(10);
/// A peer that has sent no whole frame for so long is given up.
pub(super) const SILENCE_LIMIT: Duration = Duration::from_mins(1);
/// A peer that has not taken a frame for so long is given up.
pub(super) const WRITE_LIMIT: Duration = Duration::from_mins(1);
/// The end of a run is waited for in rounds of this length: one that nobody waits for any more
/// holds nothing for longer.
pub(super) const WAIT_ROUND: Duration = Duration::from_secs(50);
