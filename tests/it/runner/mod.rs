//! The process runner with real processes and the built program as wrapper.

mod adopting;
mod foreign;
mod hostile;
mod in_turn;
mod limits;
mod linked;
mod marks;
mod moved;
mod news;
mod running;
mod socket_attacks;
mod stage;
mod stopping;
