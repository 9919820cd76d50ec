//! A store in memory that is deterministic, and that fails in every way that stores do.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use rand::RngExt;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::checks;
use super::world::{Inside, World};
use crate::buffer::{
    AdvanceRequest, Advanced, BufferError, Change, ClaimRequest, Claimed, Claims, Holder, Lease,
    Leases, OpenBreaker, Orders, Presence, ProgressReport, Renewed, Seen,
};
use crate::job::{
    Action, Attempt, Effect, JobId, JobKey, Owner, RecordId, Ruling, Standing, State, StoreId,
    Token, Transition,
};

/// A job's row.
pub struct Row {
    pub standing: Standing,
    pub holder: Option<Holder>,
    pub due_at: Option<Timestamp>,
    pub priority: i32,
    pub payload: &'static str,
    /// Everything that happened to it, and where it led.
    pub events: Vec<(Transition, State)>,
    /// How often somebody wanted it run again.
    pub reruns: u32,
}

impl Row {
    pub fn new(priority: i32, payload: &'static str) -> Self {
        Self {
            standing: Standing {
                state: State::Ready,
                token: Token(0),
                renewal: 0,
                runs: 0,
                abandons: 0,
                kill_requested: false,
            },
            holder: None,
            due_at: None,
            priority,
            payload,
            events: Vec::new(),
            reruns: 0,
        }
    }

    pub fn is_held(&self) -> bool {
        matches!(self.standing.state, State::Claimed | State::Running)
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.due_at.is_none_or(|due| due <= now)
    }

    /// The only way a row changes its state.
    fn take(&mut self, transition: Transition, state: State) {
        self.standing.state = state;
        self.events.push((transition, state));
        if !self.is_held() {
            self.holder = None;
        }
    }
}

/// The store as one machine reaches it.
pub struct StoreLine {
    pub world: World,
    pub machine: usize,
}

/// What goes wrong with a question.
enum Fault {
    None,
    /// It does not arrive.
    Before,
    /// Its answer does not arrive.
    After,
    /// It takes this long to arrive, and its answer this long.
    Slow(Duration, Duration),
}

impl StoreLine {
    fn fault(&self) -> Fault {
        let mut inside = self.world.lock();
        let now = Instant::now();
        let away = inside.store_away_until > now;
        if away || inside.machines[self.machine].cut_off_until > now {
            return match inside.below(3) {
                0 => Fault::Slow(Duration::from_millis(1500), Duration::ZERO),
                _ => Fault::Before,
            };
        }
        if !inside.stormy || inside.chance(0.85) {
            return Fault::None;
        }
        let mut millis = |most| Duration::from_millis(inside.dice.random_range(0..=most));
        match millis(9).as_millis() {
            0 => Fault::Before,
            1 | 2 => Fault::After,
            3 => Fault::Slow(millis(5000), Duration::ZERO),
            4 => Fault::Slow(Duration::ZERO, millis(5000)),
            _ => Fault::Slow(millis(100), millis(100)),
        }
    }

    /// Asks: the store does what it is asked to also when nobody waits for the answer any more.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Inside) -> T + Send + 'static,
    ) -> Result<T, BufferError> {
        self.world.moment_of(self.machine).await;
        let answer = self.carry(question).await;
        self.world.moment_of(self.machine).await;
        answer
    }

    async fn carry<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Inside) -> T + Send + 'static,
    ) -> Result<T, BufferError> {
        let lost = || Err(BufferError::Unreachable("so it goes".to_owned()));
        match self.fault() {
            Fault::None => Ok(question(&mut self.world.lock())),
            Fault::Before => lost(),
            Fault::After => {
                question(&mut self.world.lock());
                lost()
            }
            Fault::Slow(there, back) => {
                let (sender, answer) = oneshot::channel();
                let world = self.world.clone();
                tokio::spawn(async move {
                    sleep(there).await;
                    let done = question(&mut world.lock());
                    sleep(back).await;
                    let _ = sender.send(done);
                });
                answer.await.or_else(|_| lost())
            }
        }
    }
}

#[async_trait]
impl Claims for StoreLine {
    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claimed>, BufferError> {
        self.ask(move |inside| claim(inside, &request)).await
    }

    async fn advance(&self, request: AdvanceRequest) -> Result<Vec<Advanced>, BufferError> {
        self.ask(move |inside| {
            let records: BTreeSet<_> = request.changes.iter().map(|change| change.id).collect();
            let mut is_locked = |_: &RecordId| inside.stormy && inside.chance(0.03);
            let busy: BTreeSet<_> = records.into_iter().filter(|id| is_locked(id)).collect();
            let changes = request.changes.iter();
            changes
                .map(|change| {
                    if busy.contains(&change.id) {
                        Advanced::Busy
                    } else {
                        advance(inside, change, &request)
                    }
                })
                .collect()
        })
        .await
    }

    async fn renew(&self, claims: &[(RecordId, Token)]) -> Result<Vec<Renewed>, BufferError> {
        let claims = claims.to_vec();
        self.ask(move |inside| {
            let renew = |(id, token): &(RecordId, Token)| match inside.rows.get_mut(id) {
                Some(row) if row.is_held() && row.standing.token == *token => {
                    row.standing.renewal += 1;
                    Renewed::Held
                }
                _ => Renewed::Lost,
            };
            claims.iter().map(renew).collect()
        })
        .await
    }

    async fn report(&self, report: ProgressReport) -> Result<bool, BufferError> {
        let is_latest = move |inside: &mut Inside| {
            let row = &inside.rows[&report.id];
            row.is_held() && row.standing.token == report.token
        };
        self.ask(is_latest).await
    }

    async fn promise(&self, _: &Holder, _: Leases) -> Result<(), BufferError> {
        self.ask(|_| ()).await
    }

    async fn note_breaker(&self, _: &Holder, _: Option<&OpenBreaker>) -> Result<(), BufferError> {
        self.ask(|_| ()).await
    }

    async fn appear(&self, _: &Presence) -> Result<Option<Seen>, BufferError> {
        self.ask(|_| None).await
    }

    async fn store_id(&self) -> Result<StoreId, BufferError> {
        self.ask(|_| StoreId::new("model".to_owned()).unwrap())
            .await
    }

    async fn purged(&self, _: &[RecordId]) -> Result<Vec<RecordId>, BufferError> {
        Ok(Vec::new())
    }

    async fn leases(&self) -> Result<Vec<Lease>, BufferError> {
        self.ask(|inside| {
            let held = inside.rows.iter().filter(|(_, row)| row.is_held());
            let lease = |(id, row): (&RecordId, &Row)| Lease {
                id: *id,
                token: row.standing.token,
                renewal: row.standing.renewal,
                state: row.standing.state,
                holder: row.holder.clone().unwrap(),
                promised: None,
            };
            held.map(lease).collect()
        })
        .await
    }

    async fn orders(
        &self,
        holder: &Holder,
        _daemon: &str,
        claims: &[(RecordId, Token)],
    ) -> Result<Orders, BufferError> {
        let (holder, claims) = (holder.clone(), claims.to_vec());
        self.ask(move |inside| {
            let ours = |row: &Row| row.is_held() && row.holder.as_ref() == Some(&holder);
            let wished = inside
                .rows
                .iter()
                .filter(|(_, row)| ours(row) && row.standing.kill_requested);
            let is_lost = |(id, token): &(RecordId, Token)| {
                let row = &inside.rows[id];
                !row.is_held() || row.standing.token != *token
            };
            Orders {
                kill: wished.map(|(id, _)| *id).collect(),
                lost: claims.into_iter().filter(is_lost).collect(),
                drain: inside.draining,
            }
        })
        .await
    }
}

fn claim(inside: &mut Inside, request: &ClaimRequest) -> Vec<Claimed> {
    for row in inside.rows.values_mut() {
        if row.standing.state == State::Scheduled && row.is_due(request.now) {
            row.take(Transition::Due, State::Ready);
        }
    }
    let is_ready = |row: &Row| row.standing.state == State::Ready && row.is_due(request.now);
    let ready = inside.rows.iter().filter(|(_, row)| is_ready(row));
    let ready = ready.filter(|(id, _)| Some(**id) != request.pass_over);
    let mut ready: Vec<_> = ready.map(|(id, row)| (-row.priority, *id)).collect();
    ready.sort_unstable();
    ready.truncate(request.most as usize);
    let mut claimed = Vec::new();
    for (_, id) in ready {
        let row = inside.rows.get_mut(&id).unwrap();
        row.take(Transition::Claim, State::Claimed);
        row.standing.token.0 += 1;
        row.standing.renewal = 0;
        row.holder = Some(request.holder.clone());
        row.due_at = None;
        claimed.push(Claimed {
            id,
            token: row.standing.token,
            owner: Owner::new("prodsys").unwrap(),
            key: JobKey {
                job_id: JobId::new(id.to_string()).unwrap(),
                attempt: Attempt::FIRST,
            },
            runs: row.standing.runs,
            payload: row.payload.to_owned(),
        });
        let token = row.standing.token;
        inside.tell(|| format!("{} claims {id}-{token}", request.holder));
    }
    claimed
}

fn advance(inside: &mut Inside, change: &Change, request: &AdvanceRequest) -> Advanced {
    let fenceless = inside.sabotage.no_fence;
    let Some(row) = inside.rows.get_mut(&change.id) else {
        return Advanced::Missing;
    };
    let (state, mut fence) = (row.standing.state, change.fence);
    if fenceless {
        fence.token = row.standing.token;
    }
    let ruling = row
        .standing
        .rule(fence, change.step, &request.limits, change.dice);
    let token = change.fence.token;
    let answer = match ruling {
        Ruling::Stale => Advanced::Stale(state),
        Ruling::AlreadyDone => Advanced::Done(state),
        Ruling::Move(to) => {
            row.standing.runs = to.runs;
            row.standing.abandons = to.abandons;
            let wait = to.wait.map(|wait| SignedDuration::try_from(wait).unwrap());
            row.due_at = wait.map(|wait| request.now + wait);
            row.take(to.transition, to.state);
            checks::after_step(inside, change);
            Advanced::Done(to.state)
        }
    };
    inside.tell(|| {
        let reason = change.reason.as_deref().unwrap_or_default();
        format!(
            "{}-{token} {:?} -> {answer:?} {reason}",
            change.id, change.step
        )
    });
    answer
}

/// What an operator does, by the rules for operators.
pub fn operate(inside: &mut Inside, id: RecordId, action: Action) {
    let row = inside.rows.get_mut(&id).unwrap();
    match action.apply(row.standing.state, false, false) {
        Ok(Effect::Moved(state)) => {
            let transition = match action {
                Action::Kill => Transition::Cancel,
                Action::Hold => Transition::Hold,
                Action::Release => Transition::Release,
                Action::Rerun => Transition::Rerun,
                Action::Trash => Transition::Trash,
                Action::Restore => Transition::Restore,
            };
            if matches!(action, Action::Rerun | Action::Restore) {
                row.reruns += 1;
                (row.standing.runs, row.standing.abandons) = (0, 0);
                row.standing.kill_requested = false;
                row.due_at = None;
            }
            row.take(transition, state);
            checks::after_any(inside, id);
        }
        Ok(Effect::KillRequested) => row.standing.kill_requested = true,
        Ok(Effect::AlreadyFinished(_)) | Err(_) => return,
    }
    inside.tell(|| format!("an operator: {} {id}", action.name()));
}
