//! The folder of the runs is moved or replaced below the runner: an empty folder in its place says
//! nothing about the runs that live.

use std::fs;

use gristmill::job::{RunKey, Verdict};
use gristmill::runner::{RunError, RunState, Runner};

use rstest::rstest;

use super::stage::{Stage, Way, fault, lives, number_in, order, spec};

fn is_away<T: std::fmt::Debug>(answer: &Result<T, RunError>) {
    assert!(matches!(answer, Err(RunError::Away(_))), "{answer:?}");
}

async fn nothing_is_known(runner: &dyn Runner, run: RunKey) {
    let ready = runner.ready().await;
    assert!(matches!(ready, Err(RunError::Host(_))), "{ready:?}");
    is_away(&runner.look_up(run).await);
    is_away(&runner.runs().await);
    is_away(&runner.forget(run, false).await);
    is_away(&runner.start(&order(2, spec("run", ""))).await);
}

#[rstest]
#[tokio::test]
async fn its_runs_are_not_gone(#[values(Way::Direct, Way::Socket)] way: Way) {
    let stage = Stage::new(way).await;
    let run = stage
        .start("trap 'exit 0' TERM; echo $$ > pid; while :; do sleep 0.05; done")
        .await;
    number_in(&stage.work(run).join("pid")).await;
    let work_dir = stage.run_folder(run).ancestors().nth(2).unwrap().to_owned();
    let aside = work_dir.with_extension("aside");
    fs::rename(&work_dir, &aside).unwrap();
    nothing_is_known(stage.runner(), run).await;
    // The same names in another folder.
    fs::create_dir_all(work_dir.join("runs")).unwrap();
    fs::copy(aside.join("holder"), work_dir.join("holder")).unwrap();
    nothing_is_known(stage.runner(), run).await;

    fs::remove_dir_all(&work_dir).unwrap();
    fs::rename(&aside, &work_dir).unwrap();
    let standing = stage.runner().look_up(run).await.unwrap();
    assert_eq!(standing, RunState::Alive);
    stage.runner().ready().await.unwrap();
    stage.runner().stop(run).await.unwrap();
    assert_eq!(fault(&stage.outcome(run).await), "stopped");
}

/// An empty `runs` may even get the inode of the one that was removed.
#[rstest]
#[tokio::test]
async fn a_new_folder_in_the_place_of_runs_says_nothing(
    #[values(Way::Direct, Way::Socket)] way: Way,
) {
    let mut stage = Stage::new(way).await;
    let run = stage.start("echo $$ > pid; exec sleep 4711").await;
    let pid = number_in(&stage.work(run).join("pid")).await;
    let runs = stage.settings.work_dir.join("runs");
    fs::remove_dir_all(&runs).unwrap();
    nothing_is_known(stage.runner(), run).await;
    fs::create_dir(&runs).unwrap();
    nothing_is_known(stage.runner(), run).await;
    assert!(lives(pid));
    // A new start takes what is there, and ends what it cannot tell of.
    stage.reopen().await;
    assert_eq!(stage.outcome(run).await.verdict, Verdict::Lost);
    assert!(!lives(pid));
}
