//! Jobs as processes of this machine. Each run has a wrapper process of its own and a folder; the
//! daemon may die and find both again.

mod deadline;
mod held;
mod identity;
mod kept;
mod launch;
mod marks;
mod news;
mod orphans;
mod outputs;
mod processes;
mod program;
mod ready;
mod remove;
mod report;
mod settings;
mod shared;
mod work_dir;
mod written;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::fault::Step;
pub use super::wrapper::Limits;
use super::{Heard, Kept, News, RunError, RunState, Runner};
use crate::job::policy::Clock;
use crate::job::{RecordId, RunKey, RunOrder, RunReport, RunsFolder, StoreId};
pub use held::Held;
pub use settings::{KeepLimits, KeepWork, Settings};
use shared::Shared;
pub use written::{Written, written};

/// How often a run is looked at whose end is not reported.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// The same once it has been looked at for some time.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A run whose end is not reported, and that lives for so long, does not end as it should.
const UNTOLD_LIMIT: Duration = Duration::from_secs(45);
/// How often it is looked whether a run should have ended.
const DEADLINE_LOOK: Duration = Duration::from_secs(1);

/// Runs jobs as processes of this machine.
pub struct ProcessRunner(Arc<Shared>);

/// Why a [`ProcessRunner`] cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Two daemons must not share the folder of their runs.
    #[error("{path}: another daemon uses this folder")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The claims of the runs in the folder have a name that is not known any more.
    #[error(
        "{path}: it has runs, and its file `holder`, which says who claimed them, is missing or empty"
    )]
    Nameless {
        /// The folder.
        path: PathBuf,
    },
    /// A folder or a file cannot be used.
    #[error("{path}: {source}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel does not tell who a process's children are.
    #[error("the kernel has no /proc/PID/task/TID/children (CONFIG_PROC_CHILDREN)")]
    Kernel,
}

impl ProcessRunner {
    /// Takes the folder of the runs, and with it whatever lives from before.
    pub fn open(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Shared::open(settings, clock).map(|shared| Self(Arc::new(shared)))
    }

    /// From now on runs are started by these settings, and those that end are judged by them. The
    /// folder of the runs stays what it is.
    pub fn reconfigure(&self, settings: Settings) {
        self.0.reconfigure(settings);
    }

    /// Looks whether a folder could be taken, and does not take it.
    pub fn look(work_dir: &Path) -> Result<(), OpenError> {
        work_dir::look(work_dir)
    }

    /// The name under which this runner's user holds claims: the same for whoever uses its folder.
    #[must_use]
    pub fn holder(&self) -> &str {
        self.0.holder()
    }

    /// Returns once a run lives that should have ended.
    async fn overdue(&self, run: RunKey) {
        while !self.0.is_overdue(run) {
            sleep(DEADLINE_LOOK).await;
        }
    }

    /// The folder of the runs, which is locked.
    #[must_use]
    pub fn folder(&self) -> &RunsFolder {
        self.0.folder()
    }

    /// Does what waits for disks and processes beside the tasks of the runtime; once begun it is
    /// done, also when the caller does not wait for it. What is found in a folder that is not the
    /// one that was opened is no answer.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, RunError> + Send + 'static,
    ) -> Result<T, RunError> {
        let shared = self.0.clone();
        let work = move || {
            shared.is_in_place().map_err(RunError::Away)?;
            let answer = work(&shared)?;
            shared.is_in_place().map_err(RunError::InDoubt)?;
            Ok(answer)
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|error| Err(RunError::InDoubt(format!("it was not done: {error}"))))
    }
}

#[async_trait]
impl Runner for ProcessRunner {
    async fn serve(&self, store: &StoreId) -> Result<(), RunError> {
        let store = store.clone();
        self.aside(move |shared| shared.serve(&store)).await
    }

    async fn ready(&self) -> Result<(), RunError> {
        let looked = self.aside(Shared::ready).await;
        looked.map_err(|error| match error {
            RunError::Away(why) => RunError::Host(why),
            other => other,
        })
    }

    async fn start(&self, order: &RunOrder) -> Result<(), RunError> {
        let order = order.clone();
        self.aside(move |shared| shared.start(&order)).await
    }

    async fn look_up(&self, run: RunKey) -> Result<RunState, RunError> {
        self.aside(move |shared| shared.look_up(run)).await
    }

    async fn ended(&self, run: RunKey) -> Result<(), RunError> {
        let mut pause = LOOK_AGAIN;
        let mut untold = Duration::ZERO;
        loop {
            let process = self.aside(move |shared| shared.process(run));
            match process.await? {
                shared::Process::Gone => return Ok(()),
                shared::Process::Unknown if untold > UNTOLD_LIMIT => {
                    let why = "it lives, and nothing tells which process its end is the end of";
                    return Err(RunError::Transient(why.to_owned()));
                }
                shared::Process::Unknown => {
                    sleep(pause).await;
                    untold += pause;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                shared::Process::Known(process) => tokio::select! {
                    ended = readable(process) => ended.map_err(running)?,
                    () = self.overdue(run) => {
                        self.aside(move |shared| shared.end_overdue(run)).await?;
                        sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                },
            }
        }
    }

    async fn renew(&self, run: RunKey, lease_until: Option<Duration>) -> Result<(), RunError> {
        self.aside(move |shared| shared.renew(run, lease_until))
            .await
    }

    async fn stop(&self, run: RunKey) -> Result<(), RunError> {
        self.aside(move |shared| shared.stop(run)).await
    }

    async fn collect(&self, run: RunKey) -> Result<RunReport, RunError> {
        // Large files take long to be read: not longer than the caller waits for it.
        let unwanted = CancellationToken::new();
        let _until_dropped = unwanted.clone().drop_guard();
        self.aside(move |shared| shared.collect(run, &unwanted))
            .await
    }

    async fn news(&self, run: RunKey, heard: Option<Heard>) -> Result<News, RunError> {
        self.aside(move |shared| shared.news(run, heard)).await
    }

    async fn runs(&self) -> Result<Vec<RunKey>, RunError> {
        self.aside(Shared::runs).await
    }

    async fn forget(&self, run: RunKey, failed: bool) -> Result<(), RunError> {
        self.aside(move |shared| shared.forget(run, failed)).await
    }

    async fn tend_kept(&self, purged: &[RecordId]) -> Result<Kept, RunError> {
        let purged = purged.iter().copied().collect();
        self.aside(move |shared| shared.tend_kept(&purged)).await
    }
}

/// Returns once the process of a pidfd has ended.
async fn readable(process: OwnedFd) -> io::Result<()> {
    #[expect(
        deprecated,
        reason = "an OwnedFd keeps what its unsafe successor asks for"
    )]
    let process = AsyncFd::with_interest(process, Interest::READABLE)?;
    process.readable().await.map(drop)
}

/// What is there of a run cannot be used now.
fn running(error: impl Into<io::Error>) -> RunError {
    Step::Running.failed("what is there of the run", error)
}
