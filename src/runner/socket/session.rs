//! One daemon's questions, from its greeting until it is gone.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::frames::{self, FrameError, Receiver, Sender};
use super::wire::{self, Answer, Failure, Question, Request, Response, Run, Senseless};
use super::{SILENCE_LIMIT, WAIT_ROUND};
use crate::job::{RecordId, RunKey, RunOrder, StoreId};
use crate::runner::{self, Kept, RunError, Runner};

/// So many questions are answered at a time; others wait unread.
const MAX_QUESTIONS: usize = 256;
/// So many ends of runs are waited for and collected at a time; more are answered `Transient`.
const MAX_WAITS: usize = 16_384;
/// So many answers wait for the daemon to take them.
const OUTBOX: usize = 256;

/// What is being done for a daemon.
struct Session {
    runner: Arc<dyn Runner>,
    outbox: mpsc::Sender<Response>,
    questions: Arc<Semaphore>,
    waits: Arc<Semaphore>,
    /// What changes something: seen done before another daemon is served.
    deeds: TaskTracker,
    /// What only looks: dropped when the daemon is gone.
    looks: TaskTracker,
    gone: CancellationToken,
    /// The starts that are not done yet. Whoever asks about such a run waits, else a start that is
    /// still on its way would be taken for one that never was.
    starts: HashMap<Run, CancellationToken>,
}

/// Answers until the daemon is gone, makes no sense, or `stop`. What it wanted done is done then.
pub(super) async fn serve(
    receiver: Receiver,
    sender: Sender,
    runner: &Arc<dyn Runner>,
    stop: &CancellationToken,
) {
    let (outbox, answers) = mpsc::channel(OUTBOX);
    let gone = CancellationToken::new();
    let mut session = Session {
        runner: runner.clone(),
        outbox,
        questions: Arc::new(Semaphore::new(MAX_QUESTIONS)),
        waits: Arc::new(Semaphore::new(MAX_WAITS)),
        deeds: TaskTracker::new(),
        looks: TaskTracker::new(),
        gone: gone.clone(),
        starts: HashMap::new(),
    };
    let over = tokio::select! {
        biased;
        () = stop.cancelled() => None,
        Err(error) = write(sender, answers) => Some(error),
        Err(error) = session.read(receiver) => Some(error),
    };
    gone.cancel();
    session.deeds.close();
    session.deeds.wait().await;
    match over {
        Some(FrameError::Ended) => tracing::info!("the daemon is gone"),
        Some(error) => tracing::warn!(%error, "the daemon is served no more"),
        None => (),
    }
}

async fn write(
    mut sender: Sender,
    mut answers: mpsc::Receiver<Response>,
) -> Result<(), FrameError> {
    while let Some(response) = answers.recv().await {
        let frame = match frames::encode(&response) {
            Err(error @ FrameError::TooLong(_)) => frames::encode(&Response {
                id: response.id,
                answer: Answer::Failed(Failure::Permanent(error.to_string())),
            }),
            frame => frame,
        };
        sender.send(frame?).await?;
    }
    Ok(())
}

impl Session {
    async fn read(&mut self, mut receiver: Receiver) -> Result<(), FrameError> {
        loop {
            let Request { id, question } = receiver.next(SILENCE_LIMIT).await?;
            self.take_on(id, question).await;
        }
    }

    async fn take_on(&mut self, id: u64, question: Question) {
        let room = if question.waits_long() {
            self.waits.clone().try_acquire_owned().ok()
        } else {
            self.questions.clone().acquire_owned().await.ok()
        };
        let outbox = self.outbox.clone();
        let Some(room) = room else {
            let why = format!("{MAX_WAITS} runs are waited for already");
            let answer = Answer::Failed(Failure::Transient(why));
            // Whoever asked may be gone.
            let _ = outbox.send(Response { id, answer }).await;
            return;
        };
        let (before, begun) = self.turn(&question);
        let (runner, looks) = (self.runner.clone(), question.only_looks());
        let task = async move {
            if let Some(before) = before {
                before.cancelled().await;
            }
            let answer = answer(&*runner, question).await;
            drop(begun);
            let _ = outbox.send(Response { id, answer }).await;
            drop::<OwnedSemaphorePermit>(room);
        };
        if looks {
            self.looks.spawn(until(self.gone.clone(), task));
        } else {
            self.deeds.spawn(task);
        }
    }

    /// What a question has to wait for, and what others have to wait for that come after it.
    fn turn(&mut self, question: &Question) -> (Option<CancellationToken>, Option<DropGuard>) {
        let Some(run) = question.run() else {
            return (None, None);
        };
        let before = self.starts.get(&run).cloned();
        let begun = matches!(question, Question::Start(_)).then(|| {
            let done = CancellationToken::new();
            self.starts.retain(|_, start| !start.is_cancelled());
            self.starts.insert(run, done.clone());
            done.drop_guard()
        });
        (before, begun)
    }
}

async fn until(gone: CancellationToken, task: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = gone.cancelled() => (),
        () = task => (),
    }
}

async fn answer(runner: &dyn Runner, question: Question) -> Answer {
    let answered = match question {
        Question::Ping => Ok(Answer::Done),
        Question::Serve(store) => serve_store(runner, wire::store_id(store)).await,
        Question::Ready => runner.ready().await.map_err(Failure::from).map(done),
        Question::Start(order) => start(runner, RunOrder::try_from(*order)).await,
        Question::Runs => runner.runs().await.map_err(Failure::from).map(|runs| {
            let runs = runs.into_iter().map(Run::from);
            Answer::Runs(runs.collect())
        }),
        Question::TendKept(purged) => tend_kept(runner, wire::records(purged)).await,
        Question::LookUp(run) => {
            about(
                run,
                |run| runner.look_up(run),
                |state| Answer::State(state.into()),
            )
            .await
        }
        Question::Ended(run) => about(run, |run| ended(runner, run), Answer::Ended).await,
        Question::Renew { run, lease_until } => {
            about(run, |run| runner.renew(run, lease_until), done).await
        }
        Question::Stop(run) => about(run, |run| runner.stop(run), done).await,
        Question::Collect(run) => {
            about(
                run,
                |run| runner.collect(run),
                |report| Answer::Report(Box::new(report.into())),
            )
            .await
        }
        Question::News { run, heard } => {
            about(
                run,
                |run| runner.news(run, heard.map(runner::Heard::from)),
                |news| Answer::News(news.into()),
            )
            .await
        }
        Question::Forget { run, failed } => {
            about(run, |run| runner.forget(run, failed), done).await
        }
    };
    answered.unwrap_or_else(Answer::Failed)
}

async fn serve_store(
    runner: &dyn Runner,
    store: Result<StoreId, Senseless>,
) -> Result<Answer, Failure> {
    runner.serve(&store?).await.map_err(Failure::from).map(done)
}

async fn start(runner: &dyn Runner, order: Result<RunOrder, Senseless>) -> Result<Answer, Failure> {
    runner.start(&order?).await.map_err(Failure::from).map(done)
}

async fn tend_kept(
    runner: &dyn Runner,
    purged: Result<Vec<RecordId>, Senseless>,
) -> Result<Answer, Failure> {
    let Kept { runs, bytes } = runner.tend_kept(&purged?).await?;
    let runs = runs.into_iter().map(Run::from).collect();
    Ok(Answer::Kept { runs, bytes })
}

fn done((): ()) -> Answer {
    Answer::Done
}

/// Asks about a run, if it is one.
async fn about<T, Asked>(
    run: Run,
    ask: impl FnOnce(RunKey) -> Asked,
    answer: impl FnOnce(T) -> Answer,
) -> Result<Answer, Failure>
where
    Asked: Future<Output = Result<T, RunError>>,
{
    let run = RunKey::try_from(run)?;
    ask(run).await.map_err(Failure::from).map(answer)
}

/// Whether it ended within one round.
async fn ended(runner: &dyn Runner, run: RunKey) -> Result<bool, RunError> {
    match timeout(WAIT_ROUND, runner.ended(run)).await {
        Ok(ended) => ended.map(|()| true),
        Err(_) => Ok(false),
    }
}
