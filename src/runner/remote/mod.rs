//! A runner in another process, reached over its [`super::socket`].

mod connection;
mod link;

use std::time::Duration;

use async_trait::async_trait;

use super::socket::wire::{self, Answer, Order, Question, Senseless};
use super::{Heard, Kept, News, RunError, RunState, Runner};
use crate::job::{RecordId, RunKey, RunOrder, RunReport, RunsFolder, StoreId};

pub use connection::{ConnectError, Settings, probe};
pub use link::Link;

/// A runner in another process. It is bound to the holder whose runs it was asked for first: where
/// another one listens at its place by now, it is away, for that one knows nothing of these runs.
#[derive(Clone)]
pub struct RemoteRunner {
    link: Link,
    holder: String,
    folder: Option<RunsFolder>,
}

/// Why there is no answer.
enum Unanswered {
    /// The question was not sent.
    Away(String),
    /// Nobody knows whether it arrived.
    Lost,
}

impl RemoteRunner {
    /// The name under which its user holds claims.
    #[must_use]
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// The folder of its runs; `None`: it does not tell.
    #[must_use]
    pub fn folder(&self) -> Option<&RunsFolder> {
        self.folder.as_ref()
    }

    /// Returns once a runner of another holder listens at its place.
    pub async fn replaced(&self) {
        self.link.other_than(&self.holder).await;
    }

    async fn ask(&self, question: Question) -> Result<Answer, Unanswered> {
        let Some(connection) = self.link.current() else {
            return Err(Unanswered::Away("no connection to it".to_owned()));
        };
        if connection.holder != self.holder {
            let why = format!("{} is in its place", connection.holder);
            return Err(Unanswered::Away(why));
        }
        connection.ask(question).await
    }

    /// Asks what may be asked again.
    async fn look(&self, question: Question) -> Result<Answer, RunError> {
        match self.ask(question).await {
            Ok(Answer::Failed(failure)) => Err(failure.into()),
            Ok(answer) => Ok(answer),
            Err(Unanswered::Away(why)) => Err(RunError::Away(why)),
            Err(Unanswered::Lost) => Err(RunError::Transient(LOST.to_owned())),
        }
    }

    async fn have_done(&self, question: Question) -> Result<(), RunError> {
        match self.look(question).await? {
            Answer::Done => Ok(()),
            answer => Err(senseless(&answer)),
        }
    }
}

const LOST: &str = "the connection ended before its answer came";

fn senseless(answer: &Answer) -> RunError {
    RunError::Transient(format!("its answer makes no sense: {answer:?}"))
}

impl From<Senseless> for RunError {
    fn from(Senseless(what): Senseless) -> Self {
        Self::Transient(format!("its answer makes no sense: {what}"))
    }
}

#[async_trait]
impl Runner for RemoteRunner {
    fn is_there(&self) -> bool {
        let current = self.link.current();
        current.is_some_and(|connection| connection.holder == self.holder)
    }

    async fn serve(&self, store: &StoreId) -> Result<(), RunError> {
        self.have_done(Question::Serve(store.as_str().to_owned()))
            .await
    }

    async fn ready(&self) -> Result<(), RunError> {
        self.have_done(Question::Ready).await
    }

    async fn start(&self, order: &RunOrder) -> Result<(), RunError> {
        let question = Question::Start(Box::new(Order::from(order)));
        match self.ask(question).await {
            Ok(Answer::Done) => Ok(()),
            Ok(Answer::Failed(failure)) => Err(failure.into()),
            Ok(answer) => Err(RunError::InDoubt(format!("it answers {answer:?}"))),
            Err(Unanswered::Away(why)) => Err(RunError::Away(why)),
            Err(Unanswered::Lost) => Err(RunError::InDoubt(LOST.to_owned())),
        }
    }

    async fn look_up(&self, run: RunKey) -> Result<RunState, RunError> {
        match self.look(Question::LookUp(run.into())).await? {
            Answer::State(state) => Ok(state.into()),
            answer => Err(senseless(&answer)),
        }
    }

    async fn ended(&self, run: RunKey) -> Result<(), RunError> {
        loop {
            match self.look(Question::Ended(run.into())).await? {
                Answer::Ended(true) => return Ok(()),
                Answer::Ended(false) => (),
                answer => return Err(senseless(&answer)),
            }
        }
    }

    async fn renew(&self, run: RunKey, lease_until: Option<Duration>) -> Result<(), RunError> {
        let run = run.into();
        self.have_done(Question::Renew { run, lease_until }).await
    }

    async fn stop(&self, run: RunKey) -> Result<(), RunError> {
        self.have_done(Question::Stop(run.into())).await
    }

    async fn collect(&self, run: RunKey) -> Result<RunReport, RunError> {
        match self.look(Question::Collect(run.into())).await? {
            Answer::Report(report) => Ok((*report).try_into()?),
            answer => Err(senseless(&answer)),
        }
    }

    async fn news(&self, run: RunKey, heard: Option<Heard>) -> Result<News, RunError> {
        let run = run.into();
        match self
            .look(Question::News {
                run,
                heard: heard.map(wire::Heard::from),
            })
            .await?
        {
            Answer::News(news) => Ok(news.try_into()?),
            answer => Err(senseless(&answer)),
        }
    }

    async fn runs(&self) -> Result<Vec<RunKey>, RunError> {
        match self.look(Question::Runs).await? {
            Answer::Runs(runs) => {
                let runs: Result<_, Senseless> = runs.into_iter().map(RunKey::try_from).collect();
                Ok(runs?)
            }
            answer => Err(senseless(&answer)),
        }
    }

    async fn forget(&self, run: RunKey, failed: bool) -> Result<(), RunError> {
        let run = run.into();
        self.have_done(Question::Forget { run, failed }).await
    }

    async fn tend_kept(&self, purged: &[RecordId]) -> Result<Kept, RunError> {
        let purged = purged.iter().map(|record| record.get()).collect();
        match self.look(Question::TendKept(purged)).await? {
            Answer::Kept { runs, bytes } => {
                let runs: Result<_, Senseless> = runs.into_iter().map(RunKey::try_from).collect();
                Ok(Kept { runs: runs?, bytes })
            }
            answer => Err(senseless(&answer)),
        }
    }
}
