//! Runs that are told to end, or must.

use std::fs;
use std::time::Duration;

use gristmill::daemon::SystemClock;
use gristmill::job::Verdict;
use gristmill::job::policy::BootClock;
use gristmill::runner::{RunError, RunState};

use rstest::rstest;

use super::stage::{Stage, Way, fault, lives, number_in, order, spec, until};

/// Refuses to end when it is asked to.
const STUBBORN: &str = "trap '' TERM; echo $$ > pid; while :; do sleep 1; done";

#[rstest]
#[tokio::test]
async fn a_stop_lets_it_tidy_up(#[values(Way::Direct, Way::Socket)] way: Way) {
    let stage = Stage::new(way).await;
    let run = stage
        .start("trap 'echo bye > bye; exit 0' TERM; echo $$ > pid; while :; do sleep 0.05; done")
        .await;
    number_in(&stage.work(run).join("pid")).await;
    let standing = stage.runner().look_up(run).await.unwrap();
    assert_eq!(standing, RunState::Alive);
    let collected = stage.runner().collect(run).await;
    assert!(matches!(collected, Err(RunError::Transient(_))));
    stage.runner().stop(run).await.unwrap();
    stage.runner().stop(run).await.unwrap();
    let report = stage.outcome(run).await;
    assert_eq!(
        (report.verdict, fault(&report)),
        (Verdict::Stopped, "stopped")
    );
    assert!(stage.work(run).join("bye").exists());
}

#[rstest]
#[tokio::test]
async fn who_ignores_term_is_killed(#[values(Way::Direct, Way::Socket)] way: Way) {
    let stage = Stage::with(way, |settings| settings.grace = Duration::from_millis(300)).await;
    let run = stage.start(STUBBORN).await;
    let pid = number_in(&stage.work(run).join("pid")).await;
    stage.runner().stop(run).await.unwrap();
    let report = stage.outcome(run).await;
    assert_eq!((report.verdict, report.exit_code), (Verdict::Stopped, None));
    assert!(!lives(pid));
}

#[rstest]
#[tokio::test]
async fn who_left_group_and_session_is_killed_too(#[values(Way::Direct, Way::Socket)] way: Way) {
    let stage = Stage::with(way, |settings| settings.grace = Duration::from_millis(300)).await;
    let run = stage
        .start(&format!(
            "setsid sh -c \"(trap '' TERM; sh -c 'echo \\$PPID > left'; while :; do sleep 1; done) & \" & wait\n{STUBBORN}"
        ))
        .await;
    let left = number_in(&stage.work(run).join("left")).await;
    number_in(&stage.work(run).join("pid")).await;
    assert!(lives(left));
    stage.runner().stop(run).await.unwrap();
    stage.outcome(run).await;
    assert!(!lives(left));
}

#[rstest]
#[tokio::test]
async fn what_a_program_leaves_behind_ends_with_it(#[values(Way::Direct, Way::Socket)] way: Way) {
    let stage = Stage::with(way, |settings| settings.grace = Duration::from_millis(300)).await;
    let run = stage
        .start(
            "(trap '' TERM HUP; sh -c 'echo $PPID > left'; while :; do sleep 1; done) & \n\
                while [ ! -s left ]; do sleep 0.01; done; exit 0",
        )
        .await;
    let report = stage.outcome(run).await;
    assert_eq!(report.verdict, Verdict::Succeeded);
    assert!(!lives(number_in(&stage.work(run).join("left")).await));
}

#[rstest]
#[tokio::test]
async fn a_run_has_its_time(#[values(Way::Direct, Way::Socket)] way: Way) {
    let stage = Stage::with(way, |settings| {
        settings.timeout = Duration::from_millis(400);
    })
    .await;
    let report = stage.run("sleep 60").await;
    assert_eq!(
        (report.verdict, fault(&report)),
        (Verdict::TimedOut, "wall-time")
    );
}

#[rstest]
#[tokio::test]
async fn a_run_ends_by_itself_when_its_lease_is_not_renewed(
    #[values(Way::Direct, Way::Socket)] way: Way,
) {
    let stage = Stage::new(way).await;
    stage.script("job", "echo $$ > pid; exec sleep 60");
    let mut order = order(1, spec("job", ""));
    let in_a_moment = || Some(SystemClock.since_boot() + Duration::from_secs(2));
    order.lease_until = in_a_moment();
    stage.runner().start(&order).await.unwrap();
    let pid = number_in(&stage.work(order.key).join("pid")).await;
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        stage
            .runner()
            .renew(order.key, in_a_moment())
            .await
            .unwrap();
    }
    assert!(lives(pid), "three seconds are more than the first lease");
    let report = stage.outcome(order.key).await;
    assert_eq!(
        (report.verdict, fault(&report)),
        (Verdict::Lost, "lease-lapsed")
    );
    assert!(!lives(pid));
}

#[rstest]
#[tokio::test]
async fn a_lease_may_be_lifted(#[values(Way::Direct, Way::Socket)] way: Way) {
    let stage = Stage::new(way).await;
    stage.script("job", "sleep 3");
    let mut order = order(1, spec("job", ""));
    order.lease_until = Some(SystemClock.since_boot() + Duration::from_secs(2));
    stage.runner().start(&order).await.unwrap();
    stage.runner().renew(order.key, None).await.unwrap();
    let report = stage.outcome(order.key).await;
    assert_eq!(report.verdict, Verdict::Succeeded);
}

/// Other runs of the same work folder do not notice.
#[rstest]
#[tokio::test]
async fn one_runs_end_is_no_others(#[values(Way::Direct, Way::Socket)] way: Way) {
    let stage = Stage::new(way).await;
    stage.script("job", "echo $$ > pid; exec sleep $1");
    let (first, second) = (order(1, spec("job", "60")), order(2, spec("job", "60")));
    for order in [&first, &second] {
        stage.runner().start(order).await.unwrap();
    }
    let pid = number_in(&stage.work(second.key).join("pid")).await;
    stage.runner().stop(first.key).await.unwrap();
    stage.outcome(first.key).await;
    assert!(lives(pid));
    let runs = stage.runner().runs().await.unwrap();
    assert_eq!(runs, [first.key, second.key]);
    stage.runner().stop(second.key).await.unwrap();
    stage.outcome(second.key).await;
    until("its folder says so", || {
        fs::read_to_string(stage.run_folder(second.key).join("journal"))
            .is_ok_and(|journal| journal.contains("exit"))
    })
    .await;
}
