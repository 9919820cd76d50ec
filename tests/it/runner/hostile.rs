//! Jobs that do harm end within their limits, and a job beside them does not notice.

use std::fs;
use std::path::Path;
use std::time::Duration;

use gristmill::job::{RunOrder, RunReport, Verdict};
use gristmill::runner::process::Limits;

use super::stage::{Stage, Way, fault, order, spec};

/// Runs a script that does harm, and beside it a job that must end well.
async fn beside_a_good_one(stage: &Stage, script: &str) -> (RunOrder, RunReport) {
    stage.script("bad", script);
    stage.script("good", "sleep 0.5; echo done; sleep 0.5");
    let (bad, good) = (order(1, spec("bad", "")), order(2, spec("good", "")));
    stage.runner().start(&good).await.unwrap();
    stage.runner().start(&bad).await.unwrap();
    let bad_report = stage.outcome(bad.key).await;
    let good_report = stage.outcome(good.key).await;
    assert_eq!(good_report.verdict, Verdict::Succeeded, "{good_report:?}");
    (bad, bad_report)
}

/// A stage whose limits are narrow, and whose jobs get no grace.
async fn narrow(change: impl FnOnce(&mut Limits)) -> Stage {
    Stage::with(Way::Direct, |settings| {
        settings.grace = Duration::from_millis(300);
        change(&mut settings.limits);
    })
    .await
}

/// Processes that still have a run's folder as their home.
fn left_of(stage: &Stage, order: &RunOrder) -> usize {
    let home = format!("HOME={}", stage.work(order.key).display());
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let at_home = |process: &Path| {
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == home.as_bytes())
    };
    processes.filter(|process| at_home(&process.path())).count()
}

/// On a busy machine much is written between two looks, and a file may be that large.
fn narrow_output(limits: &mut Limits) {
    limits.output_size = 1_000_000;
    limits.file_size = 1 << 34;
}

#[tokio::test]
async fn one_that_floods_its_output() {
    let stage = narrow(narrow_output).await;
    let (run, report) = beside_a_good_one(&stage, "yes; yes >&2").await;
    assert_eq!(
        (report.verdict, fault(&report)),
        (Verdict::Failed, "output-limit")
    );
    let output = stage.work(run.key).join("stdout");
    assert_eq!(fs::metadata(output).unwrap().len(), 1_000_000);
}

#[tokio::test]
async fn one_that_floods_an_output_that_it_removed() {
    let stage = narrow(narrow_output).await;
    let (_, report) = beside_a_good_one(&stage, "rm stdout; yes").await;
    assert_eq!(fault(&report), "output-limit");
}

#[tokio::test]
async fn one_that_forks_without_end() {
    let stage = narrow(|limits| limits.processes = 30).await;
    let (run, report) = beside_a_good_one(&stage, "while :; do sleep 60 & done").await;
    assert_eq!(
        (report.verdict, fault(&report)),
        (Verdict::Failed, "process-limit")
    );
    assert_eq!(left_of(&stage, &run), 0);
}

/// Each child is the leader of a session of its own, and has two like it. (They are at most 1023,
/// if ever the test fails.)
#[tokio::test]
async fn one_whose_forks_flee() {
    let stage = narrow(|limits| limits.processes = 30).await;
    let bomb = "n=$(( ${1:-0} + 1 )); [ $n -gt 9 ] && exec sleep 60\n\
                setsid \"$0\" $n & setsid \"$0\" $n & exit 0";
    let looping = format!("[ -n \"$1\" ] || {{ setsid \"$0\" 0 & exec sleep 60; }}\n{bomb}");
    let (run, report) = beside_a_good_one(&stage, &looping).await;
    assert_eq!(
        (report.verdict, fault(&report)),
        (Verdict::Failed, "process-limit")
    );
    assert_eq!(left_of(&stage, &run), 0);
}

/// The program is gone at once. What it leaves behind never stands still: each process starts
/// another and ends. (After 2000 generations they stop, if ever the test fails.)
async fn left_behind(heir: &str) -> RunReport {
    let stage = narrow(|limits| limits.processes = 100).await;
    let script = format!(
        "trap '' TERM; n=$(( ${{1:-0}} + 1 )); [ $n -gt 2000 ] && exit\n\
         [ $n -eq 1 ] && for i in 1 2 3; do {heir} \"$0\" 1 & done\n\
         [ $n -eq 1 ] || {heir} \"$0\" $n &\n\
         exit 0"
    );
    let (run, report) = beside_a_good_one(&stage, &script).await;
    assert_eq!(left_of(&stage, &run), 0);
    report
}

#[tokio::test]
async fn one_whose_heirs_fork_on() {
    let report = left_behind("").await;
    assert_eq!(report.verdict, Verdict::Succeeded, "{report:?}");
}

#[tokio::test]
async fn one_whose_heirs_fork_on_and_flee() {
    let report = left_behind("setsid").await;
    assert_eq!(report.verdict, Verdict::Succeeded, "{report:?}");
}

#[tokio::test]
async fn one_that_ignores_term() {
    let stage = Stage::with(Way::Direct, |settings| {
        settings.timeout = Duration::from_millis(300);
        settings.grace = Duration::from_millis(300);
    })
    .await;
    stage.script("bad", "trap '' TERM INT HUP; while :; do sleep 1; done");
    let report = stage.run_order(&order(1, spec("bad", ""))).await.unwrap();
    assert_eq!(
        (report.verdict, report.exit_code),
        (Verdict::TimedOut, None)
    );
}

#[tokio::test]
async fn one_that_fills_its_folder() {
    let stage = narrow(|limits| limits.folder_size = 20_000_000).await;
    let (run, report) = beside_a_good_one(
        &stage,
        "i=0; while :; do i=$((i+1)); mkdir -p d$i; head -c 1000000 /dev/zero > d$i/f; done",
    )
    .await;
    assert_eq!(
        (report.verdict, fault(&report)),
        (Verdict::Failed, "folder-limit")
    );
    stage.runner().forget(run.key, true).await.unwrap();
    assert!(!stage.run_folder(run.key).exists());
}

#[tokio::test]
async fn one_that_digs_too_deep() {
    let stage = narrow(|_| ()).await;
    // Deeper than any path can name, and no deeper: each folder is also one to remove.
    let deep = "exec python3 -c 'import os, time\n\
                for i in range(1000): os.mkdir(\"d\" * 200); os.chdir(\"d\" * 200)\n\
                time.sleep(1)'";
    let (run, report) = beside_a_good_one(&stage, deep).await;
    assert_eq!(report.verdict, Verdict::Succeeded, "{report:?}");
    stage.runner().forget(run.key, true).await.unwrap();
    assert!(!stage.run_folder(run.key).exists());
}

#[tokio::test]
async fn one_that_prints_invalid_utf8() {
    let stage = narrow(|_| ()).await;
    let script = "printf '\\377\\000\\376'; printf '\\377' >&2\n\
                  printf 'event: \\377\\n\\377\\n0.5 \\376\\n' >&$GRISTMILL_PROGRESS_FD";
    let (run, report) = beside_a_good_one(&stage, script).await;
    assert_eq!(report.verdict, Verdict::Succeeded);
    let news = stage.runner().news(run.key, None).await.unwrap();
    assert_eq!(news.events[0].text, "\u{fffd}");
    assert_eq!(news.progress.unwrap().words, "\u{fffd}");
}

#[tokio::test]
async fn one_that_floods_its_progress() {
    let stage = narrow(|limits| limits.output_size = 4_000_000).await;
    let (run, report) = beside_a_good_one(&stage, "yes 'event: x' >&$GRISTMILL_PROGRESS_FD").await;
    assert_eq!(fault(&report), "output-limit");
    let (mut heard, mut events) = (None, Vec::new());
    loop {
        let news = stage.runner().news(run.key, heard).await.unwrap();
        events.extend(news.events);
        if heard.replace(news.heard) == Some(news.heard) {
            break;
        }
    }
    assert_eq!(events.len(), 101);
    assert!(events[100].text.contains("more events"), "{events:?}");
}
