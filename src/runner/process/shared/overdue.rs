//! Runs that their wrappers should have ended by now.

use super::super::super::RunError;
use super::super::super::wrapper::{Journal, since_boot};
use super::super::marks::Marks;
use super::super::{orphans, running};
use super::{Shared, Wrapper};
use crate::job::RunKey;

impl Shared {
    /// Whether a run should have ended.
    pub(in super::super) fn is_overdue(&self, run: RunKey) -> bool {
        self.deadlines.passed(run, since_boot()).is_some()
    }

    /// Ends a run that its wrapper should have ended, and has it count as ended by that.
    pub(in super::super) fn end_overdue(&self, run: RunKey) -> Result<(), RunError> {
        let now = since_boot();
        let Some(deadline) = self.deadlines.passed(run, now) else {
            return Ok(());
        };
        let folder = self.work_dir.run(run);
        if deadline.begun.is_none() {
            tracing::warn!(%run, "its wrapper has not ended it in time; it is killed");
        }
        let start = Journal::overrule(&folder, deadline.cause, self.clock.now());
        let start = start.inspect_err(|error| tracing::warn!(%run, %error, "why is not noted"));
        let start = start
            .ok()
            .flatten()
            .filter(|start| start.boot_id == self.boot_id);
        let marks = Marks::new(self.store.get(), run, folder, start);
        let killed = orphans::kill(&marks);
        if let Some(Wrapper::Child(child)) = self.wrappers().get_mut(&run) {
            // It may have lost its marks; one that has gone needs no signal.
            let _ = child.kill();
        }
        killed.map_err(running)?;
        if self.deadlines.end(run, now) {
            return Ok(());
        }
        Err(RunError::Transient("it was killed, and lives".to_owned()))
    }
}
