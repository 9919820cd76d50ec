//! The bridge over a real SQLite store, and over stores that fail in ways that no real one can be
//! made to fail at the right moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use gristmill::bridge::{Bridge, Origin, ReplyRoom, Settings};
use gristmill::buffer::{
    BufferError, KnownJob, Lookup, NewJob, Note, Operation, Operations, Options, SqliteBuffer,
    StoreRequest, Stored, TaskBuffer,
};
use gristmill::job::policy::Clock;
use gristmill::job::{
    Action, Attempt, ContentHash, JobId, JobKey, JobSpec, Owner, RecordId, State,
};
use gristmill::windmill::{
    Answer, AttemptRef, Call, Existence, FaultCode, FixResult, JobQuery, KillResult, Limits,
    Reason, ReceiptResult, RecordQuery, RecordRef, RefusedJob, Reply, Request, Status, Submission,
    SubmittedJob, write_call,
};
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::hooked_store::{Hook, HookedStore};

/// A clock that stands still until it is moved.
struct StoppedClock(AtomicI64);

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

/// A bridge over a real store, and what a test needs around it.
struct House {
    bridge: Bridge,
    clock: Arc<StoppedClock>,
    store: Arc<dyn TaskBuffer>,
    _folder: TempDir,
}

const NOON: i64 = 1_800_000_000;

fn settings() -> Settings {
    Settings {
        jobs_wanted: 1000,
        wanted_when_unable: None,
        limits: Limits {
            max_bytes: 4 << 20,
            max_jobs: 1000,
        },
        receipts: true,
        strict: false,
        max_age: Duration::from_mins(10),
        timeout: Duration::from_secs(2),
    }
}

async fn house() -> House {
    house_over(|store| store, settings()).await
}

async fn house_over(
    wrap: impl FnOnce(Arc<SqliteBuffer>) -> Arc<dyn TaskBuffer>,
    settings: Settings,
) -> House {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("buffer.db");
    let store = SqliteBuffer::open(&file, &Options::default()).await;
    let store = wrap(Arc::new(store.unwrap()));
    let clock = Arc::new(StoppedClock(AtomicI64::new(NOON)));
    let bridge = Bridge::new(store.clone(), clock.clone(), settings);
    House {
        bridge,
        clock,
        store,
        _folder: folder,
    }
}

fn origin() -> Origin {
    Origin {
        owner: Owner::new("prodsys").unwrap(),
        arrived: Instant::now(),
        sent_at: None,
        line_empty_at: None,
        stanza_id: Some("s-1".into()),
        room: ReplyRoom::ENDLESS,
    }
}

fn sent(seconds: i64) -> Origin {
    Origin {
        sent_at: Some(Timestamp::from_second(seconds).unwrap()),
        ..origin()
    }
}

fn id(name: &str) -> JobId {
    JobId::new(name).unwrap()
}

fn good(name: &str, parameters: &str) -> Submission {
    let spec = JobSpec::new(id(name), Attempt::FIRST, "run".into(), parameters.into());
    let xml = gristmill::windmill::write_job(&spec);
    Submission::Good(Box::new(SubmittedJob::new(spec, xml)))
}

fn bad(index: usize, name: Option<&str>) -> Submission {
    Submission::Refused(RefusedJob {
        index,
        job_id: name.map(id),
        attempt: AttemptRef::Readable(Attempt::FIRST),
        reason: Reason {
            code: "missing-field".into(),
            text: "transPath is empty".into(),
        },
    })
}

fn pair(name: &str, record: u64) -> RecordQuery {
    let record = RecordRef::Readable(RecordId::new(record).unwrap());
    RecordQuery {
        job_id: id(name),
        record,
    }
}

impl House {
    async fn ask(&self, call: Call, origin: &Origin) -> Reply {
        self.bridge.answer(Request { id: None, call }, origin).await
    }

    async fn execute(&self, jobs: Vec<Submission>) -> Vec<ReceiptResult> {
        receipts(self.ask(Call::ExecuteJobs(jobs), &origin()).await)
    }

    async fn data(&self, names: &[&str]) -> Vec<Existence> {
        let jobs = names.iter().map(|name| JobQuery {
            job_id: id(name),
            attempt: None,
        });
        match self
            .ask(Call::GetExecutorData(jobs.collect()), &origin())
            .await
            .content
        {
            Ok(Answer::ExecutorData(entries)) => {
                entries.into_iter().map(|entry| entry.existence).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    async fn status(&self, queries: Vec<RecordQuery>) -> Vec<Status> {
        match self.ask(Call::GetStatus(queries), &origin()).await.content {
            Ok(Answer::Statuses(entries)) => entries.iter().map(|entry| entry.status).collect(),
            other => panic!("{other:?}"),
        }
    }

    async fn kill(&self, queries: Vec<RecordQuery>) -> Vec<(KillResult, Status)> {
        match self.ask(Call::KillJobs(queries), &origin()).await.content {
            Ok(Answer::Kills(entries)) => entries
                .iter()
                .map(|entry| (entry.result, entry.status))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    async fn fix(&self, queries: Vec<RecordQuery>) -> Vec<(FixResult, Status)> {
        match self.ask(Call::FixJobs(queries), &origin()).await.content {
            Ok(Answer::Fixes(entries)) => entries
                .iter()
                .map(|entry| (entry.result, entry.status))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    async fn is_stored(&self, name: &str) -> bool {
        let owner = Owner::new("prodsys").unwrap();
        let found = self
            .store
            .find_jobs(&owner, &[(id(name), None)])
            .await
            .unwrap();
        matches!(found[0], Lookup::Found(KnownJob::Accepted { .. }))
    }
}

fn receipts(reply: Reply) -> Vec<ReceiptResult> {
    match reply.content {
        Ok(Answer::Receipts(receipts)) => receipts.into_iter().map(|one| one.result).collect(),
        other => panic!("{other:?}"),
    }
}

fn fault(reply: &Reply) -> FaultCode {
    reply.content.as_ref().unwrap_err().code
}

fn record(result: &ReceiptResult) -> u64 {
    match result {
        ReceiptResult::Stored(id) | ReceiptResult::Duplicate(id) => id.get(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_job_lives_from_acceptance_to_its_kill() {
    let house = house().await;
    let stored = house
        .execute(vec![good("1", "a"), bad(2, Some("2")), bad(3, None)])
        .await;
    let record = record(&stored[0]);
    assert!(matches!(stored[0], ReceiptResult::Stored(_)));
    assert!(matches!(stored[1], ReceiptResult::Refused(_)));
    assert!(matches!(stored[2], ReceiptResult::Refused(_)));

    let data = house.data(&["1", "2", "3"]).await;
    assert_eq!(data[0], Existence::Accepted(RecordId::new(record).unwrap()));
    assert!(matches!(&data[1], Existence::Rejected(Some(why)) if why.code == "missing-field"));
    assert_eq!(data[2], Existence::Rejected(None));

    let unreadable = RecordQuery {
        job_id: id("1"),
        record: RecordRef::Unreadable("-7".into()),
    };
    let asked = vec![
        pair("1", record),
        unreadable,
        pair("2", record),
        pair("1", 999),
    ];
    let words = house.status(asked.clone()).await;
    assert_eq!(
        words,
        [
            Status::Pending,
            Status::Rejected,
            Status::Rejected,
            Status::Rejected
        ]
    );
    let fixed = house.fix(asked.clone()).await;
    assert_eq!(fixed[0], (FixResult::Unchanged, Status::Pending));
    assert_eq!(fixed[1], (FixResult::Rejected, Status::Rejected));

    let killed = house.kill(asked.clone()).await;
    assert_eq!(killed[0], (KillResult::Killed, Status::Finished));
    assert_eq!(killed[1], (KillResult::Rejected, Status::Rejected));
    let killed = house.kill(asked).await;
    assert_eq!(killed[0], (KillResult::AlreadyFinished, Status::Finished));
    assert_eq!(
        house.status(vec![pair("1", record)]).await,
        [Status::Finished]
    );
}

#[tokio::test]
async fn sending_again_is_harmless() {
    let house = house().await;
    let first = house.execute(vec![good("1", "a"), good("2", "b")]).await;
    let again = house
        .execute(vec![good("2", "b"), good("1", "other"), good("3", "c")])
        .await;
    assert_eq!(
        again[0],
        ReceiptResult::Duplicate(RecordId::new(record(&first[1])).unwrap())
    );
    assert_eq!(again[1], ReceiptResult::Conflict);
    assert!(matches!(again[2], ReceiptResult::Stored(_)));
}

/// Jobs that are sent again in the same bytes are not read again: what the store has of them
/// counts. The others are.
#[tokio::test]
async fn what_is_sent_again_is_recalled() {
    let house = house().await;
    let names: Vec<_> = (1..=20).map(|name| name.to_string()).collect();
    let mut jobs: Vec<_> = names.iter().map(|name| good(name, "a")).collect();
    let marked = jobs.iter().map(|job| match job {
        Submission::Good(job) => NewJob {
            key: job.key.clone(),
            content: ContentHash([7; 32]),
            priority: 5,
            state: State::Ready,
            payload: job.xml.clone(),
        },
        Submission::Refused(_) => panic!("{job:?}"),
    });
    let request = StoreRequest {
        owner: origin().owner,
        jobs: marked.collect(),
        refusals: Vec::new(),
        sent_at: Timestamp::MAX,
        prompt_until: None,
        now: house.clock.now(),
    };
    house.store.store(request).await.unwrap();
    jobs[3] = good("4", "b");
    let call = Call::ExecuteJobs(jobs);
    let document = write_call(&Request { id: None, call });
    let read = house.bridge.read(document.as_bytes(), &origin()).await;
    let Call::ExecuteJobs(jobs) = &read.as_ref().unwrap().call else {
        panic!("{read:?}");
    };
    let recalled = jobs.iter().filter(|job| match job {
        Submission::Good(job) => job.content == ContentHash([7; 32]) && job.priority == 5,
        Submission::Refused(_) => false,
    });
    assert_eq!(recalled.count(), 19);
    let answers = receipts(house.bridge.answer(read.unwrap(), &origin()).await);
    assert_eq!(answers[3], ReceiptResult::Conflict);
    let is_duplicate = |answer: &&ReceiptResult| matches!(answer, ReceiptResult::Duplicate(_));
    assert_eq!(answers.iter().filter(is_duplicate).count(), 19);
}

#[tokio::test]
async fn a_job_is_visible_to_its_owner_only() {
    let house = house().await;
    let stored = house.execute(vec![good("1", "a")]).await;
    let stranger = Origin {
        owner: Owner::new("other").unwrap(),
        ..origin()
    };
    let call = Call::GetStatus(vec![pair("1", record(&stored[0]))]);
    let Ok(Answer::Statuses(words)) = house.ask(call, &stranger).await.content else {
        panic!("no statuses");
    };
    assert_eq!(words[0].status, Status::Rejected);
}

#[tokio::test]
async fn what_was_delayed_too_long_is_stale() {
    let house = house().await;
    for (age, wanted) in [(600, None), (601, Some(FaultCode::Stale)), (-5, None)] {
        let name = format!("job {age}");
        let call = Call::ExecuteJobs(vec![good(&name, "a")]);
        let reply = house.ask(call, &sent(NOON - age)).await;
        assert_eq!(reply.content.err().map(|fault| fault.code), wanted, "{age}");
        assert_eq!(house.is_stored(&name).await, wanted.is_none());
    }
}

#[tokio::test]
async fn what_was_sent_before_its_job_was_rejected_is_stale() {
    let house = house().await;
    assert_eq!(house.data(&["1"]).await, [Existence::Rejected(None)]);
    house.clock.0.fetch_add(60, Ordering::Relaxed);
    let late = || Call::ExecuteJobs(vec![good("1", "a"), good("2", "a")]);
    // Also what was sent a moment after it was looked up: the answer was still on its way.
    for sent_at in [NOON - 1, NOON + 12] {
        let reply = house.ask(late(), &sent(sent_at)).await;
        assert_eq!(fault(&reply), FaultCode::Stale, "{sent_at}");
    }
    assert!(!house.is_stored("2").await, "all or nothing");
    let fresh = house.ask(late(), &sent(NOON + 13)).await;
    assert!(matches!(receipts(fresh)[0], ReceiptResult::Stored(_)));
}

/// A request that no stamp says to be delayed may have waited for a process that stood still.
#[tokio::test]
async fn what_may_have_waited_while_its_job_was_rejected_is_stale() {
    let house = house().await;
    assert_eq!(house.data(&["1"]).await, [Existence::Rejected(None)]);
    house.clock.0.fetch_add(30, Ordering::Relaxed);
    assert_eq!(house.data(&["2"]).await, [Existence::Rejected(None)]);
    let at = |second: i64| Timestamp::from_second(NOON + second).unwrap();
    let says = async |name: &str, origin: Origin| {
        let call = Call::ExecuteJobs(vec![good(name, "a")]);
        let reply = house.ask(call, &origin).await;
        reply.content.err().map(|fault| fault.code)
    };
    let line = |second| Origin {
        line_empty_at: Some(at(second)),
        ..origin()
    };
    let stamped = Origin {
        sent_at: Some(at(43)),
        ..line(29)
    };
    // Last: the time of day was set back.
    for (name, late) in [
        ("1", line(-3600)),
        ("1", line(12)),
        ("2", line(25)),
        ("2", stamped),
        ("2", line(31)),
    ] {
        assert_eq!(says(name, late).await, Some(FaultCode::Stale), "{name}");
        assert!(!house.is_stored(name).await);
    }
    // What was not rejected, or was so before it was sent, or comes at once.
    for (name, good) in [("3", line(-3600)), ("1", line(13)), ("2", line(26))] {
        assert_eq!(says(name, good).await, None, "{name}");
    }
}

/// A daemon whose clock is ahead forgets nothing that another one still needs.
#[tokio::test]
async fn rejections_are_kept_longer_than_requests_may_take() {
    let house = house().await;
    assert_eq!(house.data(&["1"]).await, [Existence::Rejected(None)]);
    house.clock.0.fetch_add(630, Ordering::Relaxed);
    assert_eq!(house.data(&["2"]).await, [Existence::Rejected(None)]);
    house.clock.0.fetch_sub(25, Ordering::Relaxed);
    let late = Call::ExecuteJobs(vec![good("1", "a")]);
    let reply = house.ask(late, &sent(NOON + 10)).await;
    assert!(
        reply
            .content
            .unwrap_err()
            .text
            .contains("answered `rejected`")
    );
    assert!(!house.is_stored("1").await);
}

/// A `rejected` that could not be sent in time is not sent any more.
#[tokio::test]
async fn a_rejection_is_good_for_a_while_only() {
    let house = house().await;
    let stored = house.execute(vec![good("1", "a")]).await;
    let (known, strange) = (pair("1", record(&stored[0])), pair("2", 7));
    let both = vec![known.clone(), strange];
    let origin = origin();
    let names = ["1", "2"].map(|name| JobQuery {
        job_id: id(name),
        attempt: None,
    });
    let calls = [
        Call::GetExecutorData(names.to_vec()),
        Call::GetStatus(both.clone()),
        Call::KillJobs(both.clone()),
        Call::FixJobs(both),
    ];
    for call in calls {
        let kind = call.kind();
        let reply = house.ask(call, &origin).await;
        let (until, instead) = house.bridge.good_until(&reply, &origin).unwrap();
        assert_eq!(until, origin.arrived + Duration::from_secs(2 + 5));
        let (before, after) = (house.bridge.write(&reply), house.bridge.write(&instead));
        assert!(before.contains("rejected"), "{kind:?}: {before}");
        assert!(!after.contains("rejected"), "{kind:?}: {after}");
        // The other entry stays as it was.
        let of_the_other = |text: &str| text.find("<job jobID=\"2\"").unwrap();
        assert_eq!(
            before[..of_the_other(&before)],
            after[..of_the_other(&after)]
        );
    }
    for call in [
        Call::GetStatus(vec![known]),
        Call::ExecuteJobs(vec![bad(1, Some("3"))]),
        Call::NumJobsWanted(None),
    ] {
        let reply = house.ask(call, &origin).await;
        assert!(house.bridge.good_until(&reply, &origin).is_none());
    }
}

#[tokio::test]
async fn a_job_that_was_rejected_can_be_handed_over_anew() {
    let house = house().await;
    assert_eq!(house.status(vec![pair("1", 1)]).await, [Status::Rejected]);
    assert!(matches!(
        house.execute(vec![good("1", "a")]).await[0],
        ReceiptResult::Stored(_)
    ));
}

#[tokio::test]
async fn nothing_is_done_that_could_not_be_told() {
    let house = house().await;
    let tight = Origin {
        room: ReplyRoom {
            max_bytes: 200,
            as_text: false,
        },
        ..origin()
    };
    let jobs = vec![good("1", "a"), good("2", "b")];
    let reply = house.ask(Call::ExecuteJobs(jobs), &tight).await;
    assert_eq!(fault(&reply), FaultCode::ReplyTooLarge);
    assert!(!house.is_stored("1").await);

    let stored = house.execute(vec![good("1", "a")]).await;
    let tight = Origin {
        room: ReplyRoom {
            max_bytes: 150,
            as_text: false,
        },
        ..origin()
    };
    let asked = vec![pair("1", record(&stored[0]))];
    let reply = house.ask(Call::KillJobs(asked.clone()), &tight).await;
    assert_eq!(fault(&reply), FaultCode::ReplyTooLarge);
    assert_eq!(house.status(asked).await, [Status::Pending]);
}

#[tokio::test]
async fn sentences_go_before_answers_do() {
    let house = house().await;
    let jobs: Vec<_> = (1..=20)
        .map(|index| bad(index, Some(&format!("{index}"))))
        .collect();
    let whole = house.ask(Call::ExecuteJobs(jobs.clone()), &origin()).await;
    let max_bytes = house.bridge.write(&whole).len() - 1;
    let tight = Origin {
        room: ReplyRoom {
            max_bytes,
            as_text: false,
        },
        ..origin()
    };
    let reply = house.ask(Call::ExecuteJobs(jobs), &tight).await;
    for result in receipts(reply) {
        let ReceiptResult::Refused(reason) = result else {
            panic!("{result:?}")
        };
        assert_eq!(
            (reason.code.as_str(), reason.text.as_str()),
            ("missing-field", "")
        );
    }
}

#[tokio::test]
async fn no_job_is_wanted_while_draining() {
    let house = house().await;
    let wanted = Call::NumJobsWanted(None);
    let reply = house.ask(wanted.clone(), &origin()).await;
    assert_eq!(reply.content, Ok(Answer::NumJobs(1000)));
    house.bridge.drain();
    let reply = house.ask(wanted, &origin()).await;
    assert_eq!(reply.content, Ok(Answer::NumJobs(0)));
}

#[tokio::test]
async fn while_unable_another_number_is_wanted_where_one_is_configured() {
    for (number, unable) in [(None, 1000), (Some(7), 7)] {
        let settings = Settings {
            wanted_when_unable: number,
            ..settings()
        };
        let house = house_over(|store| store, settings).await;
        let able = Arc::new(AtomicBool::new(false));
        let is_able = able.clone();
        let bridge = house
            .bridge
            .able_while(Arc::new(move || is_able.load(Ordering::Relaxed)));
        assert_eq!(bridge.jobs_wanted(), unable);
        able.store(true, Ordering::Relaxed);
        assert_eq!(bridge.jobs_wanted(), 1000);
        able.store(false, Ordering::Relaxed);
        bridge.drain();
        assert_eq!(bridge.jobs_wanted(), 0);
    }
}

#[tokio::test]
async fn who_is_told_busy_is_told_which_request() {
    let bridge = house().await.bridge;
    let stanza = Some("stanza".to_owned());
    let origin = Origin {
        stanza_id: stanza.clone(),
        ..origin()
    };
    let reply = bridge.busy("<executeJobs id='s-18'><job", &origin);
    assert_eq!(fault(&reply), FaultCode::Busy);
    assert_eq!(reply.in_reply_to.as_deref(), Some("s-18"));
    assert_eq!(bridge.busy("<executeJobs>", &origin).in_reply_to, stanza);
}

#[tokio::test]
async fn receipts_can_be_left_out_when_they_say_nothing_new() {
    let quiet = Settings {
        receipts: false,
        ..settings()
    };
    let house = house_over(|store| store, quiet).await;
    let stored = house
        .ask(Call::ExecuteJobs(vec![good("1", "a")]), &origin())
        .await;
    assert!(!house.bridge.wants_receipt(&stored));
    let mixed = Call::ExecuteJobs(vec![good("1", "a"), bad(2, Some("2"))]);
    let mixed = house.ask(mixed, &origin()).await;
    assert!(house.bridge.wants_receipt(&mixed));
    let question = house.ask(Call::NumJobsWanted(None), &origin()).await;
    assert!(house.bridge.wants_receipt(&question));
}

/// How a store fails that otherwise works.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Every question.
    Unreachable,
    /// It never answers.
    Silent,
    /// Rejections cannot be remembered.
    Forgetful,
    /// Somebody stores the job between the look and the answer.
    Overtaken,
    /// Somebody has the job run again between the look and the answer.
    RunAgain,
}

struct Trouble {
    store: Arc<SqliteBuffer>,
    fault: Fault,
}

impl Hook for Trouble {
    async fn around<T: Send>(
        &self,
        question: &'static str,
        answer: impl Future<Output = Result<T, BufferError>> + Send,
    ) -> Result<T, BufferError> {
        match (self.fault, question) {
            (Fault::Unreachable, _) | (Fault::Forgetful, "remember_rejected") => {
                return Err(BufferError::Unreachable("gone".into()));
            }
            (Fault::Silent, _) => std::future::pending().await,
            (Fault::Overtaken, "remember_rejected") => {
                self.store.store(request(new_job(State::Ready))).await?;
            }
            (Fault::RunAgain, "mark_told") => self.run_again().await?,
            _ => {}
        }
        answer.await
    }
}

impl Trouble {
    async fn run_again(&self) -> Result<(), BufferError> {
        let rerun = Operation {
            records: vec![RecordId::new(1).unwrap()],
            action: Action::Rerun,
            force: true,
            note: Note {
                who: "ada".to_owned(),
                reason: None,
            },
            now: Timestamp::UNIX_EPOCH,
        };
        self.store.operate(rerun).await.map(drop)
    }
}

/// Job 1, in this state.
fn new_job(state: State) -> NewJob {
    NewJob {
        key: JobKey {
            job_id: id("1"),
            attempt: Attempt::FIRST,
        },
        content: ContentHash([0; 32]),
        priority: 0,
        state,
        payload: "<job/>".to_owned(),
    }
}

fn request(job: NewJob) -> StoreRequest {
    StoreRequest {
        owner: Owner::new("prodsys").unwrap(),
        jobs: vec![job],
        refusals: Vec::new(),
        sent_at: Timestamp::MAX,
        prompt_until: None,
        now: Timestamp::UNIX_EPOCH,
    }
}

async fn house_with(fault: Fault) -> House {
    let hooked = |real: Arc<SqliteBuffer>| -> Arc<dyn TaskBuffer> {
        let hook = Trouble {
            store: real.clone(),
            fault,
        };
        Arc::new(HookedStore { real, hook })
    };
    house_over(hooked, settings()).await
}

#[tokio::test]
async fn without_a_store_nothing_is_rejected_and_nothing_is_claimed() {
    for trouble in [Fault::Unreachable, Fault::Silent] {
        let house = house_with(trouble).await;
        assert_eq!(
            house.data(&["1", "2"]).await,
            [Existence::Unknown, Existence::Unknown]
        );
        assert_eq!(house.status(vec![pair("1", 1)]).await, [Status::Unknown]);
        for call in [
            Call::ExecuteJobs(vec![good("1", "a")]),
            Call::KillJobs(vec![pair("1", 1)]),
            Call::FixJobs(vec![pair("1", 1)]),
        ] {
            assert_eq!(
                fault(&house.ask(call, &origin()).await),
                FaultCode::DatabaseUnavailable
            );
        }
        let wanted = house.ask(Call::NumJobsWanted(None), &origin()).await;
        assert_eq!(wanted.content, Ok(Answer::NumJobs(1000)));
    }
}

#[tokio::test]
async fn a_final_word_that_is_undone_meanwhile_is_not_told() {
    let house = house_with(Fault::RunAgain).await;
    let ended = request(new_job(State::Failed));
    let Stored::New(record) = house.store.store(ended).await.unwrap()[0] else {
        panic!("it is not new");
    };
    let asked = vec![pair("1", record.get())];
    assert_eq!(house.status(asked).await, [Status::Unknown]);
}

#[tokio::test]
async fn the_time_limit_counts_from_the_arrival() {
    let house = house_with(Fault::Silent).await;
    let waited = Origin {
        arrived: Instant::now() - Duration::from_mins(1),
        ..origin()
    };
    let asked = Instant::now();
    let call = Call::GetExecutorData(vec![JobQuery {
        job_id: id("1"),
        attempt: None,
    }]);
    house.ask(call, &waited).await;
    assert!(
        asked.elapsed() < settings().timeout,
        "it had waited long enough"
    );
}

#[tokio::test]
async fn what_cannot_be_remembered_as_rejected_is_unknown() {
    let house = house_with(Fault::Forgetful).await;
    assert_eq!(house.data(&["1"]).await, [Existence::Unknown]);
    assert_eq!(house.status(vec![pair("1", 1)]).await, [Status::Unknown]);
    assert_eq!(
        house.kill(vec![pair("1", 1)]).await,
        [(KillResult::Unknown, Status::Unknown)]
    );
    assert_eq!(
        house.fix(vec![pair("1", 1)]).await,
        [(FixResult::Unknown, Status::Unknown)]
    );
}

#[tokio::test]
async fn a_job_that_somebody_stores_meanwhile_is_not_rejected() {
    let house = house_with(Fault::Overtaken).await;
    assert_eq!(house.data(&["1"]).await, [Existence::Unknown]);
}
