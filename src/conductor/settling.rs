//! Changes of jobs on their way to the store: all that wait go in one transaction.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::context::Context;
use crate::buffer::{AdvanceRequest, Advanced, BufferError, Change};
use crate::job::{State, Step};

/// Errands that wait for the store; more wait before they are taken on.
const QUEUE: usize = 256;

/// Errands in one transaction.
const LOT: usize = 256;

/// Where changes are handed in.
pub(super) struct Settler(mpsc::Sender<Errand>);

/// Changes that belong together, and who waits for the answer.
pub(super) struct Errand {
    changes: Vec<Change>,
    answer: oneshot::Sender<Result<Vec<Advanced>, BufferError>>,
}

impl Settler {
    pub fn new() -> (Self, mpsc::Receiver<Errand>) {
        let (sender, errands) = mpsc::channel(QUEUE);
        (Self(sender), errands)
    }

    /// Makes changes, once; one answer for each. On an error their outcome is in doubt.
    pub async fn advance(&self, changes: Vec<Change>) -> Result<Vec<Advanced>, BufferError> {
        let gone = || BufferError::Unreachable("the conductor stops".to_owned());
        let (answer, answered) = oneshot::channel();
        let errand = Errand { changes, answer };
        self.0.send(errand).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

/// Carries errands to the store until nobody can hand in more.
pub(super) async fn settle(context: Arc<Context>, mut errands: mpsc::Receiver<Errand>) {
    let mut lot = Vec::new();
    while errands.recv_many(&mut lot, LOT).await > 0 {
        let changes = lot.iter().flat_map(|errand| errand.changes.clone());
        match advance(&context, changes.collect()).await {
            Ok(answers) => hand_out(&mut lot, answers),
            Err(why @ (BufferError::Unreachable(_) | BufferError::ReadOnly(_))) => {
                refuse(&mut lot, &why);
            }
            // One of them may be what the store cannot take; it must not hold up the others.
            Err(_) => settle_singly(&context, &mut lot).await,
        }
    }
}

async fn settle_singly(context: &Context, lot: &mut Vec<Errand>) {
    for errand in lot.drain(..) {
        let answer = advance(context, errand.changes).await;
        // Who asked may have gone.
        let _ = errand.answer.send(answer);
    }
}

async fn advance(context: &Context, changes: Vec<Change>) -> Result<Vec<Advanced>, BufferError> {
    let asked = changes.len();
    let request = AdvanceRequest {
        changes,
        limits: context.settings.limits,
        now: context.tools.clock.now(),
    };
    let answers = context.claims.advance(request).await?;
    if answers.len() == asked {
        return Ok(answers);
    }
    let what = format!("{} answers to {asked} changes", answers.len());
    Err(BufferError::Corrupt(what))
}

fn hand_out(lot: &mut Vec<Errand>, answers: Vec<Advanced>) {
    let mut answers = answers.into_iter();
    for errand in lot.drain(..) {
        let own = answers.by_ref().take(errand.changes.len()).collect();
        let _ = errand.answer.send(Ok(own));
    }
}

fn refuse(lot: &mut Vec<Errand>, error: &BufferError) {
    for errand in lot.drain(..) {
        let _ = errand.answer.send(Err(error.clone()));
    }
}

/// Whether a job that is in `state` may be there because of `step`: then a step that was in doubt
/// was done, and is not stale.
pub(super) fn leads_to(step: Step, state: State) -> bool {
    match step {
        Step::Start => state == State::Running,
        Step::GiveBack => matches!(state, State::Ready | State::Cancelled),
        Step::Abandon => matches!(state, State::Ready | State::Cancelled | State::Trashed),
        Step::Succeed => state == State::Succeeded,
        Step::Fail { retry: false } => state == State::Failed,
        Step::Fail { retry: true } => {
            matches!(state, State::Scheduled | State::Failed | State::Cancelled)
        }
        Step::TimeOut => state == State::TimedOut,
        Step::Cancel => state == State::Cancelled,
        Step::Trash => state == State::Trashed,
    }
}
