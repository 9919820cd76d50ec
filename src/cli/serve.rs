//! `gristmill serve`: the daemon, in the foreground.

use crate::daemon;
use crate::error::Report;

use super::args::Serve;
use super::logging;

pub(super) async fn run(arguments: Serve) -> Result<(), Report> {
    let config = arguments.source.load()?.config;
    logging::start(config.log)?;
    let shutdown = daemon::until_signalled()?;
    daemon::run(&config, !arguments.no_migrate, shutdown).await
}
