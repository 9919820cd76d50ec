//! `gristmill job`: its commands and flags.

use std::path::PathBuf;

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
    /// Say what jobs wait for, and when they are next looked at
    Why(Why),
    /// Show the history of one job
    Events(One),
    /// Show what a job's present or last run has written
    Output(JobOutput),
    /// End jobs; one that runs is stopped by the daemon that holds it
    Kill(Change),
    /// Set waiting jobs aside until they are released
    Hold(Change),
    /// Let held jobs go on
    Release(Change),
    /// Run finished jobs again, under the same records
    Rerun(ForcedChange),
    /// Give jobs up
    Trash(ForcedChange),
    /// Bring trashed jobs back
    Restore(ForcedChange),
    /// Store the jobs of executeJobs documents, as if their supervisor had sent them
    Submit(Submit),
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
#[group(id = "filter", multiple = true)]
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

/// Jobs by their records, or all that a filter lets through.
#[derive(Debug, Args)]
pub(in crate::cli) struct Which {
    /// Record IDs
    #[arg(
        value_name = "RECORD",
        value_parser = values::record,
        required_unless_present = "filter",
        conflicts_with_all = ["filter", "limit"]
    )]
    pub(in crate::cli) records: Vec<RecordId>,
    #[command(flatten)]
    pub(in crate::cli) filter: Filter,
    /// With a filter: at most so many, newest first
    #[arg(long, value_name = "N")]
    pub(in crate::cli) limit: Option<u32>,
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

#[derive(Debug, Args)]
pub(in crate::cli) struct Why {
    #[command(flatten)]
    pub(in crate::cli) which: Which,
    #[command(flatten)]
    pub(in crate::cli) source: ConfigSource,
    /// Print one JSON object for each job
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct JobOutput {
    /// The record ID
    #[arg(value_name = "RECORD", value_parser = values::record)]
    pub(in crate::cli) record: RecordId,
    /// Go on until the run ends
    #[arg(short, long)]
    pub(in crate::cli) follow: bool,
    /// What it wrote to standard error, not to standard output
    #[arg(long)]
    pub(in crate::cli) stderr: bool,
    #[command(flatten)]
    pub(in crate::cli) source: ConfigSource,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Change {
    #[command(flatten)]
    pub(in crate::cli) which: Which,
    /// Why; kept with the job, with your name and host
    #[arg(long, value_name = "TEXT", value_parser = values::reason)]
    pub(in crate::cli) reason: Option<String>,
    /// With a filter: do not ask whether it is meant
    #[arg(long)]
    pub(in crate::cli) yes: bool,
    #[command(flatten)]
    pub(in crate::cli) source: ConfigSource,
    /// Print one JSON object for each job
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ForcedChange {
    #[command(flatten)]
    pub(in crate::cli) change: Change,
    /// Although its supervisor was told that it is finished, or a daemon holds it
    #[arg(long)]
    pub(in crate::cli) force: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Submit {
    /// Documents, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(in crate::cli) files: Vec<PathBuf>,
    /// Whose jobs these are [default: the owner of the only supervisor]
    #[arg(long, value_parser = values::owner)]
    pub(in crate::cli) owner: Option<Owner>,
    #[command(flatten)]
    pub(in crate::cli) source: ConfigSource,
    /// Print one JSON object for each job
    #[arg(long)]
    pub(in crate::cli) json: bool,
}
