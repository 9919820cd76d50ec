//! The queues: one for each owner, whose requests are answered in their order.
//!
//! Two stages, so that the next request is read while the one before is in the store. A question
//! how many jobs are wanted takes a queue of its own, for its answer never waits for the store.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use tracing::{Instrument, Span, field};

use crate::bridge::{Bridge, Origin, incident};
use crate::job::Owner;
use crate::windmill::{CallKind, Reply, Request, peek_id, peek_kind};

use super::carrier::Letter;
use super::parcel::Parcel;
use super::vitals::{Vitals, call_name, outcome_name};

/// A document of more bytes is read on a thread of its own, for it takes milliseconds.
const LARGE_BYTES: usize = 64 * 1024;

/// Requests of a queue that are read while the one before is answered.
const READ_AHEAD: usize = 1;

/// A request in a lane.
pub(super) struct Work {
    /// What was asked, and the way that the answer takes.
    pub letter: Letter,
    /// Where it came from, for the bridge.
    pub origin: Origin,
    /// Under which everything about it is logged.
    span: Span,
}

/// Tasks of a lane.
const TASKS: usize = 4;

/// What became of reading it.
type Read = (Arc<Work>, Result<Request, Reply>);

/// The queues of all owners.
pub(super) struct Lanes {
    bridge: Arc<Bridge>,
    vitals: Arc<Vitals>,
    /// Emptied at shutdown: then every new request is told that we are busy.
    by_owner: HashMap<Owner, Lane>,
    /// How long each queue may be.
    queue: usize,
    /// Where answers go, for queues that begin later.
    replies: mpsc::Sender<Parcel>,
    /// Tasks of queues that are closed and have not ended yet.
    ending: usize,
    /// End by themselves when the lanes are gone and what was in them is answered.
    tasks: JoinSet<()>,
}

struct Lane {
    ordered: mpsc::Sender<Work>,
    express: mpsc::Sender<Work>,
}

impl Work {
    /// A request that has just arrived.
    pub(super) fn new(letter: Letter, origin: Origin) -> Self {
        let span = tracing::info_span!(
            "request",
            supervisor = %letter.from(),
            owner = %origin.owner,
            call = field::Empty,
            id = field::Empty,
            jobs = field::Empty,
            outcome = field::Empty,
            duration_ms = field::Empty,
        );
        Self {
            letter,
            origin,
            span,
        }
    }
}

impl Lanes {
    /// Empty queues of this length for these owners; answers go to `replies`.
    pub(super) fn start(
        owners: impl IntoIterator<Item = Owner>,
        queue: usize,
        bridge: &Arc<Bridge>,
        vitals: &Arc<Vitals>,
        replies: &mpsc::Sender<Parcel>,
    ) -> Self {
        let mut lanes = Self {
            bridge: bridge.clone(),
            vitals: vitals.clone(),
            by_owner: HashMap::new(),
            queue,
            replies: replies.clone(),
            ending: 0,
            tasks: JoinSet::new(),
        };
        lanes.serve(owners);
        lanes
    }

    /// From now on there are queues for these owners. What waits in others is answered.
    pub(super) fn serve(&mut self, owners: impl IntoIterator<Item = Owner>) {
        let mut before = std::mem::take(&mut self.by_owner);
        for owner in owners {
            let Entry::Vacant(place) = self.by_owner.entry(owner) else {
                continue;
            };
            let lane = before.remove(place.key());
            place.insert(lane.unwrap_or_else(|| {
                let (bridge, vitals) = (&self.bridge, &self.vitals);
                Lane::start(self.queue, bridge, vitals, &self.replies, &mut self.tasks)
            }));
        }
        self.ending += before.len() * TASKS;
    }

    /// Queues a request; the answer of one that cannot be queued.
    pub(super) fn submit(&self, work: Work) -> Option<Parcel> {
        let work = match self.by_owner.get(&work.origin.owner) {
            Some(lane) => lane.submit(work)?,
            None => work,
        };
        let reply = self.bridge.busy(work.letter.document(), &work.origin);
        let _in_span = work.span.enter();
        finish(&self.bridge, &self.vitals, &work, &reply)
    }

    /// How many requests of each owner wait.
    pub(super) fn waiting(&self) -> Vec<(Owner, usize)> {
        let lanes = self.by_owner.iter();
        lanes
            .map(|(owner, lane)| (owner.clone(), lane.waiting()))
            .collect()
    }

    /// Waits for a queue to break down, which none ever should.
    pub(super) async fn broken(&mut self) {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(())) if self.ending > 0 => self.ending -= 1,
                Some(_) => return,
                None => std::future::pending().await,
            }
        }
    }

    /// From now on nothing is queued.
    pub(super) fn close(&mut self) {
        self.by_owner.clear();
    }

    /// Waits, after [`close`](Self::close), until everything is answered.
    pub(super) async fn finished(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Lane {
    fn start(
        queue: usize,
        bridge: &Arc<Bridge>,
        vitals: &Arc<Vitals>,
        replies: &mpsc::Sender<Parcel>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let mut stages = || {
            let (sender, waiting) = mpsc::channel(queue.max(1));
            let (reader, read) = mpsc::channel(READ_AHEAD);
            let mut spawn = |stage: BoxFuture<'static, ()>| {
                let pulse = vitals.requests.member();
                tasks.spawn(async move { pulse.while_waiting(stage).await });
            };
            spawn(read_all(waiting, reader, bridge.clone()).boxed());
            let answer = answer_all(read, replies.clone(), bridge.clone(), vitals.clone());
            spawn(answer.boxed());
            sender
        };
        Self {
            ordered: stages(),
            express: stages(),
        }
    }

    fn waiting(&self) -> usize {
        let queues = [&self.ordered, &self.express].into_iter();
        queues
            .map(|queue| queue.max_capacity() - queue.capacity())
            .sum()
    }

    /// Gives the request back when there is no room for it.
    fn submit(&self, work: Work) -> Option<Work> {
        let queue = match peek_kind(work.letter.document()) {
            Some(CallKind::NumJobsWanted) => &self.express,
            _ => &self.ordered,
        };
        queue
            .try_send(work)
            .err()
            .map(mpsc::error::TrySendError::into_inner)
    }
}

async fn read_all(
    mut waiting: mpsc::Receiver<Work>,
    read: mpsc::Sender<Read>,
    bridge: Arc<Bridge>,
) {
    while let Some(work) = waiting.recv().await {
        let work = Arc::new(work);
        let request = read_one(&bridge, &work).await;
        if read.send((work, request)).await.is_err() {
            return;
        }
    }
}

async fn read_one(bridge: &Arc<Bridge>, work: &Arc<Work>) -> Result<Request, Reply> {
    let (reader, document) = (bridge.clone(), work.clone());
    let read = async move {
        let text = document.letter.document();
        tracing::debug!(document = text, "received");
        reader.read(text.as_bytes(), &document.origin).await
    };
    let read = read.instrument(work.span.clone());
    let request = if work.letter.document().len() > LARGE_BYTES {
        let here = Handle::current();
        spawn_blocking(move || here.block_on(read)).await.ok()
    } else {
        AssertUnwindSafe(read).catch_unwind().await.ok()
    };
    request.unwrap_or_else(|| {
        let document = work.letter.document();
        let id = peek_id(document).or_else(|| work.origin.stanza_id.clone());
        let fault = work.span.in_scope(|| incident("reading it panicked"));
        Err(bridge.fault(peek_kind(document), id, fault))
    })
}

async fn answer_all(
    mut read: mpsc::Receiver<Read>,
    replies: mpsc::Sender<Parcel>,
    bridge: Arc<Bridge>,
    vitals: Arc<Vitals>,
) {
    while let Some((work, request)) = read.recv().await {
        let answered = async {
            let reply = match request {
                Ok(request) => answer_one(&bridge, &work, request).await,
                Err(reply) => reply,
            };
            finish(&bridge, &vitals, &work, &reply)
        };
        if let Some(parcel) = answered.instrument(work.span.clone()).await
            && replies.send(parcel).await.is_err()
        {
            return;
        }
    }
}

async fn answer_one(bridge: &Bridge, work: &Work, request: Request) -> Reply {
    let (call, id) = (request.call.kind(), request.id.clone());
    work.span.record("jobs", request.call.job_count());
    let answer = AssertUnwindSafe(bridge.answer(request, &work.origin)).catch_unwind();
    answer
        .await
        .unwrap_or_else(|_| bridge.fault(Some(call), id, incident("answering it panicked")))
}

/// Logs and counts a request's end; the stanza that tells its sender, if it is to be told.
fn finish(bridge: &Bridge, vitals: &Vitals, work: &Work, reply: &Reply) -> Option<Parcel> {
    let span = &work.span;
    span.record("call", call_name(reply));
    span.record("id", reply.in_reply_to.as_deref().unwrap_or_default());
    span.record("outcome", outcome_name(reply));
    let taken = work.origin.arrived.elapsed();
    vitals.count(&work.origin.owner, reply, taken);
    span.record(
        "duration_ms",
        u64::try_from(taken.as_millis()).unwrap_or(u64::MAX),
    );
    if reply.call.is_some_and(CallKind::is_poll) {
        tracing::debug!("answered");
    } else {
        tracing::info!("answered");
    }
    if tracing::enabled!(tracing::Level::DEBUG) {
        tracing::debug!(document = bridge.write(reply), "sent");
    }
    bridge.testify(work.letter.document(), &work.origin, reply);
    let stanza = work.letter.answer(reply, bridge)?;
    let Some((until, later)) = bridge.good_until(reply, &work.origin) else {
        return Some(stanza.into());
    };
    let later = work.letter.answer(&later, bridge)?;
    Some(Parcel::turning(stanza, until, later))
}
