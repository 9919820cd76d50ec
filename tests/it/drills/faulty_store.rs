//! A store of which one call goes wrong in a way that is chosen: no real one fails to order.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use gristmill::buffer::BufferError;
use tokio::time::sleep;

use crate::hooked_store::{Hook, HookedStore};

/// How a call goes wrong.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Nothing is done.
    Error,
    /// It is done, but so late that nobody waits any more.
    Late(Duration),
    /// It is done, and nobody hears of it.
    AnswerLost,
}

/// Which call of which question goes wrong, counted from 0.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub question: &'static str,
    pub call: usize,
    pub fault: Fault,
}

/// How often each question was asked.
pub type Calls = BTreeMap<&'static str, usize>;

pub type FaultyStore = HookedStore<Faults>;

/// Counts the calls, and has one of them fail.
pub struct Faults {
    plan: Option<Plan>,
    calls: Mutex<Calls>,
}

impl Faults {
    pub fn new(plan: Option<Plan>) -> Self {
        Self {
            plan,
            calls: Mutex::default(),
        }
    }

    pub fn calls(&self) -> Calls {
        self.calls.lock().unwrap().clone()
    }

    /// Whether the fault has happened.
    pub fn has_failed(&self) -> bool {
        let calls = self.calls();
        let asked = |plan: &Plan| calls.get(plan.question).copied().unwrap_or(0);
        self.plan
            .as_ref()
            .is_some_and(|plan| asked(plan) > plan.call)
    }
}

impl Hook for Faults {
    async fn around<T: Send>(
        &self,
        question: &'static str,
        answer: impl Future<Output = Result<T, BufferError>> + Send,
    ) -> Result<T, BufferError> {
        let call = {
            let mut calls = self.calls.lock().unwrap();
            let count = calls.entry(question).or_default();
            *count += 1;
            *count - 1
        };
        let is_it = |plan: &&Plan| (plan.question, plan.call) == (question, call);
        let as_planned = || Err(BufferError::Unreachable("as the drill wants it".to_owned()));
        match self.plan.as_ref().filter(is_it).map(|plan| plan.fault) {
            None => answer.await,
            Some(Fault::Error) => as_planned(),
            Some(Fault::Late(delay)) => {
                sleep(delay).await;
                answer.await
            }
            Some(Fault::AnswerLost) => {
                let _ = answer.await;
                as_planned()
            }
        }
    }
}
