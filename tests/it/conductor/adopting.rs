//! Conductors that die, and their next start.

use std::fs;

use gristmill::conductor::Failure;
use gristmill::job::{RecordId, State};
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};

use super::stage::Stage;

const SLOW: &str = "echo begin $GRISTMILL_RECORD_ID >>$LOG; sleep 2; \
                    echo end $GRISTMILL_RECORD_ID >>$LOG";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_outlives_its_conductor_is_watched_by_the_next_one() {
    let mut stage = Stage::new().await;
    stage.script("slow", SLOW);
    stage.start(2);
    let id = stage.submit("slow").await;
    stage.wait_for_log("begin").await;
    stage.kill().await;
    stage.start(2);
    let record = stage.wait_for_end(id).await;
    assert_eq!((record.state, record.abandons), (State::Succeeded, 0));
    assert_eq!(stage.log(), format!("begin {id}\nend {id}\n"));
    assert_eq!(stage.counters.adopted.get(), 1);
    stage.wait_for_quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_ends_while_nobody_watches_is_settled_by_the_next_start() {
    let mut stage = Stage::new().await;
    stage.script("slow", SLOW);
    stage.start(2);
    let id = stage.submit("slow").await;
    stage.wait_for_log("begin").await;
    stage.stop().await;
    stage.wait_for_log("end").await;
    assert_eq!(stage.record(id).await.state, State::Running);
    stage.start(2);
    let record = stage.wait_for_end(id).await;
    assert_eq!((record.state, record.abandons), (State::Succeeded, 0));
    assert_eq!(stage.log(), format!("begin {id}\nend {id}\n"));
    stage.wait_for_quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_moment_of_a_death_every_job_runs_once() {
    let mut stage = Stage::new().await;
    stage.script(
        "quick",
        "echo begin $GRISTMILL_RECORD_ID >>$LOG; echo end $GRISTMILL_RECORD_ID >>$LOG",
    );
    stage.start(4);
    let mut ids = Vec::new();
    for round in 0..20 {
        for _ in 0..4 {
            ids.push(stage.submit("quick").await);
        }
        tokio::time::sleep(std::time::Duration::from_millis(round * 7 % 60)).await;
        stage.kill().await;
        stage.start(4);
    }
    for id in &ids {
        assert_eq!(stage.wait_for_end(*id).await.state, State::Succeeded);
    }
    stage.wait_for_quiet().await;
    let log = stage.log();
    for id in ids {
        for word in ["begin", "end"] {
            let line = format!("{word} {id}");
            let times = log.lines().filter(|found| **found == line).count();
            assert_eq!(times, 1, "{line}");
        }
    }
}

/// A new store gives the names of the old one's runs again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_another_store_are_never_taken_for_its_own() {
    let mut stage = Stage::new().await;
    stage.script("slow", SLOW);
    stage.script("quick", "echo quick $GRISTMILL_RECORD_ID >>$LOG");
    stage.start(2);
    let old = stage.submit("slow").await;
    stage.wait_for_log("begin").await;
    stage.kill().await;
    stage.begin_another_store().await;
    stage.start(2);
    let new = stage.submit("quick").await;
    assert_eq!(old, new);
    let failure = stage.failure().await;
    assert!(matches!(failure, Failure::Refused(_)), "{failure:?}");
    let record = stage.record(new).await;
    assert_eq!((record.state, record.token.0), (State::Ready, 0));
    stage.wait_for_log("end").await;
}

/// The first run leaves its home and its folder and goes on; the second one says whether the first
/// one lives.
const ALONE: &str = "if [ -e $LOG.pid ]; then \
                     ! grep -q sleep /proc/$(cat $LOG.pid)/cmdline || echo both >>$LOG; \
                     echo again >>$LOG; exit 0; fi; \
                     cd /; export HOME=/tmp TMPDIR=/tmp; \
                     sh -c 'echo $$ >$0.pid; echo begin >>$0; exec sleep 4711' $LOG & wait";

/// A stage whose conductor was killed while a job of [`ALONE`] runs.
async fn killed_while_alone() -> (Stage, RecordId) {
    let mut stage = Stage::new().await;
    stage.script("alone", ALONE);
    stage.start(2);
    let id = stage.submit("alone").await;
    stage.wait_for_log("begin").await;
    stage.wait_for(id, |state| state == State::Running).await;
    stage.kill().await;
    (stage, id)
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

/// Kills the wrapper of the only run.
fn kill_wrapper(stage: &Stage) {
    let runs = fs::read_dir(stage.folder.path().join("work/runs")).unwrap();
    let run = runs.last().unwrap().unwrap();
    let journal = fs::read_to_string(run.path().join("journal")).unwrap();
    let start: serde_json::Value = serde_json::from_str(journal.lines().next().unwrap()).unwrap();
    kill(i32::try_from(start["start"]["pid"].as_i64().unwrap()).unwrap());
}

fn kill_program(stage: &Stage) {
    let pid = fs::read_to_string(stage.folder.path().join("log.pid")).unwrap();
    kill(pid.trim().parse().unwrap());
}

async fn assert_it_ran_again_alone(stage: &Stage, id: RecordId) {
    let record = stage.wait_for_end(id).await;
    assert_eq!((record.state, record.abandons), (State::Succeeded, 1));
    assert_eq!(stage.log(), "begin\nagain\n");
    stage.wait_for_quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_lost_its_wrapper_is_dead_before_the_next_one() {
    let (mut stage, id) = killed_while_alone().await;
    kill_wrapper(&stage);
    stage.start(2);
    assert_it_ran_again_alone(&stage, id).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_lost_its_folder_is_dead_before_the_next_one(
    #[values("", "journal")] lost: &str,
) {
    let (mut stage, id) = killed_while_alone().await;
    let runs = stage.folder.path().join("work/runs");
    for run in fs::read_dir(runs).unwrap() {
        let run = run.unwrap().path();
        if lost.is_empty() {
            fs::remove_dir_all(run).unwrap();
        } else {
            fs::remove_file(run.join(lost)).unwrap();
        }
    }
    stage.start(2);
    assert_it_ran_again_alone(&stage, id).await;
}

/// The folder of the runs is another one, so its holder has another name.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_folder_of_runs_settles_those_of_which_nothing_lives(
    #[values(false, true)] wished: bool,
) {
    let (mut stage, id) = killed_while_alone().await;
    kill_wrapper(&stage);
    kill_program(&stage);
    let work = stage.folder.path().join("work");
    fs::rename(&work, stage.folder.path().join("former")).unwrap();
    if wished {
        stage.kill_job(id).await;
    }
    stage.start(2);
    if wished {
        assert_eq!(stage.wait_for_end(id).await.state, State::Cancelled);
    } else {
        assert_it_ran_again_alone(&stage, id).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_folder_of_runs_leaves_those_alone_that_live() {
    let (mut stage, id) = killed_while_alone().await;
    let (work, former) = (
        stage.folder.path().join("work"),
        stage.folder.path().join("former"),
    );
    fs::rename(&work, &former).unwrap();
    stage.script("quick", "exit 0");
    let quick = stage.submit("quick").await;
    stage.start(2);
    // It is claimed after the claims of before were looked over.
    stage.wait_for_end(quick).await;
    assert_eq!(stage.record(id).await.state, State::Running);
    assert_eq!(stage.log(), "begin\n");
    // Its wrapper sees the end.
    kill_program(&stage);
    assert_it_ran_again_alone(&stage, id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_living_run_without_its_folder_is_told_of() {
    let mut stage = Stage::new().await;
    stage.script(
        "job",
        "echo begin >>$LOG; while [ ! -e $LOG.go ]; do sleep 0.05; done",
    );
    stage.start(2);
    let id = stage.submit("job").await;
    stage.wait_for(id, |state| state == State::Running).await;
    let counters = stage.counters.clone();
    let vanished = || counters.vanished.get();
    let run = fs::read_dir(stage.folder.path().join("work/runs")).unwrap();
    let run = run.last().unwrap().unwrap().path();
    let aside = stage.folder.path().join("aside");
    fs::rename(&run, &aside).unwrap();
    stage.wait_until("it is told of", || vanished() == 1).await;
    assert_eq!(stage.record(id).await.state, State::Running);
    fs::rename(&aside, &run).unwrap();
    stage.wait_until("it is back", || vanished() == 0).await;
    fs::write(stage.folder.path().join("log.go"), "").unwrap();
    assert_eq!(stage.wait_for_end(id).await.state, State::Succeeded);
    assert_eq!(stage.log(), "begin\n");
}
