//! The configured store, as the commands of operators see it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::buffer::{self, BufferError, Lookup, Operations, StoreUrl, TaskBuffer};
use crate::config::Config;
use crate::daemon;
use crate::error::{Code, Report};
use crate::job::RecordId;

/// What one question to the store may take. Somebody waits for it, but a store that is busy with
/// a daemon's work shall not look like one that is away.
const PATIENCE: Duration = Duration::from_secs(30);

/// The store, open.
pub(super) struct Store<Asked: ?Sized> {
    url: StoreUrl,
    asked: Arc<Asked>,
}

/// One for questions only.
pub(super) async fn for_reading(config: &Config) -> Result<Store<dyn TaskBuffer>, Report> {
    let Store { url, asked } = for_looking_on(config).await?;
    Ok(Store { url, asked })
}

/// One for questions only, also for those about what operators change.
pub(super) async fn for_looking_on(config: &Config) -> Result<Store<dyn Operations>, Report> {
    let url = &config.buffer.url;
    let opened = buffer::open_for_reading(url, &daemon::store_options(&config.buffer)?).await;
    Ok(Store {
        url: url.clone(),
        asked: opened.map_err(|error| daemon::store_report(url, &error))?,
    })
}

/// One for changes, beside a running daemon or without one.
pub(super) async fn for_operating(config: &Config) -> Result<Store<dyn Operations>, Report> {
    let url = &config.buffer.url;
    let opened = buffer::open_for_operating(url, &daemon::store_options(&config.buffer)?).await;
    Ok(Store {
        url: url.clone(),
        asked: opened.map_err(|error| daemon::store_report(url, &error))?,
    })
}

impl Store<dyn Operations> {
    /// The same store, as bridges see it.
    pub(super) fn into_buffer(self) -> Arc<dyn TaskBuffer> {
        self.asked
    }
}

impl<Asked: ?Sized> Store<Asked> {
    /// Asks it something.
    pub(super) async fn ask<'a, T, Asking>(
        &'a self,
        question: impl FnOnce(&'a Asked) -> Asking,
    ) -> Result<T, Report>
    where
        Asking: Future<Output = Result<T, BufferError>>,
    {
        let late = || {
            let patience = PATIENCE.as_secs();
            Err(BufferError::Unreachable(format!(
                "no answer within {patience} s"
            )))
        };
        let answer = timeout(PATIENCE, question(&self.asked)).await;
        answer
            .unwrap_or_else(|_| late())
            .map_err(|error| self.unanswered(&error))
    }

    fn unanswered(&self, error: &BufferError) -> Report {
        let code = match error {
            BufferError::Unreachable(_) => Code::StoreMute,
            BufferError::Conflict(_)
            | BufferError::Stale
            | BufferError::Restored
            | BufferError::Full(_)
            | BufferError::ReadOnly(_)
            | BufferError::Corrupt(_) => Code::StoreTrouble,
        };
        Report::new(code, format!("{}: no answer", self.url)).because(error)
    }

    /// What was looked up; an error where it is not there, or cannot be read.
    pub(super) fn found<T>(&self, record: RecordId, found: Lookup<T>) -> Result<T, Report> {
        let url = &self.url;
        match found {
            Lookup::Found(found) => Ok(found),
            Lookup::Absent => {
                let what = format!("{url}: there is no record {record}");
                let report = Report::new(Code::NoSuchRecord, what);
                Err(report.hint("`gristmill job list` shows what there is"))
            }
            Lookup::Unreachable => {
                let what = format!("{url}: the row of record {record} cannot be read");
                let report = Report::new(Code::StoreTrouble, what);
                Err(report.hint("look at it with the store's own client"))
            }
        }
    }
}
