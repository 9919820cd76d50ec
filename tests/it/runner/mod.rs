//! The process runner with real processes and the built program as wrapper.

mod adopting;
mod hostile;
mod limits;
mod news;
mod running;
mod stage;
mod stopping;
