//! Conductors that die, and their next start.

use gristmill::conductor::Failure;
use gristmill::job::State;

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
