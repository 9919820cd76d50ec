//! A daemon that starts again finds the runs of the one before.

use std::fs;
use std::time::Duration;

use gristmill::job::Verdict;
use gristmill::runner::RunState;
use rustix::process::{Pid, Signal, kill_process};

use rstest::rstest;

use super::stage::{Stage, Way, fault, key, lives, number_in, order, spec};

#[rstest]
#[tokio::test]
async fn a_living_run_is_adopted(#[values(Way::Direct, Way::Socket)] way: Way) {
    let mut stage = Stage::new(way).await;
    let run = stage
        .start("echo $$ > pid; while [ ! -e go ]; do sleep 0.05; done; exit 65")
        .await;
    number_in(&stage.work(run).join("pid")).await;
    let holder = stage.holder().to_owned();
    stage.reopen().await;
    assert_eq!(stage.holder(), holder);
    assert_eq!(stage.runner().runs().await.unwrap(), [run]);
    let standing = stage.runner().look_up(run).await.unwrap();
    assert_eq!(standing, RunState::Alive);
    let ended = stage.runner().ended(run);
    let early = tokio::time::timeout(Duration::from_millis(300), ended).await;
    assert!(early.is_err());
    fs::write(stage.work(run).join("go"), "").unwrap();
    let report = stage.outcome(run).await;
    assert_eq!(
        (report.verdict, report.exit_code),
        (Verdict::Failed, Some(65))
    );
}

#[rstest]
#[tokio::test]
async fn an_adopted_run_is_stopped(#[values(Way::Direct, Way::Socket)] way: Way) {
    let mut stage = Stage::new(way).await;
    let run = stage.start("echo $$ > pid; exec sleep 60").await;
    let pid = number_in(&stage.work(run).join("pid")).await;
    stage.reopen().await;
    stage.runner().stop(run).await.unwrap();
    let report = stage.outcome(run).await;
    assert_eq!(report.verdict, Verdict::Stopped);
    assert!(!lives(pid));
}

#[rstest]
#[tokio::test]
async fn what_ended_meanwhile_is_collected(#[values(Way::Direct, Way::Socket)] way: Way) {
    let mut stage = Stage::new(way).await;
    stage.script("job", "echo x > made");
    let mut made = spec("job", "");
    made.outputs = vec![super::stage::file("made"), super::stage::file("not-made")];
    let order = order(1, made);
    stage.runner().start(&order).await.unwrap();
    stage.runner().ended(order.key).await.unwrap();
    stage.reopen().await;
    let standing = stage.runner().look_up(order.key).await.unwrap();
    assert_eq!(standing, RunState::Ended);
    let report = stage.outcome(order.key).await;
    assert_eq!(fault(&report), "missing-output");
    assert_eq!(report.outputs[0].logical_name, "made");
}

/// The wrapper is killed, and what it watched with it or not: in either case nothing lives when
/// the run is said to have ended.
#[rstest]
#[tokio::test]
async fn a_run_whose_wrapper_was_killed_is_lost(#[values(Way::Direct, Way::Socket)] way: Way) {
    let stage = Stage::new(way).await;
    let run = stage.start("echo $$ > pid; exec sleep 60").await;
    let pid = number_in(&stage.work(run).join("pid")).await;
    let wrapper = Pid::from_raw(stage.wrapper_pid(run)).unwrap();
    kill_process(wrapper, Signal::KILL).unwrap();
    let report = stage.outcome(run).await;
    assert_eq!((report.verdict, fault(&report)), (Verdict::Lost, "lost"));
    assert!(report.started_at.is_some());
    assert!(!lives(pid));
}

/// A daemon died after it made the folder and before the wrapper had its lock.
#[rstest]
#[tokio::test]
async fn a_wrapper_that_comes_late_starts_nothing(#[values(Way::Direct, Way::Socket)] way: Way) {
    let stage = Stage::new(way).await;
    let run = key(1, 1);
    let folder = stage.run_folder(run);
    fs::create_dir_all(folder.join("work")).unwrap();
    fs::write(folder.join("control"), format!("{0} {0} 0\n", u64::MAX)).unwrap();
    fs::write(folder.join("journal"), "").unwrap();
    let standing = stage.runner().look_up(run).await.unwrap();
    assert_eq!(standing, RunState::NeverStarted);

    let brief = serde_json::json!({
        "now": {"at": "2026-01-01T00:00:00Z", "since_boot": {"secs": 1, "nanos": 0}},
        "boot_id": "", "stdout": "stdout", "stderr": "stderr",
        "timeout": {"secs": 60, "nanos": 0}, "grace": {"secs": 1, "nanos": 0},
        "limits": {
            "memory": 1 << 30, "cpu_time": {"secs": 60, "nanos": 0}, "processes": 100,
            "file_size": 1 << 20, "output_size": 1 << 20, "folder_size": 1 << 20,
        },
    });
    let late = std::process::Command::new(&stage.settings.wrapper)
        .args(["wrap-run", &brief.to_string(), "/bin/touch", "ran"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&late.stdout),
        "{\"refused\":\"again\"}\n"
    );
    assert!(!folder.join("work/ran").exists());

    // A new start makes a new folder.
    stage.script("job", "exit 0");
    let report = stage.run_order(&order(1, spec("job", ""))).await.unwrap();
    assert_eq!(report.verdict, Verdict::Succeeded);
}
