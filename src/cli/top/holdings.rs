//! Looks at the store: which jobs run, and who has how many that have not ended. Only reads.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::daemon::Daemon;
use crate::buffer::{Census, ListFilter, Lookup, TaskBuffer};
use crate::cli::job::present::one_line;
use crate::cli::store::{self, Store};
use crate::config::Config;
use crate::error::Report;
use crate::job::{Record, RecordId};
use crate::windmill::read_job;

/// One look may take so long, opening the store included.
const LIMIT: Duration = Duration::from_secs(10);

/// After a look there are so many times of what it took for others.
const TIMES_ITS_COST: u32 = 20;

/// So many running jobs are asked for: more than a screen has lines.
const MAX_RUNNING: u32 = 200;

/// So many jobs are read for the name of their program, one by one, in one look.
const PROGRAMS_A_LOOK: usize = 30;

/// What is known of the store.
#[derive(Clone, Debug)]
pub(super) enum Holdings {
    /// It has not answered yet.
    Asked,
    /// It did not answer, and why.
    Away(String),
    Here(Held),
}

/// What it holds.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// Who runs for longest is first.
    pub(super) running: Vec<Running>,
    /// How many jobs of each owner have not ended.
    pub(super) unfinished: BTreeMap<String, u64>,
    /// Counted only where no daemon tells.
    pub(super) census: Option<Census>,
}

/// A job that runs.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) record: Record,
    /// Empty: not known.
    pub(super) program: String,
}

/// Who looks.
struct Looker {
    config: Config,
    /// Opened at the first look, and again after one that failed.
    open: Option<Store<dyn TaskBuffer>>,
    /// Of the jobs that ran at the last look.
    programs: BTreeMap<RecordId, String>,
}

/// Looks again and again, until nobody wants to know any more.
pub(super) async fn keep_looking(
    config: Config,
    every: Duration,
    daemon: watch::Receiver<Daemon>,
    seen: watch::Sender<Holdings>,
) {
    let mut looker = Looker {
        config,
        open: None,
        programs: BTreeMap::new(),
    };
    while !seen.is_closed() {
        let began = Instant::now();
        let is_told = daemon.borrow().scrape().is_some();
        let holdings = match timeout(LIMIT, looker.look(!is_told)).await {
            Ok(Ok(held)) => Holdings::Here(held),
            Ok(Err(report)) => Holdings::Away(one_line(&in_short(&report))),
            Err(_) => Holdings::Away(format!("no answer within {} s", LIMIT.as_secs())),
        };
        if let Holdings::Away(_) = holdings {
            looker.open = None;
        }
        seen.send_replace(holdings);
        sleep(every.max(began.elapsed() * TIMES_ITS_COST)).await;
    }
}

fn in_short(report: &Report) -> String {
    let causes = report.causes.iter().map(|cause| format!(": {cause}"));
    format!("{}{}", report.what, causes.collect::<String>())
}

impl Looker {
    async fn look(&mut self, count: bool) -> Result<Held, Report> {
        let store = match self.open.take() {
            Some(store) => store,
            None => store::for_reading(&self.config).await?,
        };
        let filter = ListFilter {
            owner: None,
            job_id: None,
            state: Some("running".to_owned()),
            since: None,
            limit: MAX_RUNNING,
        };
        let mut records = store.ask(|store| store.list(&filter)).await?;
        records.sort_by_key(|record| record.started_at.unwrap_or(record.since));
        let unfinished = store.ask(TaskBuffer::unfinished_owners).await?;
        let unfinished = unfinished
            .into_iter()
            .map(|(owner, n)| (owner.as_str().to_owned(), n));
        let census = if count {
            Some(store.ask(TaskBuffer::census).await?)
        } else {
            None
        };
        self.learn_programs(&store, &records).await?;
        self.open = Some(store);
        let running = records.into_iter().map(|record| Running {
            program: self.programs.get(&record.id).cloned().unwrap_or_default(),
            record,
        });
        Ok(Held {
            running: running.collect(),
            unfinished: unfinished.collect(),
            census,
        })
    }

    /// A job's XML never changes, so it is read once.
    async fn learn_programs(
        &mut self,
        store: &Store<dyn TaskBuffer>,
        running: &[Record],
    ) -> Result<(), Report> {
        let runs = |id: &RecordId| running.iter().any(|record| record.id == *id);
        self.programs.retain(|id, _| runs(id));
        let ids = running.iter().map(|record| record.id);
        let unknown: Vec<_> = ids.filter(|id| !self.programs.contains_key(id)).collect();
        for id in unknown.into_iter().take(PROGRAMS_A_LOOK) {
            let found = store.ask(|store| store.show(id)).await?;
            let payload = match found {
                Lookup::Found(dossier) => dossier.payload,
                Lookup::Absent | Lookup::Unreachable => None,
            };
            let spec = payload.and_then(|payload| read_job(&payload).ok());
            let program = spec.map(|spec| one_line(&spec.transformation.path));
            self.programs.insert(id, program.unwrap_or_default());
        }
        Ok(())
    }
}
