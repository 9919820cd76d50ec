//! The conductor with real processes over a real store.

mod adopting;
mod running;
mod stage;
