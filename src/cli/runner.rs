//! `gristmill runner`: jobs run in a process of its own, in the foreground.

use crate::config;
use crate::daemon::{self, Manager, Reload};
use crate::error::Report;

use super::args::Runner;
use super::logging;

pub(super) async fn run(arguments: Runner) -> Result<(), Report> {
    let loaded = arguments.source.load()?;
    daemon::check_runner(&loaded)?;
    let config = loaded.config.clone();
    let logging = logging::start(config.log)?;
    let source = arguments.source;
    let reload = Reload::on_hangup(loaded, Box::new(move || source.load()), logging.set_level())?;
    let shutdown = daemon::until_signalled()?;
    let manager = Manager::new(&config::supervision());
    daemon::serve_runner(&config, &manager, reload, shutdown).await
}
