//! What is written can be read back, and is valid by `schema/windmill.xsd`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gristmill::job::{
    Attempt, File, JobId, JobKey, JobSpec, Outcome, Quantity, RecordId, Requirements,
    Transformation, command,
};
use gristmill::windmill::{
    Answer, AttemptRef, Call, CallKind, ChangedJob, DataAnswer, Existence, Fault, FaultCode,
    FixAnswer, FixResult, HeardChange, JobQuery, KillAnswer, KillResult, Limits, OutputFile,
    Reason, Receipt, ReceiptResult, RecordQuery, RecordRef, Reply, Request, Status, StatusAnswer,
    StatusDetail, Style, Submission, SubmittedJob, read_call, read_job, read_reply, write_call,
    write_fault, write_job, write_job_changed, write_reply,
};
use jiff::Timestamp;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

const CASES: u32 = 200;
const LIMITS: Limits = Limits {
    max_bytes: 1 << 24,
    max_jobs: 100,
};
const STYLE: Style = Style { strict: false };

/// Checks files against the schema, all in one go.
fn validate(paths: &[PathBuf]) {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/windmill.xsd");
    let output = Command::new("xmllint")
        .args(["--noout", "--nonet", "--huge", "--schema"])
        .arg(schema)
        .args(paths)
        .output()
        .expect("xmllint is missing: install the Debian package libxml2-utils");
    let complaints = String::from_utf8_lossy(&output.stderr);
    let invalid = complaints
        .lines()
        .filter(|line| !line.ends_with(" validates"));
    assert!(
        output.status.success(),
        "{}",
        invalid.take(20).collect::<Vec<_>>().join("\n")
    );
}

/// Runs a property, and then checks every document that it wrote against the schema.
fn check_all<S: Strategy>(
    strategy: S,
    write_and_check: impl Fn(S::Value) -> Result<Vec<String>, TestCaseError>,
) {
    let folder = tempfile::tempdir().unwrap();
    let written = std::cell::RefCell::new(Vec::new());
    let config = ProptestConfig::with_cases(CASES);
    let outcome = TestRunner::new(config).run(&strategy, |value| {
        for document in write_and_check(value)? {
            let path = folder
                .path()
                .join(format!("{}.xml", written.borrow().len()));
            fs::write(&path, document).unwrap();
            written.borrow_mut().push(path);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    validate(&written.borrow());
}

/// Whether XML can carry the character.
fn is_xml(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..) && !matches!(character, '\u{FFFE}' | '\u{FFFF}')
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

/// Any text that XML can carry, in canonical form: without white space around it.
fn text() -> impl Strategy<Value = String> {
    let odd = select(vec![
        "",
        "&amp;",
        "]]>",
        "<![CDATA[",
        "\r\n\t x",
        "'\"",
        "<!--",
        "é😀",
    ]);
    let any = vec(
        any::<char>().prop_filter("XML carries it", |c| is_xml(*c)),
        0..12,
    );
    (any, odd).prop_map(|(any, odd)| {
        let text = any.into_iter().collect::<String>() + odd;
        text.trim_matches(is_space).to_owned()
    })
}

fn non_empty() -> impl Strategy<Value = String> {
    text().prop_map(|text| if text.is_empty() { "x".into() } else { text })
}

fn job_id() -> impl Strategy<Value = JobId> {
    non_empty().prop_map(|text| {
        let name: String = text.chars().filter(|c| !c.is_control()).take(64).collect();
        JobId::new(name.trim_matches(is_space)).unwrap_or_else(|_| JobId::new("1").unwrap())
    })
}

fn attempt() -> impl Strategy<Value = Attempt> {
    (1..=u32::MAX).prop_map(|number| Attempt::new(number).unwrap())
}

fn record_id() -> impl Strategy<Value = RecordId> {
    (1..=RecordId::MAX.get()).prop_map(|number| RecordId::new(number).unwrap())
}

fn record() -> impl Strategy<Value = RecordRef> {
    prop_oneof![
        record_id().prop_map(RecordRef::Readable),
        text().prop_map(|text| RecordRef::Unreadable(format!("-{text}"))),
    ]
}

fn quantity() -> impl Strategy<Value = Option<Quantity>> {
    let quantity = (any::<u64>(), option::of(text()));
    option::of(quantity.prop_map(|(value, unit)| Quantity { value, unit }))
}

fn requirements() -> impl Strategy<Value = Requirements> {
    (
        option::of(text()),
        quantity(),
        quantity(),
        quantity(),
        option::of(text()),
    )
        .prop_map(|(uses, cpu, disk, ram, ip_connectivity)| Requirements {
            uses,
            cpu,
            disk,
            ram,
            ip_connectivity,
        })
}

fn file() -> impl Strategy<Value = File> {
    (non_empty(), option::of(text()), option::of(text())).prop_map(
        |(logical_name, dataset, destination)| File {
            logical_name,
            dataset,
            destination,
        },
    )
}

/// One that a run can write.
fn output() -> impl Strategy<Value = File> {
    file().prop_map(|mut file| {
        file.logical_name = match &*file.logical_name.replace('/', "_") {
            "." | ".." => "x".to_owned(),
            name => name.to_owned(),
        };
        file
    })
}

/// The path of a program that a folder of programs can have.
fn program() -> impl Strategy<Value = String> {
    non_empty().prop_map(|path| match command::check_path(&path) {
        Ok(()) => path,
        Err(_) => "x".to_owned(),
    })
}

/// What can be split into words.
fn parameters() -> impl Strategy<Value = String> {
    text().prop_map(|text| match command::words(&text) {
        Ok(_) => text,
        Err(_) => text.replace(['\'', '"', '\\'], "_"),
    })
}

fn transformation() -> impl Strategy<Value = Transformation> {
    (
        option::of(text()),
        option::of(text()),
        program(),
        option::of(text()),
    )
        .prop_map(|(uses, home, path, parameters)| Transformation {
            uses,
            home,
            path,
            parameters,
        })
}

fn spec() -> impl Strategy<Value = JobSpec> {
    let key = (job_id(), attempt()).prop_map(|(job_id, attempt)| JobKey { job_id, attempt });
    let names = (option::of(text()), option::of(text()), option::of(text()));
    let files = (
        vec(file(), 0..3),
        vec(output(), 0..3),
        option::of(output()),
        option::of(output()),
    );
    (
        key,
        names,
        any::<i32>(),
        transformation(),
        parameters(),
        requirements(),
        files,
    )
        .prop_map(
            |(key, names, priority, transformation, parameters, requirements, files)| JobSpec {
                key,
                name: names.0,
                execution_id: names.1,
                task_id: names.2,
                priority,
                transformation,
                parameters,
                requirements,
                inputs: files.0,
                outputs: files.1,
                stdout: files.2,
                stderr: files.3,
            },
        )
}

fn call() -> impl Strategy<Value = Call> {
    let submissions = vec(spec(), 1..4).prop_map(|mut specs| {
        specs.sort_by(|a, b| a.key.cmp(&b.key));
        specs.dedup_by(|a, b| a.key == b.key);
        let good = |spec: JobSpec| {
            let xml = write_job(&spec);
            Submission::Good(Box::new(SubmittedJob::new(spec, xml)))
        };
        Call::ExecuteJobs(specs.into_iter().map(good).collect())
    });
    let queries = (job_id(), option::of(attempt()))
        .prop_map(|(job_id, attempt)| JobQuery { job_id, attempt });
    let records = || {
        vec(
            (job_id(), record()).prop_map(|(job_id, record)| RecordQuery { job_id, record }),
            1..5,
        )
    };
    let heard =
        (job_id(), record(), any::<u64>()).prop_map(|(job_id, record, change)| HeardChange {
            job_id,
            record,
            change,
        });
    prop_oneof![
        option::of(requirements()).prop_map(Call::NumJobsWanted),
        submissions,
        vec(queries, 1..5).prop_map(Call::GetExecutorData),
        records().prop_map(Call::GetStatus),
        records().prop_map(Call::KillJobs),
        records().prop_map(Call::FixJobs),
        vec(heard, 0..5).prop_map(Call::Ack),
    ]
}

/// The `id` is the one text that keeps white space around it.
fn id() -> impl Strategy<Value = Option<String>> {
    option::of(text().prop_map(|text| format!(" {text}\n")))
}

#[test]
fn calls_come_back_as_they_were_written() {
    let requests = (id(), call()).prop_map(|(id, call)| Request { id, call });
    check_all(requests, |request| {
        let document = write_call(&request);
        prop_assert_eq!(&read_call(document.as_bytes(), &LIMITS).unwrap(), &request);
        if let Call::ExecuteJobs(jobs) = &request.call {
            for job in jobs {
                let Submission::Good(good) = job else {
                    continue;
                };
                let spec = read_job(&good.xml).unwrap();
                prop_assert_eq!(spec.content_hash(), good.content);
                prop_assert_eq!((spec.key, spec.priority), (good.key.clone(), good.priority));
            }
        }
        Ok(vec![document])
    });
}

/// What makes a job one that no machine can run.
const SPOILS: [fn(&mut JobSpec); 10] = [
    |spec| spec.outputs.push(named("../x")),
    |spec| spec.outputs.push(named("/tmp/x")),
    |spec| spec.outputs.push(named(&"x".repeat(256))),
    |spec| spec.stdout = Some(named("logs/x")),
    |spec| spec.stderr = Some(named("..")),
    |spec| spec.parameters = "a 'b".into(),
    |spec| spec.parameters = "a\\".into(),
    |spec| spec.parameters = "x".repeat(200_000),
    |spec| spec.transformation.path = "/bin/sh".into(),
    |spec| spec.transformation.path = "a/../../b".into(),
];

fn named(name: &str) -> File {
    File {
        logical_name: name.to_owned(),
        dataset: None,
        destination: None,
    }
}

#[test]
fn jobs_that_no_machine_can_run_are_refused_with_their_names() {
    let spoilt = (spec(), select(SPOILS.to_vec())).prop_map(|(mut spec, spoil)| {
        spoil(&mut spec);
        spec
    });
    check_all(spoilt, |spec| {
        let (key, xml) = (spec.key.clone(), write_job(&spec));
        // One that is stored already is read as before.
        prop_assert_eq!(read_job(&xml).unwrap(), spec.clone());
        let call = Call::ExecuteJobs(vec![Submission::Good(Box::new(SubmittedJob::new(
            spec, xml,
        )))]);
        let document = write_call(&Request { id: None, call });
        let call = read_call(document.as_bytes(), &LIMITS).unwrap().call;
        let Call::ExecuteJobs(jobs) = call else {
            panic!("{call:?}");
        };
        let [Submission::Refused(refused)] = &jobs[..] else {
            panic!("{jobs:?}");
        };
        prop_assert_eq!(&refused.job_id, &Some(key.job_id));
        prop_assert_eq!(&refused.attempt, &AttemptRef::Readable(key.attempt));
        prop_assert_eq!(&*refused.reason.code, "invalid-field");
        Ok(vec![document])
    });
}

fn reason() -> impl Strategy<Value = Reason> {
    let code = select(vec!["missing-field", "invalid-field"]);
    (code, text()).prop_map(|(code, text)| Reason {
        code: code.into(),
        text,
    })
}

fn time() -> impl Strategy<Value = Timestamp> {
    (0..=253_402_207_200_i64).prop_map(|second| Timestamp::from_second(second).unwrap())
}

fn receipts() -> impl Strategy<Value = Answer> {
    let result = prop_oneof![
        record_id().prop_map(ReceiptResult::Stored),
        record_id().prop_map(ReceiptResult::Duplicate),
        Just(ReceiptResult::Conflict),
        reason().prop_map(ReceiptResult::Refused),
    ];
    let attempt = prop_oneof![
        attempt().prop_map(AttemptRef::Readable),
        text().prop_map(|text| AttemptRef::Unreadable(format!("-{text}"))),
    ];
    vec((option::of(job_id()), attempt, result), 1..6).prop_map(|jobs| {
        let receipt = |(place, (job_id, attempt, result))| Receipt {
            index: place + 1,
            job_id,
            attempt,
            result,
        };
        Answer::Receipts(jobs.into_iter().enumerate().map(receipt).collect())
    })
}

fn detail() -> impl Strategy<Value = Option<Box<StatusDetail>>> {
    let output =
        (non_empty(), any::<u64>(), "[0-9a-f]{64}").prop_map(|(logical_name, size, sha256)| {
            OutputFile {
                logical_name,
                size,
                sha256,
            }
        });
    let times = (option::of(time()), option::of(time()), option::of(time()));
    let result = option::of(select(Outcome::ALL.to_vec()));
    let numbers = (option::of(any::<i32>()), option::of(any::<u64>()));
    (
        result,
        times,
        numbers,
        option::of(reason()),
        vec(output, 0..3),
        0..3_usize,
    )
        .prop_map(
            |(
                result,
                (since, started, ended),
                (exit_code, cpu_seconds),
                error,
                outputs,
                omitted_outputs,
            )| {
                let detail = StatusDetail {
                    result,
                    since,
                    exit_code,
                    started,
                    ended,
                    cpu_seconds,
                    error,
                    outputs,
                    omitted_outputs,
                };
                (detail != StatusDetail::default()).then(|| Box::new(detail))
            },
        )
}

fn data() -> impl Strategy<Value = Answer> {
    let existence = prop_oneof![
        record_id().prop_map(Existence::Accepted),
        option::of(reason()).prop_map(Existence::Rejected),
        Just(Existence::Unknown),
    ];
    let entry =
        (job_id(), option::of(attempt()), existence).prop_map(|(job_id, attempt, existence)| {
            DataAnswer {
                job_id,
                attempt,
                existence,
            }
        });
    vec(entry, 1..6).prop_map(Answer::ExecutorData)
}

fn answer() -> impl Strategy<Value = (CallKind, Answer)> {
    let status = || select(Status::ALL.to_vec());
    let statuses =
        (job_id(), record(), status(), detail()).prop_map(|(job_id, record, status, detail)| {
            StatusAnswer {
                job_id,
                record,
                status,
                detail,
            }
        });
    let kills = (
        job_id(),
        record(),
        select(KillResult::ALL.to_vec()),
        status(),
    )
        .prop_map(|(job_id, record, result, status)| KillAnswer {
            job_id,
            record,
            result,
            status,
        });
    let fixes = (
        job_id(),
        record(),
        select(FixResult::ALL.to_vec()),
        status(),
    )
        .prop_map(|(job_id, record, result, status)| FixAnswer {
            job_id,
            record,
            result,
            status,
        });
    prop_oneof![
        any::<u32>().prop_map(|number| (CallKind::NumJobsWanted, Answer::NumJobs(number))),
        receipts().prop_map(|answer| (CallKind::ExecuteJobs, answer)),
        data().prop_map(|answer| (CallKind::GetExecutorData, answer)),
        vec(statuses, 1..6).prop_map(|all| (CallKind::GetStatus, Answer::Statuses(all))),
        vec(kills, 1..6).prop_map(|all| (CallKind::KillJobs, Answer::Kills(all))),
        vec(fixes, 1..6).prop_map(|all| (CallKind::FixJobs, Answer::Fixes(all))),
        Just((CallKind::Ack, Answer::Acknowledged)),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    let retry_after = option::of(any::<u64>().prop_map(Duration::from_secs));
    (select(FaultCode::ALL.to_vec()), text(), retry_after).prop_map(|(code, text, retry_after)| {
        Fault {
            code,
            text,
            retry_after,
        }
    })
}

fn reply() -> impl Strategy<Value = Reply> {
    let faulty = (option::of(select(CallKind::ALL.to_vec())), fault());
    let content = prop_oneof![
        3 => answer().prop_map(|(call, answer)| (Some(call), Ok(answer))),
        1 => faulty.prop_map(|(call, fault)| (call, Err(fault))),
    ];
    (id(), content).prop_map(|(in_reply_to, (call, content))| Reply {
        call,
        in_reply_to,
        content,
    })
}

#[test]
fn replies_come_back_as_they_were_written() {
    check_all(reply(), |reply| {
        let document = write_reply(&reply, STYLE);
        prop_assert_eq!(&read_reply(&document).unwrap(), &reply);
        let strict = write_reply(&reply, Style { strict: true });
        prop_assert!(read_reply(&strict).is_ok());
        let mut documents = vec![document, strict];
        documents.extend(reply.content.err().map(|fault| write_fault(&fault)));
        Ok(documents)
    });
}

/// What is told unasked can be acknowledged by its own entries.
#[test]
fn a_job_changed_is_valid_and_is_echoed_as_an_ack() {
    let key = (job_id(), attempt()).prop_map(|(job_id, attempt)| JobKey { job_id, attempt });
    let words = vec![Status::Pending, Status::Running, Status::Finished];
    let jobs = (
        key,
        record_id(),
        select(words),
        option::of(select(Outcome::ALL.to_vec())),
        time(),
        any::<u64>(),
    )
        .prop_map(|(key, record, status, result, since, change)| ChangedJob {
            key,
            record,
            status,
            result,
            since,
            change,
        });
    check_all(vec(jobs, 1..5), |jobs| {
        let told = write_job_changed(&jobs);
        let ack = told.replace("jobChanged", "ack");
        let heard = jobs.iter().map(|job| HeardChange {
            job_id: job.key.job_id.clone(),
            record: RecordRef::Readable(job.record),
            change: job.change,
        });
        let read = read_call(ack.as_bytes(), &LIMITS).unwrap().call;
        prop_assert_eq!(read, Call::Ack(heard.collect()));
        Ok(vec![told, ack])
    });
}

#[test]
fn a_strict_reply_has_three_attributes_and_nothing_else() {
    let answer = StatusAnswer {
        job_id: JobId::new("1").unwrap(),
        record: RecordRef::Readable(RecordId::new(7).unwrap()),
        status: Status::Finished,
        detail: Some(Box::new(StatusDetail {
            result: Some(Outcome::Failed),
            exit_code: Some(65),
            since: Some("2005-09-01T18:40:11.9Z".parse().unwrap()),
            ..StatusDetail::default()
        })),
    };
    let reply = Reply {
        call: Some(CallKind::GetStatus),
        in_reply_to: None,
        content: Ok(Answer::Statuses(vec![answer])),
    };
    let write = |strict| {
        let style = Style { strict };
        let document = write_reply(&reply, style);
        let (_, job) = document.split_once("<job ").unwrap();
        job.replace("</getStatusResponse>", "")
    };
    assert_eq!(
        write(true),
        r#"jobID="1" taskBufferRecordID="7" status="finished"/>"#
    );
    assert_eq!(
        write(false),
        r#"jobID="1" taskBufferRecordID="7" status="finished" result="failed" since="2005-09-01T18:40:11Z"><exitCode>65</exitCode></job>"#
    );
}

#[test]
fn fixtures_are_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let folders = ["", "large", "telling", "errors", "attacks"].map(|name| folder.join(name));
    let paths = folders.iter().enumerate().flat_map(|(place, folder)| {
        let entries = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        entries.filter(move |path| {
            let name = path.to_string_lossy();
            let canonical = place < 3 && name.ends_with(".xml");
            canonical || name.ends_with(".reply.xml")
        })
    });
    validate(&paths.collect::<Vec<_>>());
}
