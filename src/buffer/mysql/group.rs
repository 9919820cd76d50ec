//! What the desk does in one transaction. Equal changes of many requests are one statement, so all
//! of them happen at one time.

use std::collections::{HashMap, HashSet};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Result, Value};

use super::apply::{apply, insert_events};
use super::claim;
use super::session::Work;
use super::standing::lock;
use super::statement::update_in;
use crate::buffer::changes::{EventRow, clip};
use crate::buffer::claiming;
use crate::buffer::settling::{self, EVENTS_DROPPED, is_current, kept_events};
use crate::buffer::{AdvanceRequest, Advanced, ClaimRequest, Claimed, ProgressReport, Renewed};
use crate::job::{RecordId, Token};

/// Requests of one transaction.
#[derive(Default)]
pub(super) struct Group {
    pub advance: Option<AdvanceRequest>,
    pub renew: Vec<(RecordId, Token)>,
    pub reports: Vec<ProgressReport>,
    pub claim: Option<ClaimRequest>,
    /// Which jobs are looked for that wait for their time.
    pub due: Due,
}

/// Which jobs that wait for their time are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Due {
    /// None: it was looked a moment ago.
    #[default]
    None,
    /// Those whose time has come.
    Now,
    /// Also those that were written under a clock that was ahead of ours.
    OrAhead,
}

/// One answer for each request, in order; of the claims as many as there are.
pub(super) struct Answers {
    pub advanced: Vec<Advanced>,
    pub renewed: Vec<Renewed>,
    /// `None`: somebody else has the row locked.
    pub reported: Vec<Option<bool>>,
    pub claimed: Vec<Claimed>,
}

impl Work for Group {
    type Answer = Answers;

    async fn write(&self, conn: &mut Conn, budget: usize) -> Result<Answers> {
        let mut events = Vec::new();
        let answers = Answers {
            advanced: self.advance(conn, budget, &mut events).await?,
            renewed: self.renew(conn).await?,
            reported: self.report(conn, &mut events).await?,
            claimed: self.claim(conn, budget, &mut events).await?,
        };
        insert_events(events).run(conn, budget).await?;
        Ok(answers)
    }
}

impl Group {
    async fn advance(
        &self,
        conn: &mut Conn,
        budget: usize,
        events: &mut Vec<EventRow>,
    ) -> Result<Vec<Advanced>> {
        let Some(request) = &self.advance else {
            return Ok(Vec::new());
        };
        let locked = lock(conn, request.changes.iter().map(|change| change.id)).await?;
        let (answers, mut changes) = settling::settle(request, locked.rows, &locked.busy);
        if !locked.listened {
            changes.words.clear();
        }
        events.append(&mut apply(conn, changes, budget).await?);
        Ok(answers)
    }

    async fn renew(&self, conn: &mut Conn) -> Result<Vec<Renewed>> {
        let locked = lock(conn, self.renew.iter().map(|(id, _)| *id)).await?;
        let rows: HashMap<_, _> = locked.rows.iter().map(|row| (row.id, row)).collect();
        let is_held = |(id, token): &&(RecordId, Token)| {
            let row = rows.get(&id.get().cast_signed());
            row.is_some_and(|row| is_current(row, *token))
        };
        let held: HashSet<_> = self.renew.iter().filter(is_held).collect();
        let keys: Vec<Value> = held.iter().map(|(id, _)| id.get().into()).collect();
        let statement = "UPDATE jobs SET renewal = renewal + 1 WHERE id IN ({keys})";
        update_in(conn, statement, &[], &keys).await?;
        let answer = |claim: &(RecordId, Token)| match claim {
            claim if held.contains(claim) => Renewed::Held,
            (id, _) if locked.busy.contains(id) => Renewed::Busy,
            _ => Renewed::Lost,
        };
        Ok(self.renew.iter().map(answer).collect())
    }

    async fn report(
        &self,
        conn: &mut Conn,
        events: &mut Vec<EventRow>,
    ) -> Result<Vec<Option<bool>>> {
        let mut answers = Vec::with_capacity(self.reports.len());
        for report in &self.reports {
            let locked = lock(conn, std::iter::once(report.id)).await?;
            let mut rows = locked.rows.iter();
            let is_current = rows.any(|row| is_current(row, report.token));
            if is_current {
                keep(conn, report, events).await?;
            }
            answers.push(locked.busy.is_empty().then_some(is_current));
        }
        Ok(answers)
    }

    async fn claim(
        &self,
        conn: &mut Conn,
        budget: usize,
        events: &mut Vec<EventRow>,
    ) -> Result<Vec<Claimed>> {
        let Some(request) = &self.claim else {
            return Ok(Vec::new());
        };
        if self.due != Due::None {
            let ahead = self.due == Due::OrAhead;
            let due = claim::due(conn, request, ahead).await?;
            let changes = claiming::make_due(due, request.now);
            events.append(&mut apply(conn, changes, budget).await?);
        }
        let (rows, payloads) = claim::ready(conn, request).await?;
        let (claimed, changes) = claiming::claim(request, rows, payloads);
        events.append(&mut apply(conn, changes, budget).await?);
        Ok(claimed)
    }
}

/// Keeps what a run says of itself; `events`: what this transaction adds.
async fn keep(conn: &mut Conn, report: &ProgressReport, events: &mut Vec<EventRow>) -> Result<()> {
    let id = report.id.get();
    if let Some(progress) = &report.progress {
        let statement = "UPDATE jobs SET progress_permille = ?, progress_words = ? WHERE id = ?";
        let words = clip(&progress.words);
        conn.exec_drop(statement, (progress.permille.min(1000), words, id))
            .await?;
    }
    if !report.events.is_empty() {
        let query = "SELECT COUNT(*), COUNT(IF(code = ?, 1, NULL)) FROM events WHERE record_id = ?";
        let found: Option<(i64, i64)> = conn.exec_first(query, (EVENTS_DROPPED, id)).await?;
        let (kept, warnings) = found.unwrap_or_default();
        let added = events
            .iter()
            .filter(|event| event.record_id == id.cast_signed());
        let was_warned = warnings > 0 || added.clone().any(|event| event.code == EVENTS_DROPPED);
        let kept = kept + i64::try_from(added.count()).unwrap_or(i64::MAX);
        events.append(&mut kept_events(report, kept, was_warned));
    }
    Ok(())
}
