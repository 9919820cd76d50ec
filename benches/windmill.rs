//! How fast the supervisor's language is read and written, as ratios of like with like.
//!
//! One round takes each measurement once; the medians of the rounds are compared, so that other
//! load on the machine falls on all of them.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::struct_field_names,
    missing_docs
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use gristmill::job::{JobId, RecordId};
use gristmill::windmill::{
    Answer, Call, CallKind, Limits, RecordRef, Reply, Status, StatusAnswer, Style, Submission,
    open_call, read_call, read_job, sample, write_call, write_reply,
};
use quick_xml::events::Event;
use serde::Deserialize;

const JOBS: u32 = 1000;
const JOB_BYTES: usize = 3600;
const ROUNDS: usize = 15;
const LIMITS: Limits = Limits {
    max_bytes: 1 << 30,
    max_jobs: usize::MAX,
};

fn main() {
    let request = sample::execute_jobs(JOBS, JOB_BYTES).unwrap();
    let document = write_call(&request);
    let Call::ExecuteJobs(submissions) = read_call(document.as_bytes(), &LIMITS).unwrap().call
    else {
        return;
    };
    let jobs: Vec<String> = submissions
        .into_iter()
        .filter_map(|submission| match submission {
            Submission::Good(good) => Some(good.xml),
            Submission::Refused(_) => None,
        })
        .collect();
    assert_eq!(jobs.len(), JOBS as usize);
    let statuses = statuses();
    let style = Style { strict: false };

    let medians = medians([
        &|| bare_events(&document),
        &|| open_call(document.as_bytes(), &LIMITS).unwrap().job_count(),
        &|| jobs.iter().map(|xml| by_serde(xml)).sum(),
        &|| {
            jobs.iter()
                .map(|xml| read_job(xml).unwrap().inputs.len())
                .sum()
        },
        &|| {
            read_call(document.as_bytes(), &LIMITS)
                .unwrap()
                .call
                .job_count()
        },
        &|| write_reply(&statuses, style).len(),
    ]);
    let names = [
        "quick-xml, bare events",
        "envelope",
        "typed, by quick-xml's serde",
        "typed",
        "whole request",
        "writing 1,000 statuses",
    ];
    println!(
        "{JOBS} jobs, {} bytes; medians of {ROUNDS} rounds",
        document.len()
    );
    for (name, median) in names.iter().zip(medians) {
        let rate = document.len() as f64 / 1e6 / median.as_secs_f64();
        println!(
            "{name:28} {:8.3} ms {rate:8.0} MB/s",
            median.as_secs_f64() * 1e3
        );
    }
    let [bare, envelope, serde, typed, ..] = medians.map(|median| median.as_secs_f64());
    println!(
        "envelope / bare events   {:.2} (goal: at least 0.85)",
        bare / envelope
    );
    println!(
        "typed / serde            {:.2} (goal: at least 1.5)",
        serde / typed
    );
}

/// Runs each measurement once a round, and gives the median of each.
fn medians<const N: usize>(measurements: [&dyn Fn() -> usize; N]) -> [Duration; N] {
    let mut times = [const { Vec::new() }; N];
    for _ in 0..ROUNDS {
        for (measurement, times) in measurements.iter().zip(&mut times) {
            let start = Instant::now();
            black_box(measurement());
            times.push(start.elapsed());
        }
    }
    times.map(|mut times: Vec<Duration>| {
        times.sort_unstable();
        times.get(ROUNDS / 2).copied().unwrap_or_default()
    })
}

fn bare_events(document: &str) -> usize {
    let mut reader = quick_xml::Reader::from_str(document);
    let mut events = 0;
    while !matches!(black_box(reader.read_event().unwrap()), Event::Eof) {
        events += 1;
    }
    events
}

fn statuses() -> Reply {
    let answer = |number: u32| StatusAnswer {
        job_id: JobId::new(number.to_string()).unwrap(),
        record: RecordRef::Readable(RecordId::new(u64::from(number)).unwrap()),
        status: Status::Pending,
        detail: None,
    };
    Reply {
        call: Some(CallKind::GetStatus),
        in_reply_to: None,
        content: Ok(Answer::Statuses((1..=JOBS).map(answer).collect())),
    }
}

fn by_serde(xml: &str) -> usize {
    quick_xml::de::from_str::<Job>(xml)
        .unwrap()
        .inputs
        .file
        .len()
}

/// The same fields as the typed spec's, for quick-xml's serde.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "what counts is that they are read")]
struct Job {
    #[serde(rename = "@jobID")]
    job_id: String,
    #[serde(rename = "@attempt")]
    attempt: Option<u32>,
    job_name: Option<String>,
    #[serde(rename = "jobExecutionID")]
    job_execution_id: Option<String>,
    #[serde(rename = "taskID")]
    task_id: Option<String>,
    priority: Option<i32>,
    transformation: Trans,
    job_pars: String,
    requirements: Option<Needs>,
    inputs: Files,
    outputs: Files,
    stdout: Option<File>,
    stderr: Option<File>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "what counts is that they are read")]
struct Trans {
    trans_uses: Option<String>,
    trans_home: Option<String>,
    trans_path: String,
    trans_pars: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "what counts is that they are read")]
struct Needs {
    trans_uses: Option<String>,
    cpu_count: Option<Quantity>,
    disk_count: Option<Quantity>,
    ram_count: Option<Quantity>,
    ip_connectivity: Option<String>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "what counts is that they are read")]
struct Quantity {
    #[serde(rename = "@unit")]
    unit: Option<String>,
    #[serde(rename = "$text")]
    value: u64,
}

#[derive(Deserialize)]
struct Files {
    #[serde(default)]
    file: Vec<File>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "what counts is that they are read")]
struct File {
    #[serde(rename = "@logicalFileName")]
    logical_file_name: String,
    #[serde(rename = "@dataset")]
    dataset: Option<String>,
    #[serde(rename = "@destinationSE")]
    destination: Option<String>,
}
