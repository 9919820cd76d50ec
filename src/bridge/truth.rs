//! What fixJobs holds a record against.

use async_trait::async_trait;

use crate::job::Record;

/// Who can find out what became of the jobs that somebody holds, as their records say.
#[async_trait]
pub trait Truth: Send + Sync {
    /// Looks at each, and corrects its record where that is wrong; one finding for each, in order.
    async fn look_again(&self, held: &[Record]) -> Vec<Finding>;
}

/// What came of looking at a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Its record was wrong, and is right now.
    Corrected,
    /// Its record is right.
    Right,
    /// Nobody can say at the moment.
    Unclear,
}
