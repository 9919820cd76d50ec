//! Each call to the store goes wrong once, in each way, while a supervisor has jobs run: nothing
//! wrong is said, and the conversation comes to its end without a restart.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill::buffer::{KnownJob, ListFilter, Lookup};
use gristmill::job::{JobId, Outcome, RecordId, State};
use gristmill::windmill::{
    Answer, Existence, FaultCode, FixResult, KillResult, ReceiptResult, Status, read_reply,
};
use gristmill::xmpp::peer::{Carrier, Peer, PeerError};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::faulty_store::{Calls, Fault, Faults, Plan};
use super::house::{House, PATIENCE, STORE_LIMIT, owner};

/// Houses that stand at a time; they mostly wait.
const AT_A_TIME: usize = 6;
/// What is asked again and again goes wrong this often at most.
const CALLS_OF_A_QUESTION: usize = 5;
const FAULTS: [Fault; 3] = [
    Fault::Error,
    Fault::Late(Duration::from_millis(800)),
    Fault::AnswerLost,
];
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The good jobs: one that ends, one that is killed.
const JOBS: [&str; 2] = ["quick", "long"];

struct Scene {
    house: House,
    peer: Peer,
    limit: Instant,
}

impl Scene {
    async fn open(plan: Option<Plan>) -> Self {
        let house = House::open(Faults::new(plan)).await;
        house.script("quick", "echo begin $1 >>$LOG; echo end $1 >>$LOG");
        house.script("long", "echo begin $1 >>$LOG; exec sleep 100");
        let peer = house.supervisor().await;
        let limit = Instant::now() + PATIENCE;
        let scene = Self { house, peer, limit };
        while let Err(error) = scene.try_to_ask("<numJobsWanted/>").await {
            // The door comes up beside us.
            assert_eq!(error, PeerError::Refused("service-unavailable".into()));
            scene.wait("the door opens").await;
        }
        scene
    }

    async fn wait(&self, what: &str) {
        assert!(Instant::now() < self.limit, "never: {what}");
        sleep(LOOK_AGAIN).await;
    }

    async fn try_to_ask(&self, document: &str) -> Result<String, PeerError> {
        self.peer.ask(Carrier::Iq, document, PATIENCE).await
    }

    /// `None`: the store could not be asked.
    async fn ask(&self, document: &str) -> Option<Answer> {
        let text = self.try_to_ask(document).await.unwrap();
        match read_reply(&text).unwrap().content {
            Ok(answer) => Some(answer),
            Err(fault) => {
                assert_eq!(fault.code, FaultCode::DatabaseUnavailable, "{fault:?}");
                None
            }
        }
    }

    /// Hands the jobs out until they are taken; gives their records.
    async fn hand_out(&self, may_be_new: bool) -> Vec<RecordId> {
        let jobs = JOBS.map(|name| {
            format!(
                "<job jobID='{name}'><transformation><transPath>{name}</transPath>\
                 </transformation><jobPars>{name}</jobPars></job>"
            )
        });
        let document = format!(
            "<executeJobs>{}<job jobID='bad'/></executeJobs>",
            jobs.concat()
        );
        let receipts = loop {
            match self.ask(&document).await {
                Some(Answer::Receipts(receipts)) => break receipts,
                Some(other) => panic!("{other:?}"),
                None => self.nothing_wrong_is_said_meanwhile().await,
            }
            self.wait("the jobs are taken").await;
        };
        let record = |result: &ReceiptResult| match result {
            ReceiptResult::Stored(id) if may_be_new => *id,
            ReceiptResult::Duplicate(id) => *id,
            other => panic!("{other:?}"),
        };
        let records = [&receipts[0], &receipts[1]].map(|receipt| record(&receipt.result));
        assert!(matches!(receipts[2].result, ReceiptResult::Refused(_)));
        for (job, id) in JOBS.iter().zip(&records) {
            let named = [(JobId::new(*job).unwrap(), *id)];
            let found = self.house.store.real.find_records(&owner(), &named).await;
            assert!(matches!(found.unwrap()[..], [Lookup::Found(_)]), "{job}");
        }
        records.to_vec()
    }

    /// After an executeJobs of which nobody knows what became of it.
    async fn nothing_wrong_is_said_meanwhile(&self) {
        let jobs: Vec<_> = JOBS.map(|name| (JobId::new(name).unwrap(), None)).into();
        for (job, existence) in self.existence(&JOBS).await {
            let Existence::Rejected(_) = existence else {
                continue;
            };
            // Until all that was begun has ended.
            sleep(STORE_LIMIT * 3).await;
            let found = self
                .house
                .store
                .real
                .find_jobs(&owner(), &jobs)
                .await
                .unwrap();
            let is_there = |found: &Lookup<KnownJob>| {
                matches!(found, Lookup::Found(KnownJob::Accepted { .. }))
            };
            assert!(!found.iter().any(is_there), "{job} was said to be rejected");
        }
    }

    async fn existence(&self, jobs: &[&str]) -> Vec<(String, Existence)> {
        let entry = |job: &&str| format!("<job jobID='{job}'/>");
        let entries: String = jobs.iter().map(entry).collect();
        let document = format!("<getExecutorData>{entries}</getExecutorData>");
        match self.ask(&document).await {
            Some(Answer::ExecutorData(answers)) => answers
                .into_iter()
                .map(|answer| (answer.job_id.to_string(), answer.existence))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    /// Asks for all jobs until nothing is unknown.
    async fn look_up(&self, records: &[RecordId]) {
        loop {
            let answers = self.existence(&["quick", "long", "bad", "never"]).await;
            for ((job, existence), record) in answers.iter().zip(records) {
                let right = [Existence::Accepted(*record), Existence::Unknown];
                assert!(right.contains(existence), "{job}: {existence:?}");
            }
            for (job, existence) in &answers[2..] {
                let is_wrong = matches!(existence, Existence::Accepted(_));
                assert!(!is_wrong, "{job}: {existence:?}");
            }
            if answers.iter().all(|(_, word)| *word != Existence::Unknown) {
                return;
            }
            self.wait("nothing is unknown").await;
        }
    }

    /// Asks for both jobs until it is as wanted.
    async fn status_until(&self, records: &[RecordId], wanted: [(Status, Option<Outcome>); 2]) {
        let document = about("getStatus", JOBS.iter().copied().zip(records));
        loop {
            let Some(Answer::Statuses(answers)) = self.ask(&document).await else {
                panic!("no statuses");
            };
            let words = answers.iter().map(|answer| {
                assert_ne!(answer.status, Status::Rejected, "{answer:?}");
                let result = answer.detail.as_ref().and_then(|detail| detail.result);
                (answer.status, result)
            });
            let words: Vec<_> = words.collect();
            if words == wanted {
                return;
            }
            self.wait(&format!("{words:?} becomes {wanted:?}")).await;
        }
    }

    async fn kill_the_long_one(&self, records: &[RecordId]) {
        while !self.house.log().contains("begin long") {
            self.wait("the program has begun").await;
        }
        let document = about("killJobs", [("long", &records[1])]);
        loop {
            match self.ask(&document).await {
                None => (),
                Some(Answer::Kills(answers)) => match answers[0].result {
                    KillResult::Unknown => (),
                    KillResult::Rejected => panic!("{answers:?}"),
                    _ => return,
                },
                other => panic!("{other:?}"),
            }
            self.wait("it is killed").await;
        }
    }

    async fn fix_the_quick_one(&self, records: &[RecordId]) {
        let document = about("fixJobs", [("quick", &records[0])]);
        loop {
            match self.ask(&document).await {
                None => (),
                Some(Answer::Fixes(answers)) => match answers[0].result {
                    FixResult::Unknown => (),
                    FixResult::Unchanged => return,
                    _ => panic!("{answers:?}"),
                },
                other => panic!("{other:?}"),
            }
            self.wait("it is looked at").await;
        }
    }

    async fn status_of_a_strange_record(&self) {
        let stranger = RecordId::new(4711).unwrap();
        let document = about("getStatus", [("quick", &stranger)]);
        loop {
            let Some(Answer::Statuses(answers)) = self.ask(&document).await else {
                panic!("no statuses");
            };
            match answers[0].status {
                Status::Rejected => return,
                Status::Unknown => self.wait("it is looked up").await,
                other => panic!("{other:?}"),
            }
        }
    }

    /// In the store and among the runs everything is as the supervisor was told.
    async fn books_balance(&self, records: &[RecordId]) {
        let real = &self.house.store.real;
        while !real.leases().await.unwrap().is_empty() {
            self.wait("no claim is held").await;
        }
        let all = ListFilter {
            owner: None,
            job_id: None,
            state: None,
            since: None,
            limit: 100,
        };
        let listed = real.list(&all).await.unwrap();
        let mut listed: Vec<_> = listed
            .iter()
            .map(|record| (record.id, record.state))
            .collect();
        listed.sort_by_key(|(id, _)| *id);
        let wanted = [
            (records[0], State::Succeeded),
            (records[1], State::Cancelled),
        ];
        assert_eq!(listed, wanted);
        let log = self.house.log();
        let mut lines: Vec<_> = log.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["begin long", "begin quick", "end quick"]);
    }
}

fn about<'a>(call: &str, jobs: impl IntoIterator<Item = (&'a str, &'a RecordId)>) -> String {
    let entry = |(job, id)| format!("<job jobID='{job}' taskBufferRecordID='{id}'/>");
    let entries: String = jobs.into_iter().map(entry).collect();
    format!("<{call}>{entries}</{call}>")
}

/// A supervisor's day. Gives the calls that the store has had, and whether the fault came.
async fn play(plan: Option<Plan>) -> (Calls, bool) {
    let scene = Scene::open(plan).await;
    let records = scene.hand_out(true).await;
    scene.look_up(&records).await;
    let succeeded = (Status::Finished, Some(Outcome::Succeeded));
    let cancelled = (Status::Finished, Some(Outcome::Cancelled));
    scene
        .status_until(&records, [succeeded, (Status::Running, None)])
        .await;
    scene.kill_the_long_one(&records).await;
    scene.status_until(&records, [succeeded, cancelled]).await;
    assert_eq!(scene.hand_out(false).await, records);
    scene.status_of_a_strange_record().await;
    scene.fix_the_quick_one(&records).await;
    scene.look_up(&records).await;
    scene.books_balance(&records).await;
    let faults = &scene.house.store.hook;
    (faults.calls(), faults.has_failed())
}

fn plans(calls: &Calls) -> Vec<Plan> {
    let mut plans = Vec::new();
    for (question, count) in calls {
        for call in 0..*count.min(&CALLS_OF_A_QUESTION) {
            plans.extend(FAULTS.map(|fault| Plan {
                question,
                call,
                fault,
            }));
        }
    }
    plans
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_goes_wrong_once_in_each_way() {
    let (calls, _) = play(None).await;
    eprintln!("{calls:?}");
    let room = Arc::new(Semaphore::new(AT_A_TIME));
    let mut cases = JoinSet::new();
    for plan in plans(&calls) {
        let room = room.clone();
        cases.spawn(async move {
            let _place = room.acquire_owned().await.unwrap();
            let played = tokio::spawn(play(Some(plan))).await;
            (plan, played.map(|(_, failed)| failed))
        });
    }
    let (mut failed, mut faults, mut all) = (Vec::new(), 0, 0);
    while let Some(case) = cases.join_next().await {
        all += 1;
        match case.unwrap() {
            (_, Ok(came)) => faults += usize::from(came),
            (plan, Err(error)) => failed.push((plan, error)),
        }
    }
    eprintln!("{faults} faults in {all} conversations");
    assert!(failed.is_empty(), "{failed:#?}");
    // Which questions are asked how often depends on the moment, but not by much.
    assert!(faults * 4 >= all * 3, "only {faults} of {all} faults came");
}
