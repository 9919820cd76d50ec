//! The wrapper of a run: our own program, executed again, small and without a runtime. It starts
//! the job's program, sees it through, and ends it when it must. It outlives the daemon.

mod birth;
mod boot;
mod brief;
mod control;
pub(super) mod folder;
mod folder_size;
mod interpreter;
mod journal;
mod launch;
mod limits;
mod meter;
mod step;
mod tree;
mod watch;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use rustix::process::{getpid, set_child_subreaper, setsid};

pub(super) use boot::{Moment, since_boot};
pub(super) use brief::{Brief, Refusal, Word};
pub(super) use control::Control;
use folder::Folder;
pub(super) use folder_size::Walk;
use journal::Entry;
pub(super) use journal::{Cause, End, Exit, Journal, Start, Trace};
pub use limits::Limits;
use step::Step;
use watch::Watch;

/// The first argument that makes our program a wrapper.
pub(super) const SUMMONS: &str = "wrap-run";
/// What a wrapper is called, so that what ends daemons by their name spares runs. The kernel keeps
/// 15 bytes.
pub(super) const NAME: &str = "gristmill-run";

/// What our program is started with for a run, if `words` say so. The words are the program's own
/// name, the summons, the brief or the wrapper's process, the job's program and its arguments.
pub fn summoned(mut words: impl Iterator<Item = OsString>) -> Option<Summons> {
    let summons = words.nth(1)?;
    let is_step = summons == step::SUMMONS;
    if !is_step && summons != SUMMONS {
        return None;
    }
    let mut word = || words.next().unwrap_or_default();
    let (first, program) = (word(), word());
    let arguments = words.collect();
    Some(if is_step {
        Summons::Step(Step {
            wrapper: first,
            program,
            arguments,
        })
    } else {
        Summons::Wrap(Run {
            brief: first,
            program,
            arguments,
        })
    })
}

/// What our program is started with for a run.
pub enum Summons {
    /// To be its wrapper.
    Wrap(Run),
    /// To become its program.
    Step(Step),
}

/// What a wrapper is started with.
pub struct Run {
    brief: OsString,
    program: OsString,
    arguments: Vec<OsString>,
}

/// Does what it was started for.
#[must_use]
pub fn main(summons: &Summons) -> ExitCode {
    match summons {
        Summons::Wrap(run) => wrap(run),
        Summons::Step(step) => step.take(),
    }
}

/// The wrapper's life, in the run's folder. Its environment is the program's; what it has to say
/// it says in the journal, and in one line on standard output once it is known whether the
/// program runs.
fn wrap(run: &Run) -> ExitCode {
    // Without it, it only has its daemon's name.
    let _ = fs::write("/proc/self/comm", NAME);
    let begun = begin(run);
    let word = begun.as_ref().map_or_else(Word::from, |_| Word::Started);
    // The daemon may be gone; the run goes on.
    let _ = io::stdout().write_all(word.to_line().as_bytes());
    let _ = io::stdout().flush();
    match begun.map(Watch::see_through) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(_)) | Err(_) => ExitCode::FAILURE,
    }
}

/// Everything up to the program's start. The lock is taken before, and the lease looked at after,
/// so that at no moment a daemon can think that nothing will start when something does.
fn begin(run: &Run) -> Result<Watch, Refusal> {
    let unreadable = || Refusal::Host("the brief cannot be read".to_owned());
    let brief = run.brief.to_str().ok_or_else(unreadable)?;
    let brief: Brief = serde_json::from_str(brief).map_err(|_| unreadable())?;
    setsid().map_err(|error| Refusal::before("no session of its own", error))?;
    set_child_subreaper(Some(getpid()))
        .map_err(|error| Refusal::before("not the reaper of its tree", error))?;
    let refuse = |error: io::Error| Refusal::before("the run's folder", error);
    let folder = Folder::open(Path::new(".")).map_err(refuse)?;
    let journal = Journal::open(&folder).map_err(refuse)?;
    if !journal.lock().map_err(refuse)? || !journal.read().map_err(refuse)?.is_empty() {
        return Err(Refusal::Again);
    }
    let control = Control::open(&folder).map_err(refuse)?;
    let lease_until = control.read().map_err(refuse)?.lease_until;
    let now = since_boot();
    if lease_until.is_some_and(|until| until <= now) {
        journal.append(&Entry::Sealed).map_err(refuse)?;
        return Err(Refusal::Lapsed);
    }
    let start = Start {
        pid: getpid().as_raw_nonzero().get(),
        at: brief.now.time_of_day(now),
        since_boot: now,
        boot_id: brief.boot_id.clone(),
        cgroup: brief.cgroup.clone(),
        timeout: Some(brief.timeout),
        grace: Some(brief.grace),
        lists_outputs: true,
    };
    journal.append(&Entry::Start(start)).map_err(refuse)?;
    match launch::launch(&folder, &brief, &run.program, &run.arguments) {
        Ok(launched) => Ok(Watch::new(brief, now, journal, control, launched)),
        Err(refusal) => {
            journal.clear().map_err(refuse)?;
            Err(refusal)
        }
    }
}
