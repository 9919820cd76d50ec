//! How the configured store is opened.

use crate::buffer::Options;
use crate::config::{self, Config};
use crate::error::Report;

/// The file that says how far the store is, where no other one is configured.
const GENERATION: &str = "generation";

/// How the store is opened.
pub fn store_options(buffer: &config::Buffer) -> Result<Options, Report> {
    Ok(Options {
        password: buffer.password()?,
        ca_file: buffer.ca_file.clone(),
        pool: buffer.pool,
        timeout: buffer.timeout,
        migrate: true,
        generation_file: None,
    })
}

/// How the daemon opens it: an older copy than what was answered from it is refused.
pub fn checked_store_options(config: &Config) -> Result<Options, Report> {
    // A folder of the runs that is the runner's alone is none to write to.
    let work_dir = (config.runner.in_process).then_some(&config.runner.process.work_dir);
    let default = || work_dir.map(|folder| folder.join(GENERATION));
    let file = config.buffer.generation_file.clone();
    Ok(Options {
        generation_file: file.or_else(default),
        ..store_options(&config.buffer)?
    })
}
