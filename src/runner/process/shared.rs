//! What the questions of a process runner share, and how each is answered; all of it may wait for
//! disks and processes.

mod overdue;

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio_util::sync::CancellationToken;

use super::super::cgroup::Delegation;
use super::super::fault::Step;
use super::super::wrapper::folder::{Folder, is_foreign};
use super::super::wrapper::{Brief, Control, Journal, Moment, Trace, since_boot};
use super::super::{Heard, Kept, News, RunError, RunState};
use super::deadline::Deadlines;
use super::kept::KeptFolders;
use super::marks::{self, Marks};
use super::program::Program;
use super::work_dir::WorkDir;
use super::{
    OpenError, Settings, held, launch, news, orphans, processes, ready, remove, report, running,
};
use crate::job::policy::Clock;
use crate::job::{RecordId, RunKey, RunOrder, RunReport, RunsFolder, StoreId};

/// A process runner's state. It lives as long as a question that is being answered.
pub(super) struct Shared {
    /// Replaced as a whole; a question goes on with what it began with.
    settings: RwLock<Arc<Settings>>,
    clock: Arc<dyn Clock>,
    boot_id: String,
    work_dir: WorkDir,
    /// Whose runs these are, once that is said.
    store: OnceLock<StoreId>,
    /// Where runs get cgroups.
    delegation: Option<Delegation>,
    /// The wrappers that are our children: each must be waited for once.
    wrappers: Mutex<HashMap<RunKey, Wrapper>>,
    /// When they must have ended.
    deadlines: Deadlines,
    /// Who looks at a journal locks it for a moment; two who look would take each other for the
    /// wrapper.
    looking: Mutex<()>,
    /// Locked while it is looked whether the host is fit.
    checking: Mutex<()>,
    /// What is kept of runs that are forgotten.
    kept: KeptFolders,
}

/// A wrapper that is our child.
enum Wrapper {
    /// Not yet; it is being started.
    Awaited,
    /// Started.
    Child(Child),
}

/// The process whose end is a run's end.
pub(super) enum Process {
    /// Nothing lives.
    Gone,
    /// It lives, and has not said which it is.
    Unknown,
    /// Becomes readable when it ends.
    Known(OwnedFd),
}

impl Shared {
    pub(super) fn open(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        if !processes::are_children_told() {
            return Err(OpenError::Kernel);
        }
        let boot_id = processes::boot_id()?;
        let work_dir = WorkDir::open(&settings.work_dir)?;
        Ok(Self {
            delegation: held::take(&settings.cgroup, &settings.work_dir),
            work_dir,
            store: OnceLock::new(),
            boot_id,
            settings: RwLock::new(Arc::new(settings)),
            clock,
            wrappers: Mutex::default(),
            deadlines: Deadlines::default(),
            looking: Mutex::default(),
            checking: Mutex::default(),
            kept: KeptFolders::default(),
        })
    }

    /// From now on runs are started and judged by these settings.
    pub(super) fn reconfigure(&self, settings: Settings) {
        let mut current = self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(settings);
    }

    fn settings(&self) -> Arc<Settings> {
        let settings = self.settings.read();
        settings.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn holder(&self) -> &str {
        self.work_dir.holder()
    }

    /// Whether the folder of the runs is there.
    pub(super) fn is_in_place(&self) -> Result<(), String> {
        self.work_dir.is_in_place()
    }

    /// Which folder of runs this is.
    pub(super) fn folder(&self) -> &RunsFolder {
        self.work_dir.folder()
    }

    pub(super) fn serve(&self, store: &StoreId) -> Result<(), RunError> {
        match self.work_dir.belong_to(store) {
            Ok(None) => {
                self.store.get_or_init(|| store.clone());
                Ok(())
            }
            Ok(Some(other)) => {
                let settings = self.settings();
                let path = settings.work_dir.display();
                let what = format!("{path} has the runs of another store ({other})");
                Err(RunError::Permanent(what))
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let settings = self.settings();
                let path = settings.work_dir.display();
                Err(RunError::Permanent(format!("{path}: {error}")))
            }
            Err(error) => Err(Step::Folder.failed("the folder of runs", error)),
        }
    }

    /// Whether the host is fit to run jobs.
    pub(super) fn ready(&self) -> Result<(), RunError> {
        // A folder that hangs holds one thread, not one for each look.
        let Ok(_alone) = self.checking.try_lock() else {
            let what = "the look at the folders that began before has not ended";
            return Err(RunError::Host(what.to_owned()));
        };
        ready::look(
            &self.settings().transformations,
            &self.work_dir.runs_folder(),
        )
    }

    pub(super) fn start(&self, order: &RunOrder) -> Result<(), RunError> {
        let folder = self.work_dir.run(order.key);
        if self.wrappers().contains_key(&order.key) || self.was_started(order.key, &folder)? {
            return Ok(());
        }
        let program = self.program(order)?;
        self.wrappers().insert(order.key, Wrapper::Awaited);
        let started = self.start_new(order, &program, &folder);
        if !matches!(started, Ok(()) | Err(RunError::InDoubt(_))) {
            self.wrappers().remove(&order.key);
            let _ = remove::remove(&folder);
        }
        match started {
            // Where the whole folder of programs went away meanwhile, that is why.
            Err(RunError::Permanent(_)) => self.program(order).and(started),
            started => started,
        }
    }

    fn program(&self, order: &RunOrder) -> Result<Program, RunError> {
        Program::of(&order.spec, &self.settings().transformations)
    }

    /// Whether a run was started before. What never was makes room for a new one.
    fn was_started(&self, run: RunKey, folder: &Path) -> Result<bool, RunError> {
        let exists = folder.try_exists();
        if !exists.map_err(|error| Step::Folder.failed(folder.display(), error))? {
            return Ok(false);
        }
        // Who cannot read what is there cannot say that nothing runs.
        let trace = self.trace(run);
        match trace.map_err(|error| RunError::InDoubt(error.to_string()))? {
            Trace::Alive(_) | Trace::Ended(..) | Trace::Foreign(_) => Ok(true),
            Trace::Gone => {
                let what = "files are missing from its folder, which was there before";
                Err(RunError::InDoubt(what.to_owned()))
            }
            Trace::Never => {
                let removed = remove::remove(folder);
                removed.map_err(|error| Step::Folder.failed(folder.display(), error))?;
                Ok(false)
            }
        }
    }

    fn start_new(
        &self,
        order: &RunOrder,
        program: &Program,
        folder: &Path,
    ) -> Result<(), RunError> {
        let delegation = self.delegation.as_ref();
        if let Some(Err(error)) = delegation.map(Delegation::refresh) {
            let next = "start again what handed it out (gristmill-jobs.service), or the runner";
            let what = format!("no cgroups for runs any more: {error}; {next}");
            return Err(RunError::Host(what));
        }
        let settings = self.settings();
        let prepared = launch::prepare(folder, order);
        prepared.map_err(|error| Step::Folder.failed(folder.display(), error))?;
        let brief = Brief {
            now: Moment {
                at: self.clock.now(),
                since_boot: since_boot(),
            },
            boot_id: self.boot_id.clone(),
            stdout: program.stdout.clone(),
            stderr: program.stderr.clone(),
            timeout: settings.timeout,
            grace: settings.grace,
            limits: settings.limits,
            cgroup: delegation.map(|delegation| delegation.of_run(order.key)),
        };
        let mark = self.store.get();
        let mark = mark.map(|store| marks::value(store, order.key, folder));
        let mut child = launch::summon(&settings, order, program, &brief, folder, mark)?;
        let heard = launch::hear(&mut child);
        if let Ok(()) | Err(RunError::InDoubt(_)) = heard {
            self.deadlines.find(order.key, None, &settings);
            self.wrappers().insert(order.key, Wrapper::Child(child));
        } else {
            // It ends at once.
            let _ = child.wait();
        }
        heard
    }

    pub(super) fn look_up(&self, run: RunKey) -> Result<RunState, RunError> {
        if let Some(Wrapper::Awaited) = self.wrappers().get(&run) {
            return Ok(RunState::Alive);
        }
        Ok(match self.trace_by(run, orphans::live)? {
            Trace::Never => RunState::NeverStarted,
            Trace::Gone => RunState::Gone,
            Trace::Alive(_) => RunState::Alive,
            Trace::Ended(..) | Trace::Foreign(_) => RunState::Ended,
        })
    }

    pub(super) fn process(&self, run: RunKey) -> Result<Process, RunError> {
        let open = |pid| pidfd_open(pid, PidfdFlags::empty());
        match self.wrappers().get_mut(&run) {
            Some(Wrapper::Awaited) => return Ok(Process::Unknown),
            Some(Wrapper::Child(child)) => {
                if let Ok(None) = child.try_wait() {
                    // Nobody else has its number as long as it was not waited for.
                    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
                    let process = pid.map(open).transpose();
                    let process = process.map_err(running)?;
                    return Ok(process.map_or(Process::Unknown, Process::Known));
                }
            }
            None => (),
        }
        let Trace::Alive(start) = self.trace(run)? else {
            return Ok(Process::Gone);
        };
        self.deadlines.find(run, start.as_ref(), &self.settings());
        let process = start
            .and_then(|start| Pid::from_raw(start.pid))
            .and_then(|pid| open(pid).ok());
        // If it still lives now, then the number was still its own when it was opened.
        match (process, self.trace(run)?) {
            (Some(process), Trace::Alive(_)) => Ok(Process::Known(process)),
            _ => Ok(Process::Unknown),
        }
    }

    pub(super) fn renew(&self, run: RunKey, until: Option<Duration>) -> Result<(), RunError> {
        let folder = Folder::open(&self.work_dir.run(run));
        let control = folder.and_then(|folder| Control::open(&folder));
        let renewed = control.and_then(|control| control.renew(until));
        renewed.map_err(running)
    }

    pub(super) fn stop(&self, run: RunKey) -> Result<(), RunError> {
        self.deadlines
            .stop(run, since_boot(), self.settings().grace);
        let folder = Folder::open(&self.work_dir.run(run));
        let control = folder.and_then(|folder| Control::open(&folder));
        match control.and_then(|control| control.stop()) {
            // Its wrapper cannot be asked; the deadline holds.
            Err(error) if error.kind() == io::ErrorKind::NotFound || is_foreign(&error) => Ok(()),
            stopped => stopped.map_err(running),
        }
    }

    /// Until its report is `unwanted`.
    pub(super) fn collect(
        &self,
        run: RunKey,
        unwanted: &CancellationToken,
    ) -> Result<RunReport, RunError> {
        let trace = self.trace(run)?;
        if let Trace::Alive(_) = trace {
            return Err(RunError::Transient("it still lives".to_owned()));
        }
        let (folder, settings) = (self.work_dir.run(run), self.settings());
        let now = self.clock.now();
        let report = report::report(trace.clone(), &folder, &settings, now, unwanted);
        let report = report.map_err(running)?;
        // What went away with the whole folder, its program may have left behind.
        if report::lacks_outputs(&report) && self.trace(run)? != trace {
            let what = "its folder went away while it was read";
            return Err(RunError::Host(what.to_owned()));
        }
        Ok(report)
    }

    pub(super) fn runs(&self) -> Result<Vec<RunKey>, RunError> {
        self.work_dir.runs().map_err(running)
    }

    pub(super) fn forget(&self, run: RunKey, failed: bool) -> Result<(), RunError> {
        match self.trace(run)? {
            Trace::Alive(_) => return Err(RunError::Transient("it still lives".to_owned())),
            Trace::Ended(start, _) => orphans::remove(start.cgroup.as_deref()),
            Trace::Never | Trace::Gone | Trace::Foreign(_) => (),
        }
        self.deadlines.forget(run);
        if let Some(Wrapper::Child(mut child)) = self.wrappers().remove(&run) {
            let _ = child.wait();
        }
        let kept = self.settings().keep_work.keeps(failed);
        let forgotten = self.work_dir.forget(run, kept);
        forgotten.map_err(running)
    }

    /// Removes what is kept of these records' runs, and what is kept beyond the limits.
    pub(super) fn tend_kept(&self, purged: &HashSet<RecordId>) -> Result<Kept, RunError> {
        let (folder, limits) = (self.work_dir.kept_folder(), self.settings().keep);
        let is_purged = |run: RunKey| purged.contains(&run.record);
        let remove = |run| self.work_dir.remove_kept(run);
        let now = self.clock.now();
        self.kept.tend(&folder, &limits, now, is_purged, remove)
    }

    pub(super) fn news(&self, run: RunKey, heard: Option<Heard>) -> Result<News, RunError> {
        // Before the file is read: what ended then has written everything. A question ends nothing.
        let trace = self.trace_by(run, orphans::live);
        let ended = !matches!(trace, Ok(Trace::Alive(_)));
        let (folder, most) = (self.work_dir.run(run), self.settings().limits.output_size);
        match news::of_run(&folder, heard, most, ended, self.clock.now()) {
            Err(error) if is_foreign(&error) => Err(RunError::Permanent(error.to_string())),
            news => news.map_err(running),
        }
    }

    /// Where a run stands. What lives without a wrapper is killed, and the run lives until nothing
    /// is left.
    fn trace(&self, run: RunKey) -> Result<Trace, RunError> {
        self.trace_by(run, orphans::kill)
    }

    /// Where a run stands; `lives` is asked where the folder cannot tell.
    fn trace_by(
        &self,
        run: RunKey,
        lives: fn(&Marks) -> io::Result<bool>,
    ) -> Result<Trace, RunError> {
        let folder = self.work_dir.run(run);
        let looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let trace = Journal::trace(&folder).map_err(running)?;
        drop(looking);
        let start = match &trace {
            Trace::Alive(_) => return Ok(trace),
            // Its wrapper has seen that nothing was left.
            Trace::Ended(_, Some(exit)) if !exit.is_overruled() => return Ok(trace),
            // No process of an earlier boot is left.
            Trace::Ended(start, _) if start.boot_id != self.boot_id => return Ok(trace),
            Trace::Ended(start, _) => Some(start.clone()),
            Trace::Never | Trace::Gone | Trace::Foreign(_) => None,
        };
        let marks = Marks::new(self.store.get(), run, folder, start);
        let lives = lives(&marks).map_err(running)?;
        Ok(if lives { Trace::Alive(None) } else { trace })
    }

    fn wrappers(&self) -> MutexGuard<'_, HashMap<RunKey, Wrapper>> {
        self.wrappers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
