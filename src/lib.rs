//! gristmill takes jobs from a supervisor over Jabber/XMPP and sees them through.
//!
//! The rooms, from the street door inwards. Each imports only rooms that stand below it:
//!
//! | room | what it is for |
//! |---|---|
//! | [`cli`] | the commands, one file each |
//! | [`daemon`] | puts the house together: store, bridge, door; signals and the ordered stop |
//! | [`config`] | what can be set; the only reader of the environment |
//! | [`http`] | a door: health and metrics |
//! | [`xmpp`] | a door: guard, log-in, session, who may speak, queues, carriers |
//! | [`conductor`] | claims ready jobs, has a runner run them, settles; rescues what a crash left |
//! | [`capture`] | requests and replies, written down while an operator wants it |
//! | [`bridge`] | one call in, one reply out, over the task buffer |
//! | [`buffer`] | the task buffer: the trait, SQLite, MySQL, the gate in front of them |
//! | [`windmill`] | the supervisor's language: XML to calls, replies to XML |
//! | [`runner`] | ways to run a job, behind one trait |
//! | [`vitals`] | what each part tells of itself: pulses and counters |
//! | [`job`] | the domain: names, specs, records, the state machine |
//! | [`error`] | what people read when something is wrong; exit codes |
//!
//! A request's way: bytes, `xmpp::guard`, stanza, `xmpp::roster` (may this sender speak?),
//! `xmpp::lane` (its owner's queue), `windmill::open_call`, [`bridge::Bridge`],
//! [`buffer::TaskBuffer`] (one transaction), `windmill::write_reply`, and back by the carrier that
//! it came by.

pub mod bridge;
pub mod buffer;
pub mod capture;
pub mod cli;
pub mod conductor;
pub mod config;
pub mod daemon;
pub mod error;
pub mod http;
pub mod job;
pub mod runner;
pub mod vitals;
pub mod windmill;
pub mod xmpp;
