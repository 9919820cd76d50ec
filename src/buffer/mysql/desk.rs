//! Two tasks: one gives jobs out, the other takes in what became of them. Each takes all that waits
//! and does it in one transaction; they work at the same time, for no claim waits for a lock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::connect::Server;
use super::group::{Answers, Due, Group};
use super::queue::{Queue, Reply, Waiting};
use super::session::Session;
use crate::buffer::{
    AdvanceRequest, Advanced, BufferError, ClaimRequest, Claimed, ProgressReport, Renewed,
};
use crate::job::{RecordId, Token};

/// One transaction is closed once it is about so many records.
const GROUP_RECORDS: usize = 2000;

/// How often rows are looked for that were written under a clock that was ahead of ours.
const LOOK_AHEAD: Duration = Duration::from_mins(1);

/// How often jobs are looked for whose time has come. What waits, waits for seconds.
const LOOK_FOR_DUE: SignedDuration = SignedDuration::from_millis(100);

/// Requests may come in another order than they were made.
const SLACK: SignedDuration = SignedDuration::from_secs(1);

/// The way to the tasks. They end when this is dropped and what waits is done.
pub(super) struct Desk {
    /// Of claims.
    out: Queue<Question>,
    /// Of everything that is said under a claim.
    back: Queue<Question>,
}

enum Question {
    Advance(AdvanceRequest, Reply<Vec<Advanced>>),
    Renew(Vec<(RecordId, Token)>, Reply<Vec<Renewed>>),
    Report(ProgressReport, Reply<Vec<Option<bool>>>),
    Claim(ClaimRequest, Reply<Vec<Claimed>>),
}

impl Desk {
    /// `packet`: the largest statement that the server takes, in bytes.
    pub fn start(server: &Server, packet: usize) -> Self {
        let start = || {
            let (queue, questions) = Queue::new();
            let task = Task {
                session: Session::new(server.clone(), packet),
                clock: Clock::default(),
            };
            tokio::spawn(task.run(questions));
            queue
        };
        Self {
            out: start(),
            back: start(),
        }
    }

    pub async fn advance(&self, request: AdvanceRequest) -> Result<Vec<Advanced>, BufferError> {
        self.back
            .ask(|reply| Question::Advance(request, reply))
            .await
    }

    pub async fn renew(&self, claims: Vec<(RecordId, Token)>) -> Result<Vec<Renewed>, BufferError> {
        self.back.ask(|reply| Question::Renew(claims, reply)).await
    }

    pub async fn report(&self, report: ProgressReport) -> Result<bool, BufferError> {
        let kept = self.back.ask(|reply| Question::Report(report, reply));
        let locked = || BufferError::Unreachable("somebody has the record's row locked".to_owned());
        kept.await?.first().copied().flatten().ok_or_else(locked)
    }

    pub async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claimed>, BufferError> {
        self.out.ask(|reply| Question::Claim(request, reply)).await
    }
}

struct Task {
    session: Session,
    clock: Clock,
}

impl Task {
    async fn run(mut self, mut questions: Waiting<Question>) {
        let mut waiting = Vec::new();
        while questions.gather(&mut waiting).await {
            let mut lot = Lot::default();
            for question in waiting.drain(..) {
                if !lot.has_room_for(&question) {
                    self.answer(std::mem::take(&mut lot)).await;
                }
                lot.push(question);
            }
            self.answer(lot).await;
        }
        self.session.close().await;
    }

    async fn answer(&mut self, mut lot: Lot) {
        if lot.is_empty() {
            return;
        }
        let claim = lot.group.claim.as_ref();
        lot.group.due = claim.map_or(Due::None, |claim| self.clock.due(claim.now));
        let answers = self.session.repeatable(&lot.group).await;
        if answers.is_err() {
            self.clock = Clock::default();
        }
        lot.answer(answers);
    }
}

/// What is done in one transaction, and who waits for it.
#[derive(Default)]
struct Lot {
    group: Group,
    records: usize,
    advances: Shares<Advanced>,
    renewals: Shares<Renewed>,
    reports: Shares<Option<bool>>,
    claims: Shares<Claimed>,
}

impl Lot {
    fn is_empty(&self) -> bool {
        let (advances, renewals) = (self.advances.0.len(), self.renewals.0.len());
        advances + renewals + self.reports.0.len() + self.claims.0.len() == 0
    }

    fn has_room_for(&self, question: &Question) -> bool {
        let alike = match (question, &self.group) {
            (
                Question::Advance(new, _),
                Group {
                    advance: Some(known),
                    ..
                },
            ) => new.limits == known.limits,
            (
                Question::Claim(new, _),
                Group {
                    claim: Some(known), ..
                },
            ) => new.holder == known.holder && new.pass_over == known.pass_over,
            _ => true,
        };
        alike && self.records < GROUP_RECORDS
    }

    fn push(&mut self, question: Question) {
        let group = &mut self.group;
        self.records += match question {
            Question::Advance(request, reply) => {
                let share = self.advances.push(request.changes.len(), reply);
                match &mut group.advance {
                    None => group.advance = Some(request),
                    Some(known) => {
                        known.changes.extend(request.changes);
                        known.now = known.now.max(request.now);
                    }
                }
                share
            }
            Question::Renew(claims, reply) => {
                let share = self.renewals.push(claims.len(), reply);
                group.renew.extend(claims);
                share
            }
            Question::Report(report, reply) => {
                group.reports.push(report);
                self.reports.push(1, reply)
            }
            // Nobody would know of what is claimed for who has gone.
            Question::Claim(_, reply) if reply.is_closed() => 0,
            Question::Claim(request, reply) => {
                let share = self.claims.push(request.most as usize, reply);
                match &mut group.claim {
                    None => group.claim = Some(request),
                    Some(known) => {
                        known.most = known.most.saturating_add(request.most);
                        known.now = known.now.max(request.now);
                    }
                }
                share
            }
        };
    }

    fn answer(self, answers: Result<Answers, BufferError>) {
        match answers {
            Ok(answers) => {
                self.advances.answer(answers.advanced);
                self.renewals.answer(answers.renewed);
                self.reports.answer(answers.reported);
                self.claims.answer(answers.claimed);
            }
            Err(error) => {
                self.advances.fail(&error);
                self.renewals.fail(&error);
                self.reports.fail(&error);
                self.claims.fail(&error);
            }
        }
    }
}

/// How many of a transaction's answers each asker gets, in order.
struct Shares<T>(Vec<(usize, Reply<Vec<T>>)>);

impl<T> Default for Shares<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Shares<T> {
    fn push(&mut self, share: usize, reply: Reply<Vec<T>>) -> usize {
        self.0.push((share, reply));
        share
    }

    fn answer(self, answers: Vec<T>) {
        let mut answers = answers.into_iter();
        for (share, reply) in self.0 {
            // Who asked may have gone.
            let _ = reply.send(Ok(answers.by_ref().take(share).collect()));
        }
    }

    fn fail(self, error: &BufferError) {
        for (_, reply) in self.0 {
            // Who asked may have gone.
            let _ = reply.send(Err(error.clone()));
        }
    }
}

/// When it was looked for jobs that wait for their time, and what is known of the clocks that their
/// rows were written under.
#[derive(Default)]
struct Clock {
    latest: Option<Timestamp>,
    due_at: Option<Timestamp>,
    looked_at: Option<Instant>,
}

impl Clock {
    /// Which jobs are to be looked for now.
    fn due(&mut self, now: Timestamp) -> Due {
        if self.may_be_behind(now) {
            self.due_at = Some(now);
            return Due::OrAhead;
        }
        let since = self.due_at.map(|at| at.duration_until(now));
        if since.is_some_and(|since| (SignedDuration::ZERO..LOOK_FOR_DUE).contains(&since)) {
            return Due::None;
        }
        self.due_at = Some(now);
        Due::Now
    }

    /// Whether rows may have been written under a clock that was ahead: ours went back, or it
    /// was not looked after for long.
    fn may_be_behind(&mut self, now: Timestamp) -> bool {
        let went_back = |latest: Timestamp| now.duration_until(latest) > SLACK;
        let went_back = self.latest.replace(now).is_some_and(went_back);
        let long_ago = self.looked_at.is_none_or(|at| at.elapsed() >= LOOK_AHEAD);
        if went_back || long_ago {
            self.looked_at = Some(Instant::now());
        }
        went_back || long_ago
    }
}
