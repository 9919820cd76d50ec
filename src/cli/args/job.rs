//! `gristmill job`: its commands and flags.

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};

use super::{ConfigSource, values};
use crate::job::{JobId, Owner, RecordId};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Job {
    /// List jobs, newest first
    List(List),
    /// Show one job: record, result, history and XML
    Show(One),
    /// Show the history of one job
    Events(One),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    pub(in crate::cli) source: ConfigSource,
    #[command(flatten)]
    pub(in crate::cli) filter: Filter,
    /// At most so many
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(in crate::cli) limit: u32,
    /// Print one JSON object for each job
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// Which jobs.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Filter {
    /// Only jobs in this state
    #[arg(long, value_parser = values::state_name)]
    pub(in crate::cli) state: Option<&'static str>,
    /// Only jobs of this owner
    #[arg(long, value_parser = values::owner)]
    pub(in crate::cli) owner: Option<Owner>,
    /// Only attempts of this job
    #[arg(long, value_parser = values::job_id)]
    pub(in crate::cli) job_id: Option<JobId>,
    /// Only jobs accepted since a time (2026-01-31T12:00:00Z) or for an age (2h, 30d)
    #[arg(long, value_name = "TIME", value_parser = values::since)]
    pub(in crate::cli) since: Option<Since>,
}

/// A moment, or how long ago it was.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) enum Since {
    Time(Timestamp),
    Age(SignedDuration),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct One {
    /// The record ID
    #[arg(value_name = "RECORD", value_parser = values::record)]
    pub(in crate::cli) record: RecordId,
    #[command(flatten)]
    pub(in crate::cli) source: ConfigSource,
    /// Print JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
