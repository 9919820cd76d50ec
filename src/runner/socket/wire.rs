//! What is said over the socket, in types of its own.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(in crate::runner) use super::wire_order::Order;
pub(in crate::runner) use super::wire_report::{Heard, News, Report};
use crate::job::{RecordId, RunKey, StoreId, Token};
use crate::runner::{RunError, RunState};

/// What a daemon says first. Every version can read every other one's.
#[derive(Debug, Serialize, Deserialize)]
pub struct Greeting {
    /// What it speaks.
    pub protocol: u32,
    /// It only wants to know who is there, and asks nothing.
    #[serde(default)]
    pub probe: bool,
}

/// What the runner says to that.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Welcome {
    /// Questions may be asked.
    Served {
        /// The holder's name.
        holder: String,
        /// The folder of the runs; empty where it is not told.
        #[serde(default)]
        folder: String,
    },
    /// Another daemon is served.
    Busy,
    /// This user is not served.
    Stranger {
        /// Its number.
        user: u32,
    },
    /// Another protocol is spoken here.
    Protocol {
        /// Which.
        spoken: u32,
    },
}

/// A question with its number, which nobody has used before on this connection.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    pub id: u64,
    pub question: Question,
}

/// The answer to the question of this number.
#[derive(Debug, Serialize, Deserialize)]
pub struct Response {
    pub id: u64,
    pub answer: Answer,
}

/// The questions of [`crate::runner::Runner`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// The daemon lives.
    Ping,
    /// Serve the store of this name.
    Serve(String),
    /// Whether the host is fit to run jobs.
    Ready,
    Start(Box<Order>),
    LookUp(Run),
    /// Answered when it has ended, or with `Ended(false)` after a while.
    Ended(Run),
    Renew {
        run: Run,
        lease_until: Option<Duration>,
    },
    Stop(Run),
    Collect(Run),
    News {
        run: Run,
        heard: Option<Heard>,
    },
    Runs,
    Forget {
        run: Run,
        failed: bool,
    },
    /// Tend what is kept, and remove that of these records.
    TendKept(Vec<u64>),
}

/// An answer; which kind belongs to which question, [`crate::runner::remote`] knows.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Done,
    State(State),
    Ended(bool),
    Report(Box<Report>),
    News(News),
    Runs(Vec<Run>),
    Kept { runs: Vec<Run>, bytes: u64 },
    Failed(Failure),
}

/// A run's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Run {
    pub record: u64,
    pub token: u64,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Alive,
    Ended,
    NeverStarted,
    Gone,
}

/// What the runner could not do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    Away(String),
    Host(String),
    Transient(String),
    Permanent(String),
    InDoubt(String),
}

/// What was said makes no sense; a sentence.
#[derive(Debug)]
pub struct Senseless(pub String);

impl Question {
    /// Which run it is about.
    pub fn run(&self) -> Option<Run> {
        match self {
            Self::Ping | Self::Serve(_) | Self::Ready | Self::Runs | Self::TendKept(_) => None,
            Self::Start(order) => Some(order.run),
            Self::LookUp(run)
            | Self::Ended(run)
            | Self::Stop(run)
            | Self::Collect(run)
            | Self::Renew { run, .. }
            | Self::News { run, .. }
            | Self::Forget { run, .. } => Some(*run),
        }
    }

    /// Whether it changes nothing, so that nobody has to see it done.
    pub fn only_looks(&self) -> bool {
        matches!(
            self,
            Self::Ping
                | Self::Ready
                | Self::LookUp(_)
                | Self::Ended(_)
                | Self::Collect(_)
                | Self::Runs
        )
    }

    /// Whether its answer may take as long as a run does, or its files are large.
    pub fn waits_long(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::Collect(_))
    }
}

impl From<RunKey> for Run {
    fn from(run: RunKey) -> Self {
        Self {
            record: run.record.get(),
            token: run.token.0,
        }
    }
}

impl TryFrom<Run> for RunKey {
    type Error = Senseless;

    fn try_from(run: Run) -> Result<Self, Senseless> {
        let record = RecordId::new(run.record);
        let record = record.ok_or_else(|| Senseless(format!("{}: no record", run.record)))?;
        Ok(Self {
            record,
            token: Token(run.token),
        })
    }
}

/// The records of a question.
pub fn records(numbers: Vec<u64>) -> Result<Vec<RecordId>, Senseless> {
    let record =
        |number| RecordId::new(number).ok_or_else(|| Senseless(format!("{number}: no record")));
    numbers.into_iter().map(record).collect()
}

/// The store of a question.
pub fn store_id(name: String) -> Result<StoreId, Senseless> {
    let senseless = || Senseless("the store's name is none".to_owned());
    StoreId::new(name).ok_or_else(senseless)
}

impl From<RunState> for State {
    fn from(state: RunState) -> Self {
        match state {
            RunState::Alive => Self::Alive,
            RunState::Ended => Self::Ended,
            RunState::NeverStarted => Self::NeverStarted,
            RunState::Gone => Self::Gone,
        }
    }
}

impl From<State> for RunState {
    fn from(state: State) -> Self {
        match state {
            State::Alive => Self::Alive,
            State::Ended => Self::Ended,
            State::NeverStarted => Self::NeverStarted,
            State::Gone => Self::Gone,
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Away(why) => Self::Away(why),
            RunError::Host(why) => Self::Host(why),
            RunError::Transient(why) => Self::Transient(why),
            RunError::Permanent(why) => Self::Permanent(why),
            RunError::InDoubt(why) => Self::InDoubt(why),
        }
    }
}

impl From<Failure> for RunError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Away(why) => Self::Away(why),
            Failure::Host(why) => Self::Host(why),
            Failure::Transient(why) => Self::Transient(why),
            Failure::Permanent(why) => Self::Permanent(why),
            Failure::InDoubt(why) => Self::InDoubt(why),
        }
    }
}

impl From<Senseless> for Failure {
    fn from(Senseless(what): Senseless) -> Self {
        Self::Permanent(format!("the daemon's question makes no sense: {what}"))
    }
}
