//! `gristmill job`: what the store holds, for operators. Reads beside a running daemon.

mod json;
mod list;
mod present;
mod select;
mod show;

use crate::error::Report;

use super::args::Job;
use super::output::Output;

pub(super) async fn run(command: Job, output: &mut Output) -> Result<(), Report> {
    match command {
        Job::List(arguments) => list::run(arguments, output).await,
        Job::Show(arguments) => show::run(arguments, output).await,
        Job::Events(arguments) => show::events(arguments, output).await,
    }
}
