//! The bridge over jobs that run: what getStatus tells of them, how fixJobs finds out the truth,
//! and what supervisors are told unasked.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gristmill::bridge::{Bridge, Finding, Origin, ReplyRoom, Settings, Truth};
use gristmill::buffer::{
    AdvanceRequest, Change, ClaimRequest, Claimed, Claims, Holder, NewJob, Note, Notices,
    Operation, Operations, Options, SqliteBuffer, StoreRequest, Stored, TaskBuffer,
};
use gristmill::job::policy::{Backoff, Clock};
use gristmill::job::{
    Action, Attempt, ContentHash, Fence, JobId, JobKey, Limits, Outcome, OutputFile, Owner, Record,
    RecordId, RunFault, RunReport, State, Step, Verdict,
};
use gristmill::windmill::{
    Answer, Call, FaultCode, FixResult, HeardChange, RecordQuery, RecordRef, Reply, Request,
    Status, StatusAnswer, StatusDetail,
};
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::time::Instant;

const NOON: i64 = 1_800_000_000;
const OWNER: &str = "prodsys";

struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        at(0)
    }
}

/// So many seconds after noon.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOON + seconds).unwrap()
}

fn settings() -> Settings {
    Settings {
        jobs_wanted: 1000,
        wanted_when_unable: None,
        limits: gristmill::windmill::Limits {
            max_bytes: 4 << 20,
            max_jobs: 1000,
        },
        receipts: true,
        strict: false,
        max_age: Duration::from_mins(10),
        timeout: Duration::from_secs(5),
    }
}

/// A store, and a bridge over it.
struct House {
    folder: TempDir,
    store: Arc<SqliteBuffer>,
    bridge: Bridge,
}

async fn house() -> House {
    house_with(settings(), |bridge, _| bridge).await
}

async fn telling_house() -> House {
    let owner = Owner::new(OWNER).unwrap();
    let house = house_with(settings(), |bridge, store| {
        bridge.with_telling(store, HashSet::from([Owner::new(OWNER).unwrap()]))
    });
    let house = house.await;
    house.store.listen("a@b/c", &[owner]).await.unwrap();
    house
}

async fn house_with(
    settings: Settings,
    furnish: impl FnOnce(Bridge, Arc<SqliteBuffer>) -> Bridge,
) -> House {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("buffer.db");
    let store = SqliteBuffer::open(&path, &Options::default())
        .await
        .unwrap();
    let store = Arc::new(store);
    let bridge = Bridge::new(store.clone(), Arc::new(StoppedClock), settings);
    House {
        bridge: furnish(bridge, store.clone()),
        folder,
        store,
    }
}

fn origin(room: ReplyRoom) -> Origin {
    Origin {
        owner: Owner::new(OWNER).unwrap(),
        arrived: Instant::now(),
        sent_at: None,
        line_empty_at: None,
        stanza_id: None,
        room,
    }
}

fn pair(name: &str, id: RecordId) -> RecordQuery {
    RecordQuery {
        job_id: JobId::new(name).unwrap(),
        record: RecordRef::Readable(id),
    }
}

fn room(max_bytes: usize) -> ReplyRoom {
    ReplyRoom {
        max_bytes,
        as_text: false,
    }
}

fn output(n: u8) -> OutputFile {
    OutputFile {
        logical_name: format!("hits._{n:05}.root"),
        size: 7,
        sha256: [n; 32],
    }
}

fn report(verdict: Verdict, fault: Option<(&str, &str)>) -> RunReport {
    RunReport {
        verdict,
        started_at: Some(at(10)),
        ended_at: at(20),
        exit_code: Some(65),
        cpu: Duration::from_millis(2500),
        peak_memory: 1 << 20,
        fault: fault.map(|(code, text)| RunFault {
            code: code.into(),
            text: text.into(),
        }),
        outputs: vec![output(255)],
    }
}

impl House {
    /// Stores jobs in these states; their records.
    async fn store(&self, jobs: &[(&str, State)]) -> Vec<RecordId> {
        let job = |(name, state): &(&str, State)| NewJob {
            key: JobKey {
                job_id: JobId::new(*name).unwrap(),
                attempt: Attempt::FIRST,
            },
            content: ContentHash([0; 32]),
            priority: 0,
            state: *state,
            payload: "<job/>".to_owned(),
        };
        let request = StoreRequest {
            owner: Owner::new(OWNER).unwrap(),
            jobs: jobs.iter().map(job).collect(),
            refusals: Vec::new(),
            sent_at: Timestamp::MAX,
            prompt_until: None,
            now: at(0),
        };
        let stored = self.store.store(request).await.unwrap().into_iter();
        let id = |stored| match stored {
            Stored::New(id) => id,
            other => panic!("{other:?}"),
        };
        stored.map(id).collect()
    }

    async fn claim(&self) -> Vec<Claimed> {
        let request = ClaimRequest {
            holder: Holder::new("h".to_owned()).unwrap(),
            most: 1000,
            pass_over: None,
            now: at(5),
        };
        self.store.claim(request).await.unwrap()
    }

    /// Claims what is ready and takes it through these steps.
    async fn run(&self, steps: &[(Step, Option<RunReport>)]) {
        for claimed in self.claim().await {
            for (step, report) in steps {
                self.step(&claimed, *step, report.clone()).await;
            }
        }
    }

    async fn step(&self, claimed: &Claimed, step: Step, report: Option<RunReport>) {
        let change = Change {
            id: claimed.id,
            fence: Fence {
                token: claimed.token,
                renewal: None,
            },
            step,
            dice: 0.0,
            reason: None,
            report,
        };
        let request = AdvanceRequest {
            changes: vec![change],
            limits: Limits {
                max_runs: 3,
                max_abandons: 0,
                backoff: Backoff {
                    first: Duration::from_secs(1),
                    longest: Duration::from_secs(1),
                },
            },
            now: at(21),
        };
        self.store.advance(request).await.unwrap();
    }

    async fn ask(&self, call: Call, room: ReplyRoom) -> Reply {
        let request = Request { id: None, call };
        self.bridge.answer(request, &origin(room)).await
    }

    async fn statuses(&self, asked: Vec<RecordQuery>) -> Vec<StatusAnswer> {
        statuses(self.ask(Call::GetStatus(asked), ReplyRoom::ENDLESS).await)
    }

    async fn fix(&self, asked: Vec<RecordQuery>) -> Vec<(FixResult, Status)> {
        match self
            .ask(Call::FixJobs(asked), ReplyRoom::ENDLESS)
            .await
            .content
        {
            Ok(Answer::Fixes(entries)) => entries
                .iter()
                .map(|entry| (entry.result, entry.status))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    async fn is_told(&self, name: &str, id: RecordId) -> bool {
        let owner = Owner::new(OWNER).unwrap();
        let asked = [(JobId::new(name).unwrap(), id)];
        let found = self.store.find_records(&owner, &asked).await.unwrap();
        matches!(&found[0], gristmill::buffer::Lookup::Found(record) if record.told)
    }

    /// The documents that are told now.
    async fn news(&self, room: ReplyRoom) -> Vec<String> {
        let owner = Owner::new(OWNER).unwrap();
        let news = self.bridge.news(&owner, room).await;
        news.into_iter().map(|news| news.document).collect()
    }

    async fn ack(&self, heard: &[(&str, RecordId, u64)]) {
        let heard = heard.iter().map(|(name, id, change)| HeardChange {
            job_id: JobId::new(*name).unwrap(),
            record: RecordRef::Readable(*id),
            change: *change,
        });
        let reply = self
            .ask(Call::Ack(heard.collect()), ReplyRoom::ENDLESS)
            .await;
        assert_eq!(reply.content, Ok(Answer::Acknowledged));
        assert!(!self.bridge.wants_receipt(&reply));
    }
}

fn statuses(reply: Reply) -> Vec<StatusAnswer> {
    match reply.content {
        Ok(Answer::Statuses(entries)) => entries,
        other => panic!("{other:?}"),
    }
}

fn detail(answer: &StatusAnswer) -> StatusDetail {
    *answer.detail.clone().unwrap()
}

#[tokio::test]
async fn a_status_tells_what_the_last_run_left_behind() {
    let house = house().await;
    let id = house.store(&[("1", State::Ready)]).await[0];
    let report = report(Verdict::Failed, Some(("exit-status", "it ended with 65")));
    let fail = Step::Fail { retry: false };
    house
        .run(&[(Step::Start, None), (fail, Some(report))])
        .await;
    let told = &house.statuses(vec![pair("1", id)]).await[0];
    assert_eq!(told.status, Status::Finished);
    let detail = detail(told);
    assert_eq!(detail.result, Some(Outcome::Failed));
    assert_eq!(detail.since, Some(at(21)));
    assert_eq!((detail.started, detail.ended), (Some(at(10)), Some(at(20))));
    assert_eq!((detail.exit_code, detail.cpu_seconds), (Some(65), Some(3)));
    let error = detail.error.unwrap();
    assert_eq!(
        (error.code.as_str(), error.text.as_str()),
        ("exit-status", "it ended with 65")
    );
    assert_eq!(detail.outputs[0].logical_name, "hits._00255.root");
    assert_eq!(detail.outputs[0].sha256, "ff".repeat(32));
}

#[tokio::test]
async fn a_status_of_what_has_not_ended_has_no_result() {
    let house = house().await;
    let id = house.store(&[("1", State::Ready)]).await[0];
    let claimed = house.claim().await.remove(0);
    let pending = &house.statuses(vec![pair("1", id)]).await[0];
    assert_eq!(pending.status, Status::Pending);
    house.step(&claimed, Step::Start, None).await;
    let running = &house.statuses(vec![pair("1", id)]).await[0];
    assert_eq!(running.status, Status::Running);
    assert!(detail(running).started.is_some());
    let retry = Step::Fail { retry: true };
    let failed = report(Verdict::FailedForNow, Some(("exit-status", "75")));
    house.step(&claimed, retry, Some(failed)).await;
    let again = &house.statuses(vec![pair("1", id)]).await[0];
    let only_since = StatusDetail {
        since: Some(at(21)),
        ..StatusDetail::default()
    };
    assert_eq!((again.status, detail(again)), (Status::Pending, only_since));
}

#[tokio::test]
async fn a_job_that_ended_without_a_run_says_why() {
    let house = house().await;
    let id = house.store(&[("1", State::Ready)]).await[0];
    house.run(&[(Step::Abandon, None)]).await;
    let detail = detail(&house.statuses(vec![pair("1", id)]).await[0]);
    assert_eq!(detail.result, Some(Outcome::Trashed));
    assert_eq!(detail.ended, None);
    assert!(detail.error.is_none_or(|error| error.code == "trashed"));
}

#[tokio::test]
async fn what_an_older_peer_does_not_know_is_left_out() {
    let strict = Settings {
        strict: true,
        ..settings()
    };
    let house = house_with(strict, |bridge, _| bridge).await;
    let id = house.store(&[("1", State::Ready)]).await[0];
    let report = report(Verdict::Succeeded, None);
    house
        .run(&[(Step::Start, None), (Step::Succeed, Some(report))])
        .await;
    let reply = house
        .ask(Call::GetStatus(vec![pair("1", id)]), ReplyRoom::ENDLESS)
        .await;
    let document = house.bridge.write(&reply);
    assert!(document.contains(r#"status="finished"/>"#), "{document}");
}

#[tokio::test]
async fn a_final_word_is_remembered_before_it_is_told() {
    let house = house().await;
    let jobs = [("1", State::Succeeded), ("2", State::Ready)];
    let ids = house.store(&jobs).await;
    let asked = vec![pair("1", ids[0]), pair("2", ids[1])];
    house.statuses(asked.clone()).await;
    assert!(house.is_told("1", ids[0]).await);
    assert!(!house.is_told("2", ids[1]).await);
    let rerun = Operation {
        records: vec![ids[0]],
        action: Action::Rerun,
        force: false,
        note: Note {
            who: "operator".into(),
            reason: None,
        },
        now: at(30),
    };
    let declined = house.store.operate(rerun).await.unwrap();
    assert!(format!("{declined:?}").contains("Told"), "{declined:?}");
}

/// A store that can be read and not written: a final word cannot be remembered.
#[tokio::test]
async fn a_final_word_that_cannot_be_remembered_is_not_told() {
    let house = house().await;
    let jobs = [
        ("1", State::Failed),
        ("2", State::Ready),
        ("3", State::Failed),
    ];
    let ids = house.store(&jobs).await;
    house.statuses(vec![pair("3", ids[2])]).await;
    let path = house.folder.path().join("buffer.db");
    let options = Options::default();
    let reader = SqliteBuffer::open_for_reading(&path, &options);
    let reader = Arc::new(reader.await.unwrap());
    let clock = Arc::new(StoppedClock);
    let house = House {
        bridge: Bridge::new(reader, clock, settings()),
        ..house
    };
    let asked = vec![pair("1", ids[0]), pair("2", ids[1]), pair("3", ids[2])];
    let told = house.statuses(asked.clone()).await;
    let words: Vec<_> = told.iter().map(|answer| answer.status).collect();
    assert_eq!(words, [Status::Unknown, Status::Pending, Status::Finished]);
    assert_eq!(told[0].detail, None);
    let fixed = house.fix(asked).await;
    assert_eq!(fixed[0], (FixResult::Unknown, Status::Unknown));
    assert_eq!(fixed[2], (FixResult::Unchanged, Status::Finished));
}

#[tokio::test]
async fn a_reply_that_does_not_fit_tells_nothing() {
    let house = house().await;
    let jobs = [("1", State::Succeeded), ("2", State::Succeeded)];
    let ids = house.store(&jobs).await;
    let asked = vec![pair("1", ids[0]), pair("2", ids[1])];
    let reply = house.ask(Call::GetStatus(asked), room(200)).await;
    assert_eq!(reply.content.unwrap_err().code, FaultCode::ReplyTooLarge);
    assert!(!house.is_told("1", ids[0]).await);
}

#[tokio::test]
async fn a_lone_job_is_told_without_the_outputs_that_do_not_fit() {
    let house = house().await;
    let ids = house
        .store(&[("1", State::Ready), ("2", State::Ready)])
        .await;
    let large = RunReport {
        outputs: (0..100).map(output).collect(),
        ..report(Verdict::Succeeded, None)
    };
    house
        .run(&[(Step::Start, None), (Step::Succeed, Some(large))])
        .await;
    let both = vec![pair("1", ids[0]), pair("2", ids[1])];
    let reply = house.ask(Call::GetStatus(both), room(8000)).await;
    assert_eq!(reply.content.unwrap_err().code, FaultCode::ReplyTooLarge);
    let one = vec![pair("1", ids[0])];
    let reply = house.ask(Call::GetStatus(one), room(8000)).await;
    assert!(house.bridge.write(&reply).len() <= 8000);
    let detail = detail(&statuses(reply)[0]);
    assert_eq!((detail.outputs.len(), detail.omitted_outputs), (50, 50));
}

/// Finds what a test wants it to find, by the job's name; may end the job first.
struct Oracle(Arc<SqliteBuffer>);

#[async_trait]
impl Truth for Oracle {
    async fn look_again(&self, held: &[Record]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for record in held {
            findings.push(match record.key.job_id.as_str() {
                "gone" => {
                    let trash = Operation {
                        records: vec![record.id],
                        action: Action::Trash,
                        force: true,
                        note: Note {
                            who: "oracle".into(),
                            reason: None,
                        },
                        now: at(40),
                    };
                    self.0.operate(trash).await.unwrap();
                    Finding::Corrected
                }
                "alive" => Finding::Right,
                "stuck" => std::future::pending().await,
                _ => Finding::Unclear,
            });
        }
        findings
    }
}

async fn oracle_house() -> House {
    let quick = Settings {
        timeout: Duration::from_millis(500),
        ..settings()
    };
    house_with(quick, |bridge, store| {
        bridge.with_truth(Arc::new(Oracle(store)))
    })
    .await
}

#[tokio::test]
async fn a_doubtful_job_is_looked_at_and_its_record_corrected() {
    let house = oracle_house().await;
    let names = ["gone", "alive", "unclear"];
    let ids = house.store(&names.map(|name| (name, State::Ready))).await;
    house.run(&[(Step::Start, None)]).await;
    let ended = house.store(&[("ended", State::Succeeded)]).await[0];
    let mut asked: Vec<_> = names
        .iter()
        .zip(&ids)
        .map(|(name, id)| pair(name, *id))
        .collect();
    asked.push(pair("ended", ended));
    asked.push(pair("other", ended));
    let fixed = house.fix(asked).await;
    assert_eq!(fixed[0], (FixResult::Fixed, Status::Finished));
    assert_eq!(fixed[1], (FixResult::Unchanged, Status::Running));
    assert_eq!(fixed[2], (FixResult::Unknown, Status::Running));
    assert_eq!(fixed[3], (FixResult::Unchanged, Status::Finished));
    assert_eq!(fixed[4], (FixResult::Rejected, Status::Rejected));
    assert!(house.is_told("gone", ids[0]).await);
}

#[tokio::test]
async fn where_nobody_can_look_in_time_a_held_job_is_unknown() {
    let house = oracle_house().await;
    let id = house.store(&[("stuck", State::Ready)]).await[0];
    house.run(&[(Step::Start, None)]).await;
    let fixed = house.fix(vec![pair("stuck", id)]).await;
    assert_eq!(fixed, [(FixResult::Unknown, Status::Running)]);
    let nobody = Bridge::new(house.store.clone(), Arc::new(StoppedClock), settings());
    let house = House {
        bridge: nobody,
        ..house
    };
    let fixed = house.fix(vec![pair("stuck", id)]).await;
    assert_eq!(fixed, [(FixResult::Unknown, Status::Running)]);
}

#[tokio::test]
async fn changes_are_told_until_they_are_acknowledged() {
    let house = telling_house().await;
    let id = house.store(&[("1", State::Ready)]).await[0];
    assert!(house.news(ReplyRoom::ENDLESS).await.is_empty());
    let claimed = house.claim().await.remove(0);
    house.step(&claimed, Step::Start, None).await;
    let told = house.news(ReplyRoom::ENDLESS).await;
    let since = "2027-01-15T08:00:21Z";
    assert_eq!(
        told,
        [format!(
            r#"<jobChanged xmlns="urn:windmill:executor:1"><job jobID="1" attempt="1" taskBufferRecordID="{id}" status="running" since="{since}" change="1"/></jobChanged>"#
        )]
    );
    assert!(
        house.news(ReplyRoom::ENDLESS).await.is_empty(),
        "not yet due again"
    );
    house
        .step(
            &claimed,
            Step::Succeed,
            Some(report(Verdict::Succeeded, None)),
        )
        .await;
    house.ack(&[("1", id, 1)]).await;
    let told = house.news(ReplyRoom::ENDLESS).await;
    assert!(
        told[0].contains(r#"status="finished" result="succeeded""#),
        "{told:?}"
    );
    assert!(told[0].contains(r#"change="2""#), "{told:?}");
    assert!(
        house.is_told("1", id).await,
        "whoever was told may give the work away"
    );
    house.ack(&[]).await;
    assert_eq!(house.news(ReplyRoom::ENDLESS).await, told, "asked for");
    house.ack(&[("1", id, 2)]).await;
    house.ack(&[]).await;
    assert!(house.news(ReplyRoom::ENDLESS).await.is_empty());
}

#[tokio::test]
async fn a_status_covers_what_it_tells() {
    let house = telling_house().await;
    let ids = house
        .store(&[("1", State::Ready), ("2", State::Ready)])
        .await;
    house.run(&[(Step::Start, None)]).await;
    house.statuses(vec![pair("1", ids[0])]).await;
    let told = house.news(ReplyRoom::ENDLESS).await.concat();
    assert!(
        !told.contains(r#"jobID="1""#) && told.contains(r#"jobID="2""#),
        "{told}"
    );
    let small = house
        .ask(Call::GetStatus(vec![pair("2", ids[1])]), room(10))
        .await;
    assert!(small.content.is_err());
    house.ack(&[]).await;
    assert_eq!(
        house.news(ReplyRoom::ENDLESS).await.len(),
        1,
        "what was not answered"
    );
}

#[tokio::test]
async fn much_news_is_told_in_several_documents() {
    let house = telling_house().await;
    let names: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    let jobs: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), State::Ready))
        .collect();
    house.store(&jobs).await;
    house.run(&[(Step::Start, None)]).await;
    let told = house.news(room(4000)).await;
    assert!(told.len() > 3 && told.iter().all(|document| document.len() <= 4000));
    let jobs: usize = told
        .iter()
        .map(|document| document.matches("<job ").count())
        .sum();
    assert_eq!(jobs, 100);
}

#[tokio::test]
async fn who_is_not_configured_is_told_nothing() {
    let house = house().await;
    let id = house.store(&[("1", State::Ready)]).await[0];
    let owner = Owner::new(OWNER).unwrap();
    house.store.listen("a@b/c", &[owner]).await.unwrap();
    house.run(&[(Step::Start, None)]).await;
    assert!(house.news(ReplyRoom::ENDLESS).await.is_empty());
    house.ack(&[("1", id, 1)]).await;
}
