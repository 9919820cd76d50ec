//! gristmill takes jobs from a supervisor over Jabber/XMPP and sees them through.
//!
//! The map; arrows point from who imports to who is imported:
//!
//! ```text
//! main ─▶ cli ─▶ daemon ─▶ xmpp ─▶ bridge ─▶ windmill ─▶ job
//!                  │                  └────▶ buffer ───▶ job
//!                  └─▶ config
//! ```

pub mod bridge;
pub mod buffer;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod error;
pub mod job;
pub mod windmill;
pub mod xmpp;
