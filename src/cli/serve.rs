//! `gristmill serve`: the daemon, in the foreground.

use crate::config;
use crate::daemon::{self, Capture, Manager, Reload, Surroundings};
use crate::error::Report;

use super::args::Serve;
use super::capture::absolute;
use super::logging;

pub(super) async fn run(arguments: Serve) -> Result<(), Report> {
    let loaded = arguments.source.load()?;
    daemon::check_daemon(&loaded)?;
    let config = loaded.config.clone();
    let logging = logging::start(config.log)?;
    let folder = arguments.capture.as_deref().map(absolute).transpose()?;
    let source = arguments.source;
    let reload = Reload::on_hangup(loaded, Box::new(move || source.load()), logging.set_level())?;
    let surroundings = Surroundings {
        shutdown: daemon::until_signalled()?,
        manager: Manager::new(&config::supervision()),
        reload: Some(reload),
        capture: Some(Capture::new(&config.capture, folder)),
        dropped_log_lines: logging.queue().dropped(),
    };
    daemon::run(&config, !arguments.no_migrate, surroundings).await
}
