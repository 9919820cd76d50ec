//! `gristmill demo`: an XMPP server on loopback, the daemon, and a supervisor that takes some jobs
//! through their whole life, all in this process. It succeeds only if every job was accepted once
//! and ended as it must.

mod cast;
mod screen;
mod stage;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::{Code, Report};
use crate::job::{JobId, RecordId};
use crate::windmill::{
    Answer, Call, Existence, JobQuery, KillResult, ReceiptResult, RecordQuery, RecordRef, Request,
    Status, StatusAnswer, Submission, SubmittedJob, write_job,
};

use super::args::Demo;
use super::output::Output;
use cast::{Actor, Role};
use screen::{Ending, Screen, Shown};
use stage::Stage;

/// Jobs in one request: what fits into a stanza on servers with their default limits.
const JOBS_IN_A_REQUEST: usize = 50;
/// How soon the supervisor asks again how the jobs are.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// From the first job's storing to the last one's end: for each job, and for all.
const LIMIT_FOR_EACH: Duration = Duration::from_secs(2);
const LIMIT_FOR_ALL: Duration = Duration::from_mins(1);

pub(super) async fn run(arguments: Demo, output: &mut Output) -> Result<(), Report> {
    let stage = Stage::set(arguments.jobs).await?;
    let screen = Screen::new(output, arguments.verbose);
    let mut play = Play {
        stage: &stage,
        screen,
        requests: 0,
    };
    let played = play.all(arguments.jobs).await;
    let closed = played.and_then(|()| play.screen.close());
    stage.strike().await?;
    closed
}

/// The supervisor's side of the conversation.
struct Play<'a> {
    stage: &'a Stage,
    screen: Screen<'a>,
    requests: u32,
}

impl Play<'_> {
    async fn all(&mut self, jobs: u32) -> Result<(), Report> {
        let deadline = Instant::now() + LIMIT_FOR_ALL + LIMIT_FOR_EACH * jobs;
        self.how_many_are_wanted(jobs).await?;
        let cast = self.stage.cast(jobs)?;
        let jobs: Vec<_> = cast.iter().map(submission).collect();
        let records = self.hand_over(&jobs).await?;
        self.hand_over_again(&jobs, &records).await?;
        self.ask_for_records(&records).await?;
        let endless: Records = cast
            .iter()
            .zip(&records)
            .filter(|(actor, _)| actor.role == Role::Endless)
            .map(|(_, record)| record.clone())
            .collect();
        self.wait_until(&endless, Status::Running, deadline).await?;
        self.kill(&endless).await?;
        let ended = self.wait_until(&records, Status::Finished, deadline);
        let ended = ended.await?;
        self.check_endings(&cast, &ended).await?;
        self.ask_for_a_stranger(&records).await
    }

    async fn how_many_are_wanted(&mut self, jobs: u32) -> Result<(), Report> {
        self.screen
            .scene("How many jobs does the executor want?", 1)?;
        match self.ask(Call::NumJobsWanted(None), "wanted").await? {
            Answer::NumJobs(wanted) if wanted >= jobs => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn hand_over(&mut self, jobs: &[SubmittedJob]) -> Result<Records, Report> {
        self.screen.scene("Here are the jobs.", jobs.len())?;
        let mut records = Records::new();
        for (job, result) in self.execute(jobs, "stored").await? {
            match result {
                ReceiptResult::Stored(record) => records.push((job, record)),
                other => return Err(unexpected(&other)),
            }
        }
        Ok(records)
    }

    async fn hand_over_again(
        &mut self,
        jobs: &[SubmittedJob],
        records: &Records,
    ) -> Result<(), Report> {
        self.screen
            .scene("Did you get them? Here they are again.", jobs.len())?;
        let known: HashMap<_, _> = records.iter().cloned().collect();
        for (job, result) in self.execute(jobs, "duplicate, same record").await? {
            match result {
                ReceiptResult::Duplicate(record) if known.get(&job) == Some(&record) => (),
                other => return Err(unexpected(&other)),
            }
        }
        Ok(())
    }

    async fn execute(
        &mut self,
        jobs: &[SubmittedJob],
        outcome: &str,
    ) -> Result<Vec<(JobId, ReceiptResult)>, Report> {
        let mut results = Vec::with_capacity(jobs.len());
        for some in jobs.chunks(JOBS_IN_A_REQUEST) {
            let submissions = some
                .iter()
                .cloned()
                .map(|job| Submission::Good(Box::new(job)));
            let receipts = match self
                .ask(Call::ExecuteJobs(submissions.collect()), outcome)
                .await?
            {
                Answer::Receipts(receipts) if receipts.len() == some.len() => receipts,
                other => return Err(unexpected(&other)),
            };
            let ids = some.iter().map(|job| job.key.job_id.clone());
            results.extend(ids.zip(receipts.into_iter().map(|receipt| receipt.result)));
        }
        Ok(results)
    }

    async fn ask_for_records(&mut self, records: &Records) -> Result<(), Report> {
        self.screen
            .scene("Under which record IDs do you have them?", records.len())?;
        for some in records.chunks(JOBS_IN_A_REQUEST) {
            let queries = some.iter().map(|(job_id, _)| JobQuery {
                job_id: job_id.clone(),
                attempt: None,
            });
            let call = Call::GetExecutorData(queries.collect());
            let answer = self.ask(call, "accepted, same record").await?;
            let expected = some.iter().map(|(_, record)| Existence::Accepted(*record));
            match &answer {
                Answer::ExecutorData(entries)
                    if entries
                        .iter()
                        .map(|entry| entry.existence.clone())
                        .eq(expected) => {}
                other => return Err(unexpected(other)),
            }
        }
        Ok(())
    }

    /// Asks again and again until every job has come to `status`; answers what was said last.
    async fn wait_until(
        &mut self,
        records: &Records,
        status: Status,
        deadline: Instant,
    ) -> Result<Vec<StatusAnswer>, Report> {
        self.screen.scene("How are they?", records.len())?;
        loop {
            let answers = self.statuses(records, status).await?;
            let there = answers.iter().filter(|answer| answer.status == status);
            let there = there.count();
            self.screen.reached(there, status.name());
            if there == records.len() {
                return Ok(answers);
            }
            // What has ended runs no more.
            let comes_there = |reached: Status| match reached {
                Status::Pending | Status::Running => true,
                reached => reached == status,
            };
            let strange = |answer: &&StatusAnswer| !comes_there(answer.status);
            if let Some(answer) = answers.iter().find(strange) {
                return Err(unexpected(answer));
            }
            if Instant::now() > deadline {
                let what = format!(
                    "only {there} of {} jobs are {} in time",
                    records.len(),
                    status.name()
                );
                return Err(Report::new(Code::DemoSurprised, what));
            }
            sleep(ASK_AGAIN).await;
        }
    }

    async fn statuses(
        &mut self,
        records: &Records,
        awaited: Status,
    ) -> Result<Vec<StatusAnswer>, Report> {
        let mut answers = Vec::with_capacity(records.len());
        for some in records.chunks(JOBS_IN_A_REQUEST) {
            let call = Call::GetStatus(pairs(some));
            match self.ask_shown(call, awaited.name(), Shown::Once).await? {
                Answer::Statuses(entries) if entries.len() == some.len() => answers.extend(entries),
                other => return Err(unexpected(&other)),
            }
        }
        Ok(answers)
    }

    async fn kill(&mut self, records: &Records) -> Result<(), Report> {
        self.screen
            .scene("End the one that never ends.", records.len())?;
        match self
            .ask(Call::KillJobs(pairs(records)), "kill-requested")
            .await?
        {
            Answer::Kills(entries)
                if entries
                    .iter()
                    .all(|entry| entry.result == KillResult::KillRequested) =>
            {
                Ok(())
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Holds what the supervisor was told, and what the store counted, against what each job had
    /// to show.
    async fn check_endings(
        &mut self,
        cast: &[Actor],
        ended: &[StatusAnswer],
    ) -> Result<(), Report> {
        let records = self.stage.records().await?;
        let mut endings = BTreeMap::new();
        for (actor, answer) in cast.iter().zip(ended) {
            let detail = answer.detail.as_deref().ok_or_else(|| unexpected(answer))?;
            let record = records.get(&answer.job_id);
            let record = record.ok_or_else(|| unexpected(answer))?;
            let as_it_must = detail.result == Some(actor.role.outcome())
                && detail.exit_code == actor.role.exit_code()
                && record.runs == actor.role.failed_runs()
                && left_its_outputs(actor, answer);
            if !as_it_must {
                return Err(unexpected(&(answer, record)));
            }
            let ending: &mut Ending = endings.entry(actor.role).or_default();
            ending.jobs += 1;
            ending.cpu += record
                .result
                .as_ref()
                .map_or(Duration::ZERO, |result| result.cpu);
        }
        self.screen.endings(endings);
        Ok(())
    }

    /// The word that is said only after a look.
    async fn ask_for_a_stranger(&mut self, records: &Records) -> Result<(), Report> {
        self.screen.scene("And how is one that you never had?", 1)?;
        let Some((job_id, _)) = records.first() else {
            return Ok(());
        };
        let stranger = [(job_id.clone(), RecordId::MAX)];
        match self
            .ask(Call::GetStatus(pairs(&stranger)), "rejected")
            .await?
        {
            Answer::Statuses(entries)
                if entries.iter().all(|entry| entry.status == Status::Rejected) =>
            {
                Ok(())
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn ask(&mut self, call: Call, outcome: &str) -> Result<Answer, Report> {
        self.ask_shown(call, outcome, Shown::Always).await
    }

    async fn ask_shown(
        &mut self,
        call: Call,
        outcome: &str,
        shown: Shown,
    ) -> Result<Answer, Report> {
        self.requests += 1;
        let request = Request {
            id: Some(format!("demo-{}", self.requests)),
            call,
        };
        let exchange = self.stage.ask(&request).await?;
        self.screen
            .exchange(&request.call, &exchange, outcome, shown)?;
        exchange.reply.content.map_err(|fault| {
            let what = format!(
                "the executor answered {}: {}",
                fault.code.name(),
                fault.text
            );
            Report::new(Code::DemoSurprised, what)
        })
    }
}

/// Jobs with the records that they were given.
type Records = Vec<(JobId, RecordId)>;

fn submission(actor: &Actor) -> SubmittedJob {
    SubmittedJob::new(actor.spec.clone(), write_job(&actor.spec))
}

/// What succeeds has all that it declared, with content; what does not has nothing to show.
fn left_its_outputs(actor: &Actor, answer: &StatusAnswer) -> bool {
    let outputs = answer.detail.iter().flat_map(|detail| &detail.outputs);
    let left = outputs.filter(|output| output.size > 0);
    let left = left.map(|output| output.logical_name.as_str());
    let declared = actor.spec.outputs.iter();
    let declared = declared.map(|output| output.logical_name.as_str());
    match actor.role {
        Role::Simulation | Role::Flaky => left.eq(declared),
        Role::Broken | Role::Endless => left.count() == 0,
    }
}

fn pairs(records: &[(JobId, RecordId)]) -> Vec<RecordQuery> {
    let pairs = records.iter().map(|(job_id, record)| RecordQuery {
        job_id: job_id.clone(),
        record: RecordRef::Readable(*record),
    });
    pairs.collect()
}

fn unexpected(what: &impl std::fmt::Debug) -> Report {
    Report::new(
        Code::DemoSurprised,
        format!("the demo met an answer that it did not expect: {what:?}"),
    )
}
