//! Every test that needs more than one module, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    missing_docs
)]

mod bridge;
mod bridge_running;
mod buffer;
mod bundle;
mod capture;
mod cgroup;
mod cli;
mod conductor;
mod config;
mod corpora;
mod daemon;
mod demo;
mod doctor;
mod drills;
mod e2e_calls;
mod e2e_chaos;
mod e2e_default_limits;
mod e2e_faults;
mod e2e_host;
mod e2e_jobs;
mod e2e_kept;
mod e2e_offline;
mod e2e_operator;
mod e2e_restored;
mod e2e_runner;
mod e2e_soak;
mod e2e_store_away;
mod e2e_telling;
mod e2e_two_daemons;
mod error_codes;
mod hooked_store;
mod operating;
mod package;
mod replay;
mod rig;
mod rig_mariadb;
mod rig_xmpp;
mod runner;
mod service;
mod tidy;
mod tidy_documents;
mod tidy_tracked;
mod truth;
mod windmill_fixtures;
mod windmill_reading;
mod windmill_schema;
mod windmill_spellings;
mod xmpp;
