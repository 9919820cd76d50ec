//! What lies in `fixtures/`: calls, the errors that a document alone can cause, attacks.

use std::fs;
use std::path::{Path, PathBuf};

use gristmill::job::{Attempt, JobId, JobKey, Outcome, RecordId};
use gristmill::windmill::{
    ChangedJob, Fault, FaultCode, JOB_CHANGED, Limits, ReadError, Reply, Status, Style, read_call,
    read_reply, sample, write_call, write_job_changed, write_reply,
};
use serde::Deserialize;

/// What a daemon has that nobody configured otherwise.
const LIMITS: Limits = Limits {
    max_bytes: 4 << 20,
    max_jobs: 1000,
};

/// For what is bad at any size.
const ATTACK_LIMITS: Limits = Limits {
    max_bytes: 16 << 20,
    ..LIMITS
};

const STYLE: Style = Style { strict: false };

fn fixtures(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(folder)
}

/// The files of a folder that end so, sorted; replies are only given where they are asked for.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(fixtures(folder)).unwrap();
    let mut paths: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.ends_with(ending) && (name.ends_with(".reply.xml") == (ending == ".reply.xml"))
        })
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no {ending} in {folder}");
    paths
}

fn expected_reply(path: &Path) -> String {
    let reply = path.with_extension("reply.xml");
    fs::read_to_string(&reply).unwrap_or_else(|error| panic!("{}: {error}", reply.display()))
}

fn as_reply(error: &ReadError) -> String {
    let reply = Reply {
        call: error.call,
        in_reply_to: error.id.clone(),
        content: Err(Fault::new(error.code, error.to_string())),
    };
    format!("{}\n", write_reply(&reply, STYLE))
}

/// A document that is too long to lie there written out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    piece: Vec<Piece>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Piece {
    /// `{n}` in it counts the times, from 1.
    text: String,
    #[serde(default = "once")]
    times: usize,
}

fn once() -> usize {
    1
}

impl Recipe {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn document(&self) -> Vec<u8> {
        let written = |piece: &Piece| {
            let one = |n: usize| piece.text.replace("{n}", &n.to_string());
            (1..=piece.times).map(one).collect::<String>()
        };
        self.piece
            .iter()
            .map(written)
            .collect::<String>()
            .into_bytes()
    }
}

#[test]
fn calls_are_read() {
    for path in files("", ".xml") {
        let document = fs::read(&path).unwrap();
        let request = read_call(&document, &LIMITS);
        let request = request.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let reply = read_reply(&expected_reply(&path)).unwrap();
        assert_eq!(reply.call, Some(request.call.kind()), "{}", path.display());
        assert_eq!(reply.in_reply_to, request.id, "{}", path.display());
    }
}

#[test]
fn replies_are_written_as_they_lie_there() {
    for path in files("", ".reply.xml") {
        let text = fs::read_to_string(&path).unwrap();
        let reply = read_reply(&text).unwrap();
        assert_eq!(
            format!("{}\n", write_reply(&reply, STYLE)),
            text,
            "{}",
            path.display()
        );
    }
}

#[test]
fn errors_are_as_they_lie_there() {
    for path in files("errors", ".xml") {
        let error = read_call(&fs::read(&path).unwrap(), &LIMITS).unwrap_err();
        assert_eq!(
            as_reply(&error),
            expected_reply(&path),
            "{}",
            path.display()
        );
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let kind = error.code.name().split('-').next().unwrap();
        assert!(name.starts_with(kind), "{name}: {error}");
    }
}

#[test]
fn what_is_told_unasked_is_written_as_it_lies_there() {
    let job = |id: &str, record: u64, status, result, change| ChangedJob {
        key: JobKey {
            job_id: JobId::new(id).unwrap(),
            attempt: Attempt::FIRST,
        },
        record: RecordId::new(record).unwrap(),
        status,
        result,
        since: "2005-09-01T18:40:11.5Z".parse().unwrap(),
        change,
    };
    let failed = Some(Outcome::Failed);
    let told = write_job_changed(&[
        job("5173021", 90112, Status::Finished, failed, 2),
        job("5173022", 90113, Status::Running, None, 1),
    ]);
    let fixture = fs::read_to_string(fixtures("telling/job-changed.xml")).unwrap();
    assert_eq!(format!("{told}\n"), fixture);
    let ack = fs::read(fixtures("telling/ack.xml")).unwrap();
    let ack = read_call(&ack, &LIMITS).unwrap().call;
    let told = told.replace(JOB_CHANGED, "ack");
    assert_eq!(read_call(told.as_bytes(), &LIMITS).unwrap().call, ack);
}

#[test]
fn attacks_are_refused() {
    for path in files("attacks", ".xml") {
        let error = read_call(&fs::read(&path).unwrap(), &LIMITS).unwrap_err();
        assert_eq!(
            as_reply(&error),
            expected_reply(&path),
            "{}",
            path.display()
        );
    }
    let recipes = files("attacks", ".toml").into_iter();
    for path in recipes.filter(|path| !path.ends_with("truncated.toml")) {
        let error = read_call(&Recipe::read(&path).document(), &ATTACK_LIMITS).unwrap_err();
        assert_eq!(
            as_reply(&error),
            expected_reply(&path),
            "{}",
            path.display()
        );
    }
}

#[test]
fn a_document_cut_off_anywhere_is_malformed() {
    #[derive(Deserialize)]
    struct Cut {
        every_prefix_of: String,
    }
    let text = fs::read_to_string(fixtures("attacks/truncated.toml")).unwrap();
    let document = toml::from_str::<Cut>(&text)
        .unwrap()
        .every_prefix_of
        .into_bytes();
    assert!(read_call(&document, &LIMITS).is_ok());
    for length in 0..document.len() {
        let error = read_call(&document[..length], &LIMITS).unwrap_err();
        assert_eq!(
            error.code,
            FaultCode::Malformed,
            "cut off after {length} bytes: {error}"
        );
    }
}

/// `cargo run --example generate_fixture > fixtures/large/execute-jobs.xml`
#[test]
fn the_large_fixture_is_what_the_generator_writes() {
    let document = fs::read_to_string(fixtures("large/execute-jobs.xml")).unwrap();
    let written = write_call(&sample::execute_jobs(1000, 3600).unwrap());
    assert!(document == written + "\n", "generate it again");
    assert_eq!(
        read_call(document.as_bytes(), &LIMITS)
            .unwrap()
            .call
            .job_count(),
        1000
    );
}
