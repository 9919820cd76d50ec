//! What fixJobs finds out from the runner: a real store, and a runner that answers as it is told,
//! for no real one loses a run when a test wants it to.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gristmill::bridge::{Finding, Truth};
use gristmill::buffer::{
    AdvanceRequest, Change, ClaimRequest, Claimed, Claims, Holder, Lookup, NewJob, Options,
    SqliteBuffer, StoreRequest, TaskBuffer,
};
use gristmill::daemon::{RunnerTruth, SystemClock};
use gristmill::job::policy::{Backoff, Clock};
use gristmill::job::{
    Attempt, ContentHash, Fence, JobId, JobKey, Limits, Owner, Record, RunKey, RunOrder, RunReport,
    State, Step, StoreId,
};
use gristmill::runner::{Heard, News, RunError, RunState, Runner};
use jiff::Timestamp;
use tempfile::TempDir;

const LIMITS: Limits = Limits {
    max_runs: 3,
    max_abandons: 5,
    backoff: Backoff {
        first: Duration::from_secs(10),
        longest: Duration::from_mins(10),
    },
};

/// Says this of every run; `None`: cannot say.
struct Saying(Option<RunState>);

fn other<T>() -> Result<T, RunError> {
    Err(RunError::Permanent("nobody asks that".to_owned()))
}

#[async_trait]
impl Runner for Saying {
    async fn serve(&self, _: &StoreId) -> Result<(), RunError> {
        other()
    }

    async fn ready(&self) -> Result<(), RunError> {
        other()
    }

    async fn start(&self, _: &RunOrder) -> Result<(), RunError> {
        other()
    }

    async fn look_up(&self, _: RunKey) -> Result<RunState, RunError> {
        let away = || RunError::Transient("away".to_owned());
        self.0.ok_or_else(away)
    }

    async fn ended(&self, _: RunKey) -> Result<(), RunError> {
        other()
    }

    async fn renew(&self, _: RunKey, _: Option<Duration>) -> Result<(), RunError> {
        other()
    }

    async fn stop(&self, _: RunKey) -> Result<(), RunError> {
        other()
    }

    async fn collect(&self, _: RunKey) -> Result<RunReport, RunError> {
        other()
    }

    async fn news(&self, _: RunKey, _: Option<Heard>) -> Result<News, RunError> {
        other()
    }

    async fn runs(&self) -> Result<Vec<RunKey>, RunError> {
        other()
    }

    async fn forget(&self, _: RunKey, _: bool) -> Result<(), RunError> {
        other()
    }
}

/// A store with one job that the holder "here" has claimed.
struct Scene {
    store: Arc<SqliteBuffer>,
    claimed: Claimed,
    _folder: TempDir,
}

async fn scene() -> Scene {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("buffer.db");
    let options = Options::default();
    let store = Arc::new(SqliteBuffer::open(&path, &options).await.unwrap());
    let job = NewJob {
        key: JobKey {
            job_id: JobId::new("1").unwrap(),
            attempt: Attempt::FIRST,
        },
        content: ContentHash([0; 32]),
        priority: 0,
        state: State::Ready,
        payload: "<job/>".to_owned(),
    };
    let request = StoreRequest {
        owner: Owner::new("o").unwrap(),
        jobs: vec![job],
        refusals: Vec::new(),
        sent_at: Timestamp::MAX,
        prompt_until: None,
        now: SystemClock.now(),
    };
    store.store(request).await.unwrap();
    let request = ClaimRequest {
        holder: Holder::new("here".to_owned()).unwrap(),
        most: 1,
        pass_over: None,
        now: SystemClock.now(),
    };
    let claimed = store.claim(request).await.unwrap().remove(0);
    Scene {
        store,
        claimed,
        _folder: folder,
    }
}

impl Scene {
    async fn step(&self, step: Step) {
        let change = Change {
            id: self.claimed.id,
            fence: Fence {
                token: self.claimed.token,
                renewal: None,
            },
            step,
            dice: 0.0,
            reason: None,
            report: None,
        };
        let request = AdvanceRequest {
            changes: vec![change],
            limits: LIMITS,
            now: SystemClock.now(),
        };
        self.store.advance(request).await.unwrap();
    }

    async fn record(&self) -> Record {
        let asked = [(JobId::new("1").unwrap(), self.claimed.id)];
        let owner = Owner::new("o").unwrap();
        match self
            .store
            .find_records(&owner, &asked)
            .await
            .unwrap()
            .remove(0)
        {
            Lookup::Found(record) => record,
            other => panic!("{other:?}"),
        }
    }

    /// What is found, where the runner says this and the daemon holds claims under this name.
    async fn look(&self, holder: &str, others_lapse: bool, said: Option<RunState>) -> Finding {
        let truth = RunnerTruth {
            claims: self.store.clone(),
            runner: Arc::new(Saying(said)),
            clock: Arc::new(SystemClock),
            holder: Holder::new(holder.to_owned()).unwrap(),
            daemon: "a@b/c".to_owned(),
            limits: LIMITS,
            others_lapse,
        };
        truth.look_again(&[self.record().await]).await.remove(0)
    }
}

#[tokio::test]
async fn what_lives_or_is_about_to_start_is_right() {
    let scene = scene().await;
    let about_to_start = scene.look("here", false, Some(RunState::NeverStarted));
    assert_eq!(about_to_start.await, Finding::Right);
    scene.step(Step::Start).await;
    let alive = scene.look("here", false, Some(RunState::Alive)).await;
    assert_eq!(alive, Finding::Right);
    assert_eq!(scene.record().await.state, State::Running);
}

#[tokio::test]
async fn what_has_vanished_is_abandoned() {
    let scene = scene().await;
    scene.step(Step::Start).await;
    let vanished = scene
        .look("here", false, Some(RunState::NeverStarted))
        .await;
    assert_eq!(vanished, Finding::Corrected);
    let record = scene.record().await;
    assert_eq!(
        (record.state, record.abandons, record.runs),
        (State::Ready, 1, 0)
    );
    assert_eq!(record.reason.as_deref(), Some("its run has vanished"));
}

#[tokio::test]
async fn what_has_ended_is_the_conductors_to_settle() {
    let scene = scene().await;
    scene.step(Step::Start).await;
    let ended = Some(RunState::Ended);
    assert_eq!(scene.look("here", false, ended).await, Finding::Unclear);
    let settle = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        scene.step(Step::Succeed).await;
    };
    let (found, ()) = tokio::join!(scene.look("here", false, ended), settle);
    assert_eq!(found, Finding::Corrected);
    assert_eq!(scene.record().await.state, State::Succeeded);
}

#[tokio::test]
async fn where_the_runner_cannot_say_nobody_can() {
    let scene = scene().await;
    scene.step(Step::Start).await;
    assert_eq!(scene.look("here", true, None).await, Finding::Unclear);
    assert_eq!(scene.record().await.state, State::Running);
}

#[tokio::test]
async fn what_another_one_holds_is_right_only_if_it_would_lapse() {
    let scene = scene().await;
    scene.step(Step::Start).await;
    let never = Some(RunState::NeverStarted);
    assert_eq!(scene.look("there", true, never).await, Finding::Right);
    assert_eq!(scene.look("there", false, never).await, Finding::Unclear);
    assert_eq!(scene.record().await.state, State::Running);
}
