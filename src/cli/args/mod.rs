//! Every command and flag, once.

mod job;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;
use xmpp_parsers::jid::{FullJid, Jid};

use crate::config::{self, DEFAULT_FILE, FileChoice, Sources};
use crate::error::Report;

pub(super) use job::{Change, Filter, Job, JobOutput, List, One, Since, Submit, Which, Why};

/// Takes jobs from a supervisor over Jabber/XMPP and sees them through
#[derive(Debug, Parser)]
#[command(name = "gristmill", version, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the daemon, in the foreground; logs go to standard error
    Serve(Serve),
    /// Run jobs for a daemon with runner.in_process = false, best as another user; in the
    /// foreground, logs go to standard error
    Runner(Runner),
    /// Show the whole conversation between a supervisor and the daemon, with nothing installed
    Demo(Demo),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(Config),
    /// Send documents as a supervisor would, and print the replies
    Replay(Replay),
    /// Watch the daemon and its jobs on a live screen; q quits
    Top(Top),
    /// Look at jobs and act on them, beside a running daemon or without one
    #[command(subcommand)]
    Job(Job),
    /// Have the daemon take nothing new; what runs goes on to its end
    Drain(Drain),
    /// Have a drained daemon work again
    Undrain(Undrain),
    /// Drop what is kept of jobs that ended long ago; their names and final words stay
    Purge(Purge),
    /// Bring the store's schema up to date; serve does so at start unless told not to
    Migrate(Migrate),
    /// Have the daemon write each request and its reply to files, for `replay --expect`
    #[command(subcommand)]
    Capture(Capture),
    /// Look at everything that the daemon needs, one line each; exit code by the worst
    Doctor(Doctor),
    /// What somebody who helps from afar wants to see
    #[command(subcommand)]
    Debug(DebugCommand),
    /// Say what an error means and what to do about it
    Explain(Explain),
    /// Write a completion script
    Completions {
        /// The shell to write it for
        shell: clap_complete::Shell,
    },
    /// Write the man page, or one for each command
    Man {
        /// Write one file for each command into this folder
        #[arg(long = "output", value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
}

/// Where the configuration comes from.
#[derive(Clone, Debug, Args)]
pub(super) struct ConfigSource {
    #[arg(long, value_name = "FILE", help = format!("The configuration file [default: {DEFAULT_FILE}]"))]
    pub(super) config: Option<PathBuf>,
    /// Set one key, over file and environment; may be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE", value_parser = values::assignment)]
    pub(super) set: Vec<(String, String)>,
}

impl ConfigSource {
    pub(super) fn load(&self) -> Result<config::Loaded, Report> {
        config::load(&Sources {
            file: self
                .config
                .clone()
                .map_or(FileChoice::Default, FileChoice::Named),
            flags: self.set.clone(),
            environment: config::environment(),
        })
    }
}

#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    pub(super) source: ConfigSource,
    /// Fail rather than bring the store's schema up to date
    #[arg(long)]
    pub(super) no_migrate: bool,
    /// Write each request and its reply to files below this folder, as `capture on` does
    #[arg(long, value_name = "DIR")]
    pub(super) capture: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Runner {
    #[command(flatten)]
    pub(super) source: ConfigSource,
}

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// How many jobs to hand over, at least 4
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(4..=10_000))]
    pub(super) jobs: u32,
    /// Show every document in full
    #[arg(long)]
    pub(super) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Say whether the configuration is sound; exit code 3 if it is not
    Check {
        #[command(flatten)]
        source: ConfigSource,
        /// Also try the store, the runner and the XMPP log-in
        #[arg(long)]
        connect: bool,
    },
    /// Print the effective values; secrets are never part of them
    Show {
        #[command(flatten)]
        source: ConfigSource,
        /// Say where each value came from
        #[arg(long)]
        origin: bool,
        /// Print one JSON object for each value
        #[arg(long)]
        json: bool,
    },
    /// Print the commented defaults
    Default,
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// Documents, folders of them (*.xml, in order of their names), or - for standard input
    #[arg(required = true, value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) source: ConfigSource,
    /// Whose requests these are
    #[arg(long = "as", value_name = "JID")]
    pub(super) supervisor: Option<Jid>,
    /// Where the documents go
    #[arg(long, value_enum, default_value_t = Via::Bridge)]
    pub(super) via: Via,
    /// With --via xmpp: a file with the supervisor's password
    #[arg(long, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
    /// With --via xmpp: the daemon [default: xmpp.jid of the configuration]
    #[arg(long, value_name = "JID")]
    pub(super) to: Option<FullJid>,
    /// With --via xmpp: how the documents travel
    #[arg(long, value_enum, default_value_t = CarrierName::Iq)]
    pub(super) carrier: CarrierName,
    /// Compare each reply with NAME.reply.xml beside NAME.xml; exit code 1 if one differs
    #[arg(long)]
    pub(super) expect: bool,
    /// At most so many requests a second
    #[arg(long, value_name = "N", value_parser = values::pause_of_rate)]
    pub(super) rate: Option<Duration>,
    /// Send everything so many times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) repeat: u32,
    /// Print one JSON object for each reply
    #[arg(long)]
    pub(super) json: bool,
}

/// Which way a replayed document goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Via {
    /// To a running daemon
    Xmpp,
    /// To the configured store, or without --config to an empty one that is gone afterwards
    Bridge,
}

/// How a replayed document travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum CarrierName {
    /// As the payload of an IQ
    Iq,
    /// As a child of a message
    Message,
    /// As the text of a message
    Body,
}

#[derive(Debug, Args)]
pub(super) struct Top {
    #[command(flatten)]
    pub(super) source: ConfigSource,
    /// How often to look
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = values::interval)]
    pub(super) interval: Duration,
}

#[derive(Debug, Args)]
pub(super) struct Drain {
    #[command(flatten)]
    pub(super) source: ConfigSource,
    /// Every daemon of the store, not only the configured one
    #[arg(long)]
    pub(super) all: bool,
    /// Why; kept with your name and host
    #[arg(long, value_name = "TEXT", value_parser = values::reason)]
    pub(super) reason: Option<String>,
    /// Only say who drains or works again, since when, by whom and why
    #[arg(long, conflicts_with_all = ["all", "reason"])]
    pub(super) list: bool,
    /// Print one JSON object for each daemon that drains or has drained
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Undrain {
    #[command(flatten)]
    pub(super) source: ConfigSource,
    /// Every daemon of the store that was drained by --all
    #[arg(long)]
    pub(super) all: bool,
    /// Why; kept with your name and host
    #[arg(long, value_name = "TEXT", value_parser = values::reason)]
    pub(super) reason: Option<String>,
    /// Print one JSON object for each daemon that still drains
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Purge {
    #[command(flatten)]
    pub(super) source: ConfigSource,
    /// Jobs that ended longer ago than this (30d, 12h)
    #[arg(long, value_name = "AGE", value_parser = values::age)]
    pub(super) older_than: SignedDuration,
    /// Only jobs that ended in this state; may be repeated
    #[arg(long, value_parser = values::final_state_name)]
    pub(super) state: Vec<&'static str>,
    /// Only say how many there are
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print one JSON object with the count
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    pub(super) source: ConfigSource,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub(super) plan: bool,
    /// Take an older copy of the store for the store, and say what may be lost
    #[arg(long, conflicts_with = "plan")]
    pub(super) accept_restored: bool,
    /// Print one JSON object for each step
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    pub(super) source: ConfigSource,
    /// Print one JSON object for each line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum DebugCommand {
    /// Gather versions, configuration, health, recent logs, counters and schema in one archive,
    /// without secrets and without what jobs are made of; what cannot be had is named and left out
    Bundle(Bundle),
}

#[derive(Debug, Args)]
pub(super) struct Bundle {
    #[command(flatten)]
    pub(super) source: ConfigSource,
    /// The archive; it must not be there yet [default: gristmill-debug-TIME.tar.gz, here]
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Print what is in it as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Capture {
    /// Begin to capture; goes on until it is ended or the folder is full, also after a restart
    On {
        /// The folder; the daemon makes it, and below it one for each owner
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        #[command(flatten)]
        source: ConfigSource,
    },
    /// End it; what was captured stays
    Off {
        #[command(flatten)]
        source: ConfigSource,
    },
    /// Say whether the daemon captures, and how much it has
    Status {
        #[command(flatten)]
        source: ConfigSource,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The error, like GM0301; without one all are listed
    #[arg(value_name = "CODE")]
    pub(super) code: Option<String>,
    /// All of them, as a document
    #[arg(long, conflicts_with_all = ["code", "json"])]
    pub(super) markdown: bool,
    /// Print one JSON object for each
    #[arg(long)]
    pub(super) json: bool,
}
