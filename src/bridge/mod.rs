//! The bridge: one call of a supervisor in, one reply out, over the task buffer. No I/O of its own.
//!
//! What it never does: say `rejected` where the buffer could not be asked, or say that a job is
//! stored before the commit has returned.

mod answers;
mod demand;
mod records;
mod rejecting;
mod room;
mod statuses;
mod telling;
mod truth;
mod witness;

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use crate::buffer::{BufferError, Notices, StoreRequest, TaskBuffer};
use crate::job::Owner;
use crate::job::policy::Clock;
use crate::windmill::{
    self, Answer, Call, CallKind, Existence, Fault, FaultCode, JobQuery, Limits, OpenCall, Reply,
    Request, Style, Submission, SubmittedJob,
};

use demand::Demand;
use telling::Telling;

pub use answers::incident;
pub use demand::IsAble;
pub use rejecting::rejections_are_kept;
pub use room::ReplyRoom;
pub use telling::{NEWS_LOT, News};
pub use truth::{Finding, Truth};
pub use witness::{Exchange, Witness};

/// When a supervisor that was told `busy` should come again.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Requests of fewer jobs are read anew when they are sent again.
const RECALL_JOBS: usize = 20;

/// What the configuration says of calls and replies.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What numJobsWanted is answered.
    pub jobs_wanted: u32,
    /// The same while jobs cannot be stored or run; `None`: no other number.
    pub wanted_when_unable: Option<u32>,
    /// How large a request may be.
    pub limits: Limits,
    /// Whether an executeJobs of which every job is stored is answered on message carriers.
    pub receipts: bool,
    /// Whether the extensions of getStatusResponse are left out.
    pub strict: bool,
    /// How late an executeJobs may be delivered.
    pub max_age: Duration,
    /// How long after its arrival a request may wait for the store.
    pub timeout: Duration,
}

/// Where a request came from, as far as its answer depends on it.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Whose jobs it is about.
    pub owner: Owner,
    /// When it arrived.
    pub arrived: Instant,
    /// When it was sent, where it was delayed on its way.
    pub sent_at: Option<Timestamp>,
    /// It was not sent before this, for then its line was known to hold nothing back. `None`: it
    /// came by no line that could.
    pub line_empty_at: Option<Timestamp>,
    /// Serves as the request's ID where it has none.
    pub stanza_id: Option<String>,
    /// How long the answer may be.
    pub room: ReplyRoom,
}

/// One call in, one reply out.
pub struct Bridge {
    buffer: Arc<dyn TaskBuffer>,
    clock: Arc<dyn Clock>,
    /// May change while running.
    settings: RwLock<Settings>,
    /// Whom fixJobs asks; nobody, where no jobs are run.
    truth: Option<Arc<dyn Truth>>,
    /// Who is told of changes unasked; nobody, unless it is configured.
    telling: Option<Telling>,
    /// Hears everything; nobody, unless an operator may ask for it.
    witness: Option<Arc<dyn Witness>>,
    demand: Demand,
}

impl Bridge {
    /// A bridge over this buffer.
    #[must_use]
    pub fn new(buffer: Arc<dyn TaskBuffer>, clock: Arc<dyn Clock>, settings: Settings) -> Self {
        Self {
            buffer,
            clock,
            settings: RwLock::new(settings),
            truth: None,
            telling: None,
            witness: None,
            demand: Demand::default(),
        }
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// From now on calls are answered like this.
    pub fn reconfigure(&self, settings: Settings) {
        *self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// The time of day that it goes by.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    fn settings(&self) -> Settings {
        *self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, where jobs are run.
    #[must_use]
    pub fn with_truth(mut self, truth: Arc<dyn Truth>) -> Self {
        self.truth = Some(truth);
        self
    }

    /// The same, with owners whose supervisors are told of changes unasked.
    #[must_use]
    pub fn with_telling(mut self, notices: Arc<dyn Notices>, owners: HashSet<Owner>) -> Self {
        self.telling = Some(Telling { notices, owners });
        self
    }

    /// The same; somebody may hear what is asked and answered.
    #[must_use]
    pub fn with_witness(mut self, witness: Arc<dyn Witness>) -> Self {
        self.witness = Some(witness);
        self
    }

    /// Lets the witness hear what was answered to a document.
    pub fn testify(&self, document: &str, origin: &Origin, reply: &Reply) {
        let Some(witness) = self.witness.as_ref().filter(|one| one.is_listening()) else {
            return;
        };
        witness.hear(Exchange {
            owner: origin.owner.clone(),
            call: reply.call,
            document: document.to_owned(),
            reply: self.write(reply),
        });
    }

    /// Reads a document, or says what is wrong with it. For large documents that is some
    /// milliseconds of work, and a question to the buffer that ends by `settings.timeout`.
    pub async fn read(&self, document: &[u8], origin: &Origin) -> Result<Request, Reply> {
        let read = async {
            let call = windmill::open_call(document, &self.settings().limits)?;
            let known = self.sent_before(&call, origin).await;
            call.read(known)
        };
        match read.await {
            Ok(mut request) => {
                request.id = request.id.or_else(|| origin.stanza_id.clone());
                Ok(request)
            }
            Err(error) => {
                let fault = Fault::new(error.code, error.to_string());
                let id = error.id.or_else(|| origin.stanza_id.clone());
                Err(self.fault(error.call, id, fault))
            }
        }
    }

    /// What the buffer has kept of a request's jobs: to compare is quicker than to read anew. The
    /// first job tells whether the request is likely to be sent again.
    async fn sent_before(&self, call: &OpenCall<'_>, origin: &Origin) -> Vec<Option<SubmittedJob>> {
        let keys = call.job_keys();
        let Some(first) = keys.get(..1).filter(|_| keys.len() >= RECALL_JOBS) else {
            return Vec::new();
        };
        let recall = |keys| self.ask(origin, self.buffer.recall(&origin.owner, keys));
        let kept = match recall(first).await.as_deref() {
            Ok([Some(_)]) => recall(&keys).await.unwrap_or_default(),
            // Whether it is away is said when it is asked to store.
            _ => Vec::new(),
        };
        let known = keys.into_iter().zip(kept);
        known
            .map(|(key, kept)| {
                kept.map(|kept| SubmittedJob {
                    key,
                    priority: kept.priority,
                    content: kept.content,
                    xml: kept.payload,
                })
            })
            .collect()
    }

    /// Answers a request. Ends by `settings.timeout` after its arrival, whatever the store does.
    pub async fn answer(&self, request: Request, origin: &Origin) -> Reply {
        let mut reply = Reply {
            call: Some(request.call.kind()),
            in_reply_to: request.id,
            content: Err(answers::reply_too_large()),
        };
        if !self.worst_answer_fits(&request.call, &reply, origin.room) {
            return reply;
        }
        reply.content = match request.call {
            Call::NumJobsWanted(_) => Ok(Answer::NumJobs(self.jobs_wanted())),
            Call::ExecuteJobs(jobs) => self.execute(jobs, origin).await,
            Call::GetExecutorData(jobs) => Ok(self.executor_data(jobs, origin).await),
            Call::GetStatus(records) => return self.status(records, reply, origin).await,
            Call::KillJobs(records) => self.kill(records, origin).await,
            Call::FixJobs(records) => self.fix(records, origin).await,
            Call::Ack(changes) => self.acknowledge(&changes, origin).await,
        };
        self.fit(reply, origin.room)
    }

    /// A reply that says why there is no other one.
    #[must_use]
    pub fn fault(&self, call: Option<CallKind>, id: Option<String>, fault: Fault) -> Reply {
        Reply {
            call,
            in_reply_to: id,
            content: Err(fault),
        }
    }

    /// What is said when a request cannot even be queued. Looks at the document's first tag only.
    #[must_use]
    pub fn busy(&self, document: &str, origin: &Origin) -> Reply {
        let text = "too many requests are waiting, or the executor is stopping; nothing was done";
        let mut fault = Fault::new(FaultCode::Busy, text);
        fault.retry_after = Some(BUSY_RETRY_AFTER);
        let id = windmill::peek_id(document).or_else(|| origin.stanza_id.clone());
        self.fault(windmill::peek_kind(document), id, fault)
    }

    /// Whether the reply is to be sent on a carrier that does not demand one.
    #[must_use]
    pub fn wants_receipt(&self, reply: &Reply) -> bool {
        match &reply.content {
            Ok(Answer::Receipts(receipts)) => {
                self.settings().receipts || !answers::only_say_stored(receipts)
            }
            Ok(Answer::Acknowledged) => false,
            _ => true,
        }
    }

    /// The reply as text.
    #[must_use]
    pub fn write(&self, reply: &Reply) -> String {
        windmill::write_reply(
            reply,
            Style {
                strict: self.settings().strict,
            },
        )
    }

    async fn execute(&self, jobs: Vec<Submission>, origin: &Origin) -> Result<Answer, Fault> {
        let now = self.clock.now();
        self.refuse_old(origin, now)?;
        let receipts = answers::open_receipts(&jobs);
        let (jobs, refusals) = answers::for_the_store(jobs);
        let (sent_at, prompt_until) = rejecting::earliest(origin, now);
        let request = StoreRequest {
            owner: origin.owner.clone(),
            jobs,
            refusals,
            sent_at,
            prompt_until,
            now,
        };
        let stored = self.ask(origin, self.buffer.store(request)).await;
        let stored = stored.map_err(|error| answers::store_fault(&error))?;
        answers::receipts(receipts, stored)
    }

    /// Its supervisor may long have given the jobs to another.
    fn refuse_old(&self, origin: &Origin, now: Timestamp) -> Result<(), Fault> {
        let Some(sent_at) = origin.sent_at else {
            return Ok(());
        };
        let age = Duration::try_from(now.duration_since(sent_at)).unwrap_or_default();
        if age <= self.settings().max_age {
            return Ok(());
        }
        Err(answers::too_old(age, self.settings().max_age))
    }

    async fn executor_data(&self, jobs: Vec<JobQuery>, origin: &Origin) -> Answer {
        let keys: Vec<_> = jobs
            .into_iter()
            .map(|job| (job.job_id, job.attempt))
            .collect();
        let found = self
            .ask(origin, self.buffer.find_jobs(&origin.owner, &keys))
            .await;
        let found = answers::each_or_unreachable(found, keys.len());
        let mut data = answers::executor_data(keys, found);
        // Somebody may have stored one since the look-up.
        let mut rejected: Vec<_> = data
            .iter_mut()
            .filter(|entry| entry.is_rejected())
            .collect();
        let keys = rejected
            .iter()
            .map(|entry| (entry.job_id.clone(), entry.attempt))
            .collect();
        let confirmed = self
            .remember_rejected(keys, origin)
            .await
            .unwrap_or_default();
        let mut confirmed = confirmed.into_iter();
        for entry in &mut rejected {
            if confirmed.next() != Some(true) {
                entry.existence = Existence::Unknown;
            }
        }
        Answer::ExecutorData(data)
    }

    /// Bounds a question to the buffer by the request's deadline.
    async fn ask<T>(
        &self,
        origin: &Origin,
        question: impl Future<Output = Result<T, BufferError>>,
    ) -> Result<T, BufferError> {
        let limit = self.settings().timeout;
        let answer = timeout_at(origin.arrived + limit, question).await;
        let answer = answer.unwrap_or_else(|_| {
            let limit = limit.as_millis();
            let text = format!("no answer within {limit} ms of the request's arrival");
            Err(BufferError::Unreachable(text))
        });
        answer.inspect_err(|error| match error {
            // The gate says once that it began, and once that it ended.
            BufferError::ReadOnly(_) | BufferError::Full(_) => {
                tracing::debug!(owner = %origin.owner, %error, "the task buffer refused a write");
            }
            _ => tracing::warn!(owner = %origin.owner, %error, "the task buffer gave no answer"),
        })
    }

    /// Whether the answer will fit, whatever it is: asked before anything is done that could not
    /// be told. A question does nothing, so its answer is measured when it is there.
    fn worst_answer_fits(&self, call: &Call, reply: &Reply, room: ReplyRoom) -> bool {
        answers::worst(call).is_none_or(|worst| {
            let mut reply = reply.clone();
            reply.content = Ok(worst);
            room.holds(&self.write(&reply))
        })
    }

    /// Shortens a reply that is too long for its carrier, or says that it is.
    fn fit(&self, mut reply: Reply, room: ReplyRoom) -> Reply {
        let holds = |reply: &Reply| room.holds(&self.write(reply));
        if !holds(&reply) {
            answers::drop_texts(&mut reply);
        }
        // Who asks for one job cannot ask for fewer.
        while !holds(&reply) {
            if !answers::drop_outputs_of_one(&mut reply) {
                reply.content = Err(answers::reply_too_large());
                break;
            }
        }
        reply
    }
}
