//! `gristmill job kill`, `hold`, `release`, `rerun`, `trash` and `restore`.

use std::collections::BTreeMap;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::buffer::{Lookup, Operation, Operations};
use crate::daemon::SystemClock;
use crate::error::{Code, Report};
use crate::job::policy::Clock;
use crate::job::{Action, Declined, Effect, Record, RecordId, State};

use super::super::args::{Change, Filter};
use super::super::note::note;
use super::super::output::Output;
use super::super::store::{self, Store};
use super::present::count;
use super::select;

/// Records in one transaction: few enough that nobody else waits for it.
const LOT: usize = 500;

/// What came of it for one record.
type Answer = Lookup<Result<Effect, Declined>>;

/// How many records got which word, and what went wrong.
#[derive(Default)]
struct Tally {
    words: BTreeMap<&'static str, u64>,
    /// What the command's failure means; `None`: there was none.
    failure: Option<Code>,
}

pub(super) async fn run(
    action: Action,
    arguments: Change,
    force: bool,
    output: &mut Output,
) -> Result<(), Report> {
    let config = arguments.source.load()?.config;
    let records = if arguments.which.records.is_empty() {
        let states = applicable(action, force);
        let store = store::for_reading(&config).await?;
        let found = select::matching(&store, &arguments.which, &states).await?;
        if found.is_empty() {
            output.note(nothing_to_do(action, &arguments.which.filter));
            return Ok(());
        }
        if !arguments.yes {
            output.confirm(&question(action, &found))?;
        }
        found.iter().map(|record| record.id).collect()
    } else {
        arguments.which.records
    };
    let store = store::for_operating(&config).await?;
    let operation = Operation {
        records,
        action,
        force,
        note: note(arguments.reason),
        now: SystemClock.now(),
    };
    let tally = operate(&store, &operation, arguments.json, output).await?;
    conclude(action, &tally, output)
}

/// The states in which an action does something, or is declined for a reason that `--force`
/// overrides.
fn applicable(action: Action, force: bool) -> Vec<&'static str> {
    let does = |state: &State| {
        !matches!(
            action.apply(*state, false, force),
            Err(Declined::Illegal(_)) | Ok(Effect::AlreadyFinished(_))
        )
    };
    let mut names: Vec<_> = State::ALL.iter().filter(|state| does(state)).collect();
    names.dedup_by_key(|state| state.name());
    names.into_iter().map(|state| state.name()).collect()
}

fn nothing_to_do(action: Action, filter: &Filter) -> String {
    match filter.state {
        Some(state) => format!("no such jobs that are {state}"),
        None => format!(
            "no such jobs that are {}, which is what {} is for",
            applicable(action, true).join(" or "),
            action.name()
        ),
    }
}

/// For instance `kill 3 jobs (2 ready, 1 running)?`
fn question(action: Action, records: &[Record]) -> String {
    let mut states: BTreeMap<&str, u64> = BTreeMap::new();
    for record in records {
        *states.entry(record.state.name()).or_default() += 1;
    }
    let states: Vec<_> = states
        .into_iter()
        .map(|(state, number)| format!("{number} {state}"))
        .collect();
    let jobs = count(records.len() as u64, "job");
    format!("{} {jobs} ({})?", action.name(), states.join(", "))
}

async fn operate(
    store: &Store<dyn Operations>,
    operation: &Operation,
    json: bool,
    output: &mut Output,
) -> Result<Tally, Report> {
    let progress = progress(operation.records.len());
    let mut tally = Tally::default();
    for records in operation.records.chunks(LOT) {
        let lot = Operation {
            records: records.to_vec(),
            ..operation.clone()
        };
        let answers = store.ask(|store| store.operate(lot)).await;
        let answers = answers.map_err(|report| partial(report, &tally))?;
        for (record, answer) in records.iter().zip(&answers) {
            tally.add(answer);
            progress.suspend(|| show(*record, answer, operation.action, json, output))?;
        }
        progress.inc(records.len() as u64);
    }
    progress.finish_and_clear();
    Ok(tally)
}

fn progress(records: usize) -> ProgressBar {
    if records <= LOT || !Output::is_watched() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(records as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} jobs, {eta} to go") {
        bar.set_style(style);
    }
    bar
}

/// What was done before it went wrong stays done.
fn partial(report: Report, tally: &Tally) -> Report {
    let done: u64 = tally.words.values().sum();
    report.hint(format!(
        "{} done before that; the rest may be repeated without harm",
        count(done, "job")
    ))
}

fn show(
    record: RecordId,
    answer: &Answer,
    action: Action,
    json: bool,
    output: &mut Output,
) -> Result<(), Report> {
    let (word, why) = (word(answer), why_not(answer, action));
    if json {
        return output.json(&json!({
            "recordID": record.get(), "result": word, "why": why,
        }));
    }
    match why {
        Some(why) => output.line(format_args!("{record}  {word}: {why}")),
        None => output.line(format_args!("{record}  {word}")),
    }
}

/// What became of a record, in a word.
fn word(answer: &Answer) -> &'static str {
    match answer {
        Lookup::Found(Ok(Effect::Moved(state))) => state.name(),
        Lookup::Found(Ok(Effect::KillRequested)) => "kill-requested",
        Lookup::Found(Ok(Effect::AlreadyFinished(_))) => "already-finished",
        Lookup::Found(Err(_)) => "declined",
        Lookup::Absent => "not-found",
        Lookup::Unreachable => "unreadable",
    }
}

fn why_not(answer: &Answer, action: Action) -> Option<String> {
    match answer {
        Lookup::Found(Ok(Effect::KillRequested)) => {
            Some("the daemon that holds it ends it".to_owned())
        }
        Lookup::Found(Ok(Effect::AlreadyFinished(state))) => Some(format!("it is {state}")),
        Lookup::Found(Err(Declined::Illegal(illegal))) => Some(format!(
            "it is {}; {} is for jobs that are {}",
            illegal.state,
            action.name(),
            applicable(action, true).join(" or ")
        )),
        Lookup::Found(Err(declined)) => Some(declined.to_string()),
        Lookup::Absent => Some("there is no such record".to_owned()),
        Lookup::Unreachable => {
            Some("its row cannot be read; look at it with the store's own client".to_owned())
        }
        Lookup::Found(Ok(Effect::Moved(_))) => None,
    }
}

impl Tally {
    fn add(&mut self, answer: &Answer) {
        *self.words.entry(word(answer)).or_default() += 1;
        let failure = match answer {
            Lookup::Found(Ok(_)) => return,
            Lookup::Absent => Code::SomeAbsent,
            Lookup::Found(Err(_)) => Code::SomeDeclined,
            Lookup::Unreachable => Code::SomeUnreadable,
        };
        // The first one is as good as any.
        self.failure.get_or_insert(failure);
    }
}

fn conclude(action: Action, tally: &Tally, output: &Output) -> Result<(), Report> {
    let words: Vec<_> = tally
        .words
        .iter()
        .map(|(word, number)| format!("{number} {word}"))
        .collect();
    let words = words.join(", ");
    if let Some(failure) = tally.failure {
        let what = format!("{}: {words}", action.name());
        return Err(Report::new(failure, what));
    }
    // One answer speaks for itself.
    if tally.words.values().sum::<u64>() > 1 {
        output.note(words);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_for_the_states_in_which_it_does_something() {
        assert_eq!(
            applicable(Action::Hold, false),
            ["scheduled", "waiting", "ready"]
        );
        assert_eq!(applicable(Action::Release, false), ["held"]);
        assert_eq!(applicable(Action::Restore, false), ["trashed"]);
        assert_eq!(
            applicable(Action::Rerun, false),
            ["succeeded", "failed", "timed_out", "cancelled"]
        );
        let kill = applicable(Action::Kill, false);
        assert!(
            kill.contains(&"running") && !kill.contains(&"failed"),
            "{kill:?}"
        );
        assert!(applicable(Action::Trash, false).contains(&"running"));
    }

    #[test]
    fn the_exit_code_tells_what_went_wrong() {
        let answers: [(Answer, Option<Code>); 5] = [
            (Lookup::Found(Ok(Effect::KillRequested)), None),
            (
                Lookup::Found(Ok(Effect::AlreadyFinished(State::Failed))),
                None,
            ),
            (Lookup::Found(Err(Declined::Told)), Some(Code::SomeDeclined)),
            (Lookup::Absent, Some(Code::SomeAbsent)),
            (Lookup::Unreachable, Some(Code::SomeUnreadable)),
        ];
        for (answer, failure) in answers {
            let mut tally = Tally::default();
            tally.add(&answer);
            assert_eq!(tally.failure, failure, "{answer:?}");
        }
    }

    #[test]
    fn what_cannot_be_done_says_what_could() {
        let illegal = Action::Hold.apply(State::Failed, false, false);
        let why = why_not(&Lookup::Found(illegal), Action::Hold).unwrap();
        assert_eq!(
            why,
            "it is failed; hold is for jobs that are scheduled or waiting or ready"
        );
    }
}
