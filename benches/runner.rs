//! Jobs of /bin/true by the process runner, against a bare loop that spawns and waits, in
//! interleaved rounds of one run, with the outcome on disk but no store. Goal: at least 0.6 of its
//! rate.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    missing_docs
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill::daemon::SystemClock;
use gristmill::job::{Attempt, JobId, JobSpec, RecordId, RunKey, RunOrder, Token, Verdict};
use gristmill::runner::Runner;
use gristmill::runner::cgroup::Wanted;
use gristmill::runner::process::{KeepLimits, KeepWork, Limits, ProcessRunner, Settings};

const ROUNDS: usize = 5;
const JOBS: u64 = 400;
/// Runs at a time: while some wait for the disk, others work.
const SLOTS: [u64; 4] = [1, 4, 16, 64];

fn main() {
    let folder = tempfile::Builder::new();
    // Not in memory: what is measured waits for a disk.
    let folder = folder.tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let runner = Arc::new(open(folder.path()));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut next = 1;
    for slots in SLOTS {
        let mut ratios = Vec::new();
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            let bare = rate(bare);
            let ours = rate(|| runtime.block_on(run_all(&runner, next, slots)));
            next += JOBS;
            ratios.push(ours / bare);
            rates.push((bare, ours));
        }
        ratios.sort_by(f64::total_cmp);
        let median = ratios[ROUNDS / 2];
        println!(
            "{slots:>3} slots: {median:.2} of a bare loop; (bare, ours) per second: {rates:.0?}"
        );
    }
}

fn open(folder: &Path) -> ProcessRunner {
    let settings = Settings {
        transformations: vec![PathBuf::from("/usr/bin")],
        work_dir: folder.to_owned(),
        wrapper: PathBuf::from(env!("CARGO_BIN_EXE_gristmill")),
        timeout: Duration::from_mins(1),
        grace: Duration::from_secs(1),
        keep_work: KeepWork::Never,
        keep: KeepLimits::default(),
        cgroup: Wanted::Off,
        retry_exit_codes: vec![75],
        limits: Limits::default(),
    };
    fs::create_dir_all(folder).unwrap();
    ProcessRunner::open(settings, Arc::new(SystemClock)).unwrap()
}

/// Jobs per second.
fn rate(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    f64::from(u32::try_from(JOBS).unwrap()) / start.elapsed().as_secs_f64()
}

fn bare() {
    for _ in 0..JOBS {
        let mut command = Command::new("/usr/bin/true");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        assert!(command.status().unwrap().success());
    }
}

async fn run_all(runner: &Arc<ProcessRunner>, first: u64, slots: u64) {
    let lanes = (0..slots).map(|lane| {
        let runner = runner.clone();
        tokio::spawn(async move {
            for record in (first + lane..first + JOBS).step_by(usize::try_from(slots).unwrap()) {
                run(&runner, record).await;
            }
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.unwrap();
    }
}

async fn run(runner: &ProcessRunner, record: u64) {
    let job_id = JobId::new(record.to_string()).unwrap();
    let key = RunKey {
        record: RecordId::new(record).unwrap(),
        token: Token(1),
    };
    let order = RunOrder {
        key,
        number: 1,
        spec: JobSpec::new(job_id, Attempt::FIRST, "true".into(), String::new()),
        lease_until: None,
    };
    runner.start(&order).await.unwrap();
    runner.ended(key).await.unwrap();
    let report = runner.collect(key).await.unwrap();
    assert_eq!(report.verdict, Verdict::Succeeded, "{report:?}");
    runner.forget(key, false).await.unwrap();
}
