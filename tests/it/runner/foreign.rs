//! Jobs that put something else in the place of what is the runner's, or hold up their wrapper: they
//! end, once, and their slot is free.

use std::fs;
use std::os::unix::fs::chown;
use std::time::Duration;

use gristmill::job::{RunOrder, RunReport, Verdict};
use gristmill::runner::process::Settings;
use rstest::rstest;

use super::stage::{PATIENCE, Stage, Way, fault, file, order, spec, until};
use crate::rig::folder;
use crate::rig::process::{command_as, is_root};

/// A number of a user that nobody has.
const USER: u32 = 61_210;

/// A job that must leave the file `out`, and leaves it.
fn order_of(stage: &Stage, record: u64, script: &str) -> RunOrder {
    let name = format!("job-{record}");
    stage.script(&name, &format!("echo out >out; {script}"));
    let mut spec = spec(&name, "");
    spec.outputs = vec![file("out")];
    order(record, spec)
}

/// What becomes of a run, with all that is asked of it meanwhile.
async fn outcome(stage: &Stage, order: &RunOrder) -> RunReport {
    let ending = async {
        // A machine on which much comes and goes may have to be asked again.
        while stage.runner().ended(order.key).await.is_err() {}
        let report = stage.outcome(order.key).await;
        // What cannot be heard is not waited for.
        let _ = stage.runner().news(order.key, None).await;
        stage.runner().stop(order.key).await.unwrap();
        stage.runner().forget(order.key, false).await.unwrap();
        report
    };
    let report = tokio::time::timeout(PATIENCE, ending).await;
    report.expect("nothing holds it up")
}

#[rstest]
#[case::pipe("mkfifo")]
#[case::folder("mkdir")]
#[case::link("ln -s /dev/zero")]
#[case::link_to_a_file("ln -s work/out")]
#[tokio::test]
async fn what_is_no_file_of_ours_fails_the_run_for_good(#[case] make: &str) {
    let mut stage = Stage::new(Way::Direct).await;
    let names = ["journal", "control", "progress", "heard", "outputs"];
    let mut orders = Vec::new();
    for (record, name) in (1..).zip(names) {
        // Whoever looks meanwhile must not be held up either.
        let script = format!("cd ..; rm -f {name}; {make} {name}; touch work/made; sleep 0.3");
        let order = order_of(&stage, record, &script);
        stage.runner().start(&order).await.unwrap();
        orders.push(order);
    }
    for order in &orders {
        let made = stage.work(order.key).join("made");
        until("it made it", || made.exists()).await;
        let _ = stage.runner().news(order.key, None).await;
    }
    stage.reopen().await;
    for (order, name) in orders.iter().zip(names) {
        let report = outcome(&stage, order).await;
        let expected = (Verdict::Failed, "foreign-files");
        assert_eq!((report.verdict, fault(&report)), expected, "{name}");
        let text = &report.fault.as_ref().unwrap().text;
        assert!(text.contains(name), "{text}");
        assert!(!stage.run_folder(order.key).exists());
    }
}

fn short(settings: &mut Settings) {
    settings.timeout = Duration::from_secs(1);
    settings.grace = Duration::from_millis(300);
}

#[rstest]
#[tokio::test]
async fn one_that_stops_its_wrapper_ends_by_its_time_limit(
    #[values(false, true)] is_adopted: bool,
) {
    let mut stage = Stage::with(Way::Direct, short).await;
    let order = order_of(&stage, 1, "sleep 0.3; touch made; kill -STOP $PPID; exit 0");
    stage.runner().start(&order).await.unwrap();
    let made = stage.work(order.key).join("made");
    until("it is about to stop it", || made.exists()).await;
    if is_adopted {
        stage.reopen().await;
    }
    let report = outcome(&stage, &order).await;
    let expected = (Verdict::TimedOut, "overdue");
    assert_eq!((report.verdict, fault(&report)), expected, "{report:?}");
    assert!(!stage.run_folder(order.key).exists());
}

#[rstest]
#[tokio::test]
async fn one_that_stops_its_wrapper_and_lives_on_is_killed_when_told_to_stop(
    #[values(Way::Direct, Way::Socket)] way: Way,
) {
    let stage = Stage::with(way, |settings| {
        settings.grace = Duration::from_millis(300);
    })
    .await;
    let script = "sleep 0.3; touch made; kill -STOP $PPID; setsid sleep 4712 & exec sleep 4712";
    let order = order_of(&stage, 1, script);
    stage.runner().start(&order).await.unwrap();
    let made = stage.work(order.key).join("made");
    until("it is about to stop it", || made.exists()).await;
    stage.runner().stop(order.key).await.unwrap();
    let report = outcome(&stage, &order).await;
    let expected = (Verdict::Stopped, "overdue");
    assert_eq!((report.verdict, fault(&report)), expected, "{report:?}");
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_not_too_much_and_is_removed() {
    let stage = Stage::with(Way::Direct, |settings| {
        settings.limits.folder_size = 1_000_000;
    })
    .await;
    let closed = "mkdir -p a/b; head -c 100000 /dev/zero >a/b/f; chmod 000 a/b/f a/b a .; sleep 1";
    for (record, script) in (1..).zip([closed, "chmod 000 ../progress", "chmod 000 .."]) {
        let order = order_of(&stage, record, script);
        stage.runner().start(&order).await.unwrap();
        let report = outcome(&stage, &order).await;
        if is_root() {
            assert_eq!(report.verdict, Verdict::Succeeded, "{report:?}");
        } else {
            // It is said what could not be looked at.
            let text = &report.fault.as_ref().unwrap().text;
            assert!(text.contains("may not be opened"), "{text}");
        }
        assert!(!stage.run_folder(order.key).exists());
    }
}

/// Root may open whatever its owner has closed.
#[test]
fn the_same_as_an_ordinary_user() {
    if !is_root() {
        return;
    }
    let folder = folder::new();
    chown(folder.path(), Some(USER), Some(USER)).unwrap();
    let mut tests = command_as(USER, std::env::current_exe().unwrap());
    tests
        .env("TMPDIR", folder.path())
        .args(["runner::foreign::", "runner::hostile::one_that_digs"])
        .args(["--skip", "ordinary_user", "--test-threads", "4"]);
    let output = tests.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains(" 0 passed"), "{said}");
    fs::remove_dir_all(folder.path()).unwrap();
}
