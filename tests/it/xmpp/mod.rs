//! The XMPP door against real servers, and against scripted ones where no real one misbehaves.

mod binding;
mod conditions;
mod door;
mod faults;
mod gated;
mod hostile;
mod login;
mod peer;
mod perishing;
mod proxy;
mod queues;
mod raw;
mod scripted;
mod secrets;
mod senders;
mod sessions;
mod starving;
