//! Runs whose wrapper was killed, or whose folder is gone, and whose programs are hard to know.

use std::fs;

use gristmill::job::{StoreId, Verdict};
use gristmill::runner::RunState;
use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};

use super::stage::{Stage, Way, fault, lives, number_in, until};

/// Of a store that no other test has, for processes are looked for on the whole machine.
fn store() -> StoreId {
    StoreId::new(format!("{:032x}", rand::random::<u128>())).unwrap()
}

/// A program that leaves its home and its folder, and one below it that leaves more by way of
/// `leave` and says where it is.
fn leaving(leave: &str) -> String {
    format!(
        "f=$PWD/../../../pid; cd /; export HOME=/tmp TMPDIR=/tmp; \
         ({leave} sh -c 'echo $$ >$0; exec sleep 4711' $f &); exec env -i sleep 4711"
    )
}

/// How often to look for what comes and goes.
const LOOKS: usize = 100;

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

/// Whether a process has these words among its own.
fn has_words(words: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| String::from_utf8_lossy(&line).contains(words))
}

/// Each keeps one mark: the session, the variable, or a file that it writes to.
#[rstest]
#[case::another_home("")]
#[case::no_environment("env -i")]
#[case::another_session("setsid")]
#[case::only_its_files("setsid env -i")]
#[tokio::test]
async fn what_has_left_its_home_and_folder_is_found(
    #[values(Way::Direct, Way::Socket)] way: Way,
    #[case] leave: &str,
) {
    let mut stage = Stage::new(way).await;
    let store = store();
    stage.runner().serve(&store).await.unwrap();
    let run = stage.start(&leaving(leave)).await;
    let pid = number_in(&stage.settings.work_dir.join("pid")).await;
    kill(stage.wrapper_pid(run));
    stage.reopen().await;
    stage.runner().serve(&store).await.unwrap();
    let report = stage.outcome(run).await;
    let alive = lives(pid);
    if alive {
        kill(pid);
    }
    assert!(!alive, "it ended, and its program lives");
    assert_eq!((report.verdict, fault(&report)), (Verdict::Lost, "lost"));
}

/// Each process starts the next one and ends.
#[rstest]
#[tokio::test]
async fn a_tree_that_goes_on_forking_is_ended(#[values(Way::Direct, Way::Socket)] way: Way) {
    let stage = Stage::new(way).await;
    let words = format!("relay-{:032x}", rand::random::<u128>());
    stage.script(
        &words,
        "cd /; export HOME=/tmp; [ -e $1 ] || echo $$ >$1; \"$0\" \"$@\" & exit 0",
    );
    let begun = stage.settings.work_dir.join("pid");
    let relay = stage.settings.transformations[0].join(&words);
    let hold = format!("{} {} & exec sleep 4711", relay.display(), begun.display());
    let run = stage.start(&hold).await;
    number_in(&begun).await;
    kill(stage.wrapper_pid(run));
    let report = stage.outcome(run).await;
    assert_eq!(report.verdict, Verdict::Lost);
    // Between two of them there may be none.
    assert!(!(0..LOOKS).any(|_| has_words(&words)));
}

/// A daemon that starts again has a record of a run, and nothing in its folder tells of it.
#[rstest]
#[case::folder(&[""])]
#[case::journal(&["journal"])]
#[case::control_and_journal(&["control", "journal"])]
#[tokio::test]
async fn a_run_without_its_folder_ends_before_it_is_called_gone(
    #[values(Way::Direct, Way::Socket)] way: Way,
    #[case] harmed: &[&str],
) {
    let mut stage = Stage::new(way).await;
    let store = store();
    stage.runner().serve(&store).await.unwrap();
    let run = stage.start(&leaving("")).await;
    let pid = number_in(&stage.settings.work_dir.join("pid")).await;
    let wrapper = stage.wrapper_pid(run);
    for name in harmed {
        let path = stage.run_folder(run).join(name);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
    stage.reopen().await;
    stage.runner().serve(&store).await.unwrap();
    let standing = stage.runner().look_up(run).await.unwrap();
    assert_eq!(standing, RunState::Alive);
    let report = stage.outcome(run).await;
    assert_eq!(report.verdict, Verdict::Lost);
    until("the wrapper is gone", || !lives(wrapper)).await;
    assert!(!lives(pid));
}

/// A name that is not the daemon's, so that what ends daemons by their name spares runs.
#[tokio::test]
async fn a_wrapper_has_a_name_of_its_own() {
    let stage = Stage::new(Way::Direct).await;
    let run = stage.start("echo $$ > pid; exec sleep 4711").await;
    number_in(&stage.work(run).join("pid")).await;
    let process = format!("/proc/{}", stage.wrapper_pid(run));
    let name = fs::read_to_string(format!("{process}/comm")).unwrap();
    assert_eq!(name, "gristmill-run\n");
    let words = fs::read(format!("{process}/cmdline")).unwrap();
    assert!(words.starts_with(b"gristmill-run\0"));
    stage.runner().stop(run).await.unwrap();
    stage.outcome(run).await;
}

/// Killed at once, with no daemon that would look for it.
#[tokio::test]
async fn a_program_ends_with_its_wrapper() {
    let mut stage = Stage::new(Way::Direct).await;
    let run = stage.start("echo $$ > pid; exec sleep 4711").await;
    let pid = number_in(&stage.work(run).join("pid")).await;
    let wrapper = stage.wrapper_pid(run);
    stage.disconnect();
    kill(wrapper);
    until("the program is gone", || !lives(pid)).await;
    stage.reopen().await;
    assert_eq!(stage.outcome(run).await.verdict, Verdict::Lost);
}
