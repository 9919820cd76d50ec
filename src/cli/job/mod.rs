//! `gristmill job`: what the store holds, for operators, and what they do to it. Works beside a
//! running daemon, through the store, and without one.

mod change;
mod json;
mod list;
pub(super) mod present;
mod select;
mod sentence;
mod show;
mod submit;
mod why;
mod written;

#[cfg(test)]
pub(super) use list::tests as list_tests;

use crate::error::Report;
use crate::job::Action;

use super::args::Job;
use super::output::Output;

pub(super) async fn run(command: Job, output: &mut Output) -> Result<(), Report> {
    match command {
        Job::List(arguments) => list::run(arguments, output).await,
        Job::Show(arguments) => show::run(arguments, output).await,
        Job::Why(arguments) => why::run(arguments, output).await,
        Job::Events(arguments) => show::events(arguments, output).await,
        Job::Output(arguments) => written::run(arguments, output).await,
        Job::Submit(arguments) => submit::run(arguments, output).await,
        Job::Kill(change) => change::run(Action::Kill, change, false, output).await,
        Job::Hold(change) => change::run(Action::Hold, change, false, output).await,
        Job::Release(change) => change::run(Action::Release, change, false, output).await,
        Job::Rerun(forced) => change::run(Action::Rerun, forced.change, forced.force, output).await,
        Job::Trash(forced) => change::run(Action::Trash, forced.change, forced.force, output).await,
        Job::Restore(forced) => {
            change::run(Action::Restore, forced.change, forced.force, output).await
        }
    }
}
