//! `gristmill demo`: an XMPP server on loopback, the daemon, and a supervisor that takes some jobs
//! through their whole life, all in this process. It succeeds only if every job was accepted once
//! and ended.

mod screen;
mod stage;

use std::collections::HashMap;

use crate::error::{Kind, Report};
use crate::job::{InvalidId, JobId, Outcome, RecordId};
use crate::windmill::{
    Answer, Call, Existence, JobQuery, KillResult, ReceiptResult, RecordQuery, RecordRef, Request,
    Status, Submission, SubmittedJob, sample, write_job,
};

use super::args::Demo;
use super::output::Output;
use screen::Screen;
use stage::Stage;

/// Jobs in one request: what fits into a stanza on servers with their default limits.
const JOBS_IN_A_REQUEST: usize = 50;
/// The size of a job as XML, in bytes: that of a production of 2004.
const JOB_BYTES: usize = 3600;

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
        self.how_many_are_wanted(jobs).await?;
        let jobs = production(jobs)?;
        let records = self.hand_over(&jobs).await?;
        self.hand_over_again(&jobs, &records).await?;
        self.ask_for_records(&records).await?;
        self.expect_status(&records, Status::Pending, None).await?;
        self.kill(&records).await?;
        self.expect_status(&records, Status::Finished, Some(Outcome::Cancelled))
            .await?;
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

    async fn expect_status(
        &mut self,
        records: &Records,
        status: Status,
        outcome: Option<Outcome>,
    ) -> Result<(), Report> {
        self.screen.scene("How are they?", records.len())?;
        for some in records.chunks(JOBS_IN_A_REQUEST) {
            let Answer::Statuses(entries) = self
                .ask(Call::GetStatus(pairs(some)), status.name())
                .await?
            else {
                return Err(unexpected(&"another answer"));
            };
            for entry in entries {
                let result = entry.detail.as_ref().and_then(|detail| detail.result);
                if (entry.status, result) != (status, outcome) {
                    return Err(unexpected(&entry));
                }
            }
        }
        Ok(())
    }

    async fn kill(&mut self, records: &Records) -> Result<(), Report> {
        self.screen.scene("End them.", records.len())?;
        for some in records.chunks(JOBS_IN_A_REQUEST) {
            match self.ask(Call::KillJobs(pairs(some)), "killed").await? {
                Answer::Kills(entries)
                    if entries
                        .iter()
                        .all(|entry| entry.result == KillResult::Killed) => {}
                other => return Err(unexpected(&other)),
            }
        }
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
        self.requests += 1;
        let request = Request {
            id: Some(format!("demo-{}", self.requests)),
            call,
        };
        let exchange = self.stage.ask(&request).await?;
        self.screen.exchange(&request.call, &exchange, outcome)?;
        exchange.reply.content.map_err(|fault| {
            let what = format!(
                "the executor answered {}: {}",
                fault.code.name(),
                fault.text
            );
            Report::new(Kind::Failed, what)
        })
    }
}

/// Jobs with the records that they were given.
type Records = Vec<(JobId, RecordId)>;

fn production(jobs: u32) -> Result<Vec<SubmittedJob>, Report> {
    let submission = |number| {
        let spec = sample::production_job(number, JOB_BYTES)?;
        let xml = write_job(&spec);
        Ok(SubmittedJob::new(spec, xml))
    };
    let jobs: Result<_, InvalidId> = (0..jobs).map(submission).collect();
    jobs.map_err(|error| Report::new(Kind::Bug, "the demo's jobs are invalid").because(error))
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
        Kind::Failed,
        format!("the demo met an answer that it did not expect: {what:?}"),
    )
}
