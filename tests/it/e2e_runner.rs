//! The daemon and the runner as two processes, of which each may go at any moment.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use gristmill::error::Code;
use gristmill::runner::remote::{ConnectError, Settings, probe};
use gristmill::runner::socket::Users;
use rand::RngExt;

use crate::e2e_jobs::{Scene, assert_each_ran_once, count_runs};
use crate::rig::failure::fails;
use crate::rig::gristmill::{ACCOUNTS, Gristmill};
use crate::rig::mariadb::MariaDb;
use crate::rig::process::command_as;
use crate::rig::prosody::Prosody;
use crate::rig::runner::{BESIDE, Runner};

/// Everything has happened by then, on a machine that is busy with others.
const PATIENCE: Duration = Duration::from_mins(2);

/// Numbers of users that nobody has, one for each test, so that no test's processes count as
/// another's.
const FIRST_USER: u32 = 61_200;
const SECOND_USER: u32 = 61_201;
const CONFINED_USER: u32 = 61_202;
const LISTENING_USER: u32 = 61_203;
const STRANGE_USER: u32 = 61_204;

const RUNS_JOBS: [&str; 4] = [
    BESIDE,
    "conductor.enabled=true",
    "conductor.slots=4",
    "conductor.retry_after=100ms",
];

fn flags<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&RUNS_JOBS, more].concat()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let limit = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < limit, "never: {what}");
        sleep(Duration::from_millis(50));
    }
}

/// Runs an operator's command on the daemon's configuration.
fn run(daemon: &Gristmill, words: &[&str], flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gristmill"));
    command
        .args(words)
        .arg("--config")
        .arg(daemon.config_file());
    for flag in flags {
        command.args(["--set", flag]);
    }
    command.output().unwrap()
}

#[track_caller]
fn assert_fails(output: &Output, code: Code, words: &[&str]) {
    let text = fails(output, code);
    for word in words {
        assert!(text.contains(word), "{word} is not in {text}");
    }
}

#[test]
fn a_job_runs_as_the_runners_user_and_cannot_read_the_daemons_secrets() {
    let server = Prosody::start_fast(ACCOUNTS);
    let user = format!("runner.user='{FIRST_USER}'");
    let daemon = Gristmill::on_sqlite(&server, &flags(&[&user]));
    let _runner = Runner::beside(&daemon, Some(FIRST_USER), &[]);
    let folder = daemon.folder().display();
    daemon.script(
        "peek",
        &format!(
            "id -u >>$LOG; cat {folder}/xmpp-password {folder}/buffer.db && exit 9\n\
             kill -0 {} && exit 8\nexit 0",
            daemon.id()
        ),
    );
    let mut scene = Scene::open(&server);
    scene.submit(&["peek"]);
    assert_eq!(scene.wait_until_finished(), ["finished succeeded"]);
    assert_eq!(daemon.job_log(), format!("{FIRST_USER}\n"));
}

/// Root has no such limit, so only a plain user sees it.
#[test]
fn a_plain_users_jobs_have_limited_processes_and_harm_no_later_ones() {
    let server = Prosody::start_fast(ACCOUNTS);
    let one_by_one = "conductor.slots=1";
    let daemon = Gristmill::on_sqlite(&server, &flags(&[one_by_one]));
    let limits = ["runner.process.limits.processes=20"];
    let mut runner = Runner::beside(&daemon, Some(SECOND_USER), &limits);
    // A bomb that is not seen in time on a busy machine grows to this, and stays as it is.
    runner.stop();
    runner.start_confined(250);
    // As root: a runner of another user than the daemon's must be named.
    until("the daemon says whom it does not trust", || {
        daemon.log().contains("runs as user")
    });
    let user = format!("runner.user='{SECOND_USER}'");
    let mut daemon = daemon;
    daemon.stop();
    daemon.start_with(&flags(&[&user, one_by_one]));
    daemon.script(
        "limits",
        "grep -c 'Max processes  *[0-9]' /proc/self/limits >>$LOG",
    );
    daemon.script("bomb", "bomb() { bomb | bomb & sleep 60; }; bomb");
    let mut scene = Scene::open(&server);
    scene.submit(&["limits", "bomb", "limits"]);
    let words = scene.wait_until_finished();
    let wanted = ["succeeded", "failed", "succeeded"];
    assert_eq!(words, wanted.map(|word| format!("finished {word}")));
    assert_eq!(daemon.job_log(), "1\n1\n");
    runner.stop();
}

#[test]
fn the_kernels_limit_of_a_plain_users_processes_holds_and_the_runner_goes_on() {
    let server = Prosody::start_fast(ACCOUNTS);
    let user = format!("runner.user='{CONFINED_USER}'");
    let daemon = Gristmill::on_sqlite(&server, &flags(&[&user, "conductor.slots=1"]));
    let mut runner = Runner::beside(&daemon, Some(CONFINED_USER), &[]);
    runner.stop();
    // The runner's own threads count, too.
    runner.start_confined(80);
    daemon.script(
        "many",
        "i=0; while [ $i -lt 300 ]; do sleep 30 & i=$((i+1)); echo $i >$LOG; done",
    );
    daemon.script("one", "exit 0");
    let mut scene = Scene::open(&server);
    scene.submit(&["many"]);
    assert_eq!(scene.wait_until_finished(), ["finished failed"]);
    let started: u32 = daemon.job_log().trim().parse().unwrap();
    assert!((1..80).contains(&started), "{started}");
    scene.submit(&["one"]);
    assert_eq!(scene.wait_until_finished()[1], "finished succeeded");
}

/// Not one abandon is forgiven here.
#[test]
fn while_the_runner_is_away_jobs_wait_and_what_runs_goes_on() {
    let server = Prosody::start_fast(ACCOUNTS);
    let daemon = Gristmill::on_sqlite(&server, &flags(&["conductor.max_abandons=0"]));
    daemon.script(
        "long",
        "echo begin $1 >>$LOG; while [ ! -e $LOG.go ]; do sleep 0.05; done",
    );
    daemon.script("well", "echo ran $1 >>$LOG");
    let mut scene = Scene::open(&server);
    scene.submit(&["long", "well"]);
    until("the daemon says that it waits", || {
        daemon.log().contains("the runner is away")
    });
    sleep(Duration::from_secs(2));
    assert_eq!(scene.status(), ["pending", "pending"]);
    let check = run(&daemon, &["config", "check", "--connect"], &RUNS_JOBS);
    assert_fails(
        &check,
        Code::RunnerAway,
        &["no runner", "next: start `gristmill runner`"],
    );

    let mut runner = Runner::beside(&daemon, None, &[]);
    let check = run(&daemon, &["config", "check", "--connect"], &RUNS_JOBS);
    assert!(check.status.success(), "{check:?}");
    until("the first runs and the second has run", || {
        let log = daemon.job_log();
        log.contains("begin 0") && log.contains("ran 1")
    });
    until("the store knows it", || scene.status()[0] == "running");
    runner.stop();
    scene.submit(&["well"]);
    sleep(Duration::from_secs(2));
    let status = scene.status();
    assert_eq!((&*status[0], &*status[2]), ("running", "pending"));
    runner.start_again();
    until("the daemon finds it again", || {
        daemon.job_log().contains("ran 2")
    });
    fs::write(daemon.job_log_file().with_extension("go"), "").unwrap();
    assert_eq!(scene.wait_until_finished(), ["finished succeeded"; 3]);
    assert_eq!(daemon.job_log().lines().count(), 3);
}

/// On a store that daemons share. Its daemon lives and renews the claim, and cannot tell the run.
#[test]
fn a_run_whose_runner_is_away_ends_with_its_lease_and_is_run_again() {
    let (server, store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
    store.create_database("mill");
    let leases = [
        FORGIVING,
        "buffer.timeout=1s",
        "conductor.lease=3s",
        "conductor.run_lease=6s",
    ];
    let daemon = Gristmill::on_mariadb(&server, &store.url("mill"), &flags(&leases));
    daemon.script("long", "echo begin >>$LOG; sleep 15; echo end >>$LOG");
    let mut runner = Runner::beside(&daemon, None, &["runner.process.grace=1s"]);
    let mut scene = Scene::open(&server);
    scene.submit(&["long"]);
    until("it runs", || scene.status() == ["running"]);
    runner.kill();
    // By now it would have come to its end.
    sleep(Duration::from_secs(18));
    assert_eq!(daemon.job_log(), "begin\n");
    assert_eq!(scene.status(), ["running"]);
    runner.start_again();
    assert_eq!(scene.wait_until_finished(), ["finished succeeded"]);
    assert_eq!(daemon.job_log(), "begin\nbegin\nend\n");
}

/// Its runs are nobody's but the first folder's, however long another one is in its place.
#[test]
fn a_runner_that_comes_back_with_another_folder_settles_nothing_of_the_first() {
    let server = Prosody::start_fast(ACCOUNTS);
    let daemon = Gristmill::on_sqlite(&server, &flags(&["conductor.max_abandons=0"]));
    daemon.script(
        "long",
        "echo begin $1 >>$LOG; while [ ! -e $LOG.go ]; do sleep 0.05; done; echo end $1 >>$LOG",
    );
    daemon.script("well", "echo ran $1 >>$LOG");
    let mut runner = Runner::beside(&daemon, None, &[]);
    let mut scene = Scene::open(&server);
    scene.submit(&["long"]);
    until("it runs", || daemon.job_log().contains("begin 0"));
    until("the store knows it", || scene.status() == ["running"]);
    runner.kill();
    let other = daemon.folder().join("other");
    let other = format!("runner.process.work_dir={}", other.display());
    runner.start_with(&[&other]);
    scene.submit(&["well"]);
    until("the other one works", || daemon.job_log().contains("ran 1"));
    until("it is settled", || {
        scene.status()[1] == "finished succeeded"
    });
    assert_eq!(scene.status()[0], "running");
    runner.kill();
    runner.start_with(&[]);
    fs::write(format!("{}.go", daemon.job_log_file().display()), "").unwrap();
    assert_eq!(scene.wait_until_finished(), ["finished succeeded"; 2]);
    assert_eq!(daemon.job_log(), "begin 0\nran 1\nend 0\n");
}

#[test]
fn two_runners_share_neither_folder_nor_socket() {
    let server = Prosody::start_fast(ACCOUNTS);
    let daemon = Gristmill::on_sqlite(&server, &flags(&[]));
    let _runner = Runner::beside(&daemon, None, &[]);
    let same_folder = run(&daemon, &["runner"], &[BESIDE]);
    assert_fails(
        &same_folder,
        Code::WorkDirInUse,
        &["uses this folder", "next: "],
    );
    let other = format!(
        "runner.process.work_dir={}/other",
        daemon.folder().display()
    );
    let same_socket = run(&daemon, &["runner"], &[BESIDE, &other]);
    assert_fails(
        &same_socket,
        Code::SocketInUse,
        &["another runner listens there", "next: "],
    );
    let in_process = run(&daemon, &["runner"], &[]);
    assert_fails(
        &in_process,
        Code::RunnerNotWanted,
        &["runner.in_process is true", "next: "],
    );
    let nobody = run(
        &daemon,
        &["runner"],
        &[BESIDE, "runner.allow_users=[\"no-such-user\"]"],
    );
    assert_fails(
        &nobody,
        Code::UserUnknown,
        &["runner.allow_users", "no user \"no-such-user\""],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_side_knows_the_others_user() {
    let server = Prosody::start_fast(ACCOUNTS);
    let daemon = Gristmill::on_sqlite(&server, &[]);
    let runner = Runner::beside(&daemon, Some(LISTENING_USER), &[]);
    let settings = |users| Settings {
        socket: runner.socket(),
        users,
    };
    let trusting = probe(&settings(Users::with_root([LISTENING_USER]))).await;
    assert!(trusting.is_ok(), "{trusting:?}");
    let distrustful = probe(&settings(Users::ourselves())).await;
    assert!(
        matches!(distrustful, Err(ConnectError::Impostor(LISTENING_USER))),
        "{distrustful:?}"
    );

    // Whom the socket's rights keep out, and then whom they let in.
    let greet = || {
        let script = "import socket, sys\n\
                      s = socket.socket(socket.AF_UNIX)\n\
                      s.connect(sys.argv[1])\n\
                      print(s.recv(1000))";
        let mut command = command_as(STRANGE_USER, "/usr/bin/python3");
        command.args(["-c", script]).arg(runner.socket());
        let output = command.output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let kept_out = greet();
    assert!(kept_out.contains("PermissionError"), "{kept_out}");
    fs::set_permissions(runner.socket(), Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(daemon.folder().join("run"), Permissions::from_mode(0o755)).unwrap();
    let turned_away = greet();
    let words = format!("{{\"stranger\":{{\"user\":{STRANGE_USER}}}}}");
    assert!(turned_away.contains(&words), "{turned_away}");
    assert!(runner.log().contains("runner.allow_users"));
}

fn killed_on_both_sides(daemon: &mut Gristmill, server: &Prosody, kills: usize, jobs: usize) {
    count_runs(daemon);
    let mut runner = Runner::beside(daemon, None, &[]);
    let mut scene = Scene::open(server);
    for _ in 0..jobs / 50 {
        scene.submit(&["counted"; 50]);
    }
    let mut dice = rand::rng();
    for _ in 0..kills {
        sleep(Duration::from_millis(dice.random_range(0..500)));
        let kind = dice.random_range(0..5);
        if kind < 3 {
            runner.kill();
        }
        if kind > 1 {
            daemon.kill();
        }
        sleep(Duration::from_millis(dice.random_range(0..200)));
        if kind > 1 {
            daemon.start_again();
        }
        if kind < 3 {
            runner.start_again();
        }
    }
    scene.supervisor.wait_until_served();
    scene.assert_all_succeed();
    assert_each_ran_once(&daemon.job_log(), jobs);
}

/// A start that was on its way when one side died is abandoned, which is counted.
const FORGIVING: &str = "conductor.max_abandons=1000";

#[test]
fn deaths_of_either_side_lose_and_repeat_nothing_on_sqlite() {
    let server = Prosody::start_fast(ACCOUNTS);
    let mut daemon = Gristmill::on_sqlite(&server, &flags(&[FORGIVING]));
    killed_on_both_sides(&mut daemon, &server, 40, 200);
}

#[test]
fn deaths_of_either_side_lose_and_repeat_nothing_on_mariadb() {
    let (server, store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
    store.create_database("mill");
    let mut daemon = Gristmill::on_mariadb(&server, &store.url("mill"), &flags(&[FORGIVING]));
    killed_on_both_sides(&mut daemon, &server, 20, 100);
}
