//! What a run may use, and what becomes of one that uses more.

use std::time::Duration;

use gristmill::job::{RunReport, Verdict};

use super::stage::{Stage, Way, fault};

/// A limit's breach is the job's own fault, and another run would do the same.
fn assert_failed(report: &RunReport, code: &str) {
    assert_eq!((report.verdict, fault(report)), (Verdict::Failed, code));
}

#[tokio::test]
async fn cpu_time_of_all_processes_counts() {
    let stage = Stage::with(Way::Direct, |settings| {
        settings.limits.cpu_time = Duration::from_secs(1);
    })
    .await;
    let report = stage
        .run("burn() { while :; do :; done; }; burn & burn & sleep 0.1; sh -c 'exit 0'; wait")
        .await;
    assert_failed(&report, "cpu-limit");
    assert!(report.cpu >= Duration::from_secs(1), "{:?}", report.cpu);
}

#[tokio::test]
async fn memory_of_one_process_is_limited() {
    let stage = Stage::with(Way::Direct, |settings| settings.limits.memory = 100_000_000).await;
    let report = stage
        .run("exec python3 -c 'x = []\nwhile True: x.append(bytearray(100_000))'")
        .await;
    assert_failed(&report, "memory-limit");
    assert!(report.peak_memory < 200_000_000, "{}", report.peak_memory);
}

#[tokio::test]
async fn memory_of_all_processes_counts() {
    let stage = Stage::with(Way::Direct, |settings| settings.limits.memory = 100_000_000).await;
    let report = stage
        .run(
            "for i in 1 2 3 4; do\n\
             python3 -c 'import time; x = bytearray(40_000_000); time.sleep(50)' &\n\
             done; wait",
        )
        .await;
    assert_failed(&report, "memory-limit");
}

/// What processes share counts once.
#[tokio::test]
async fn shared_memory_counts_once() {
    let stage = Stage::with(Way::Direct, |settings| settings.limits.memory = 150_000_000).await;
    let report = stage
        .run(
            "exec python3 -c 'import os, time\nx = bytearray(60_000_000)\n\
              for i in range(4):\n  if os.fork() == 0: time.sleep(1); os._exit(0)\n\
              for i in range(4): os.wait()'",
        )
        .await;
    assert_eq!(report.verdict, Verdict::Succeeded, "{report:?}");
}

#[tokio::test]
async fn a_file_is_limited() {
    let stage = Stage::with(Way::Direct, |settings| {
        settings.limits.file_size = 1_000_000;
    })
    .await;
    let report = stage.run("exec head -c 20000000 /dev/zero > big").await;
    assert_failed(&report, "file-size-limit");
    let report = Stage::with(Way::Direct, |settings| {
        settings.limits.file_size = 1_000_000;
    })
    .await
    .run("head -c 20000000 /dev/zero > big")
    .await;
    assert_failed(&report, "file-size-limit");
}

#[tokio::test]
async fn nothing_is_said_of_limits_that_are_kept() {
    let report = Stage::new(Way::Direct)
        .await
        .run("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero > file; sleep 0.5")
        .await;
    assert_eq!(
        (report.verdict, fault(&report)),
        (Verdict::Succeeded, "none")
    );
}
