//! Jobs from their acceptance to their outcome.

use gristmill::buffer::{Lookup, TaskBuffer};
use gristmill::job::{RecordId, State};

use super::stage::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_job_comes_to_its_own_end() {
    let mut stage = Stage::new().await;
    stage.script("well", "exit 0");
    stage.script("badly", "exit 3");
    // Each run has a folder of its own, so it counts in the log.
    let twice = "echo try >>$LOG; [ $(grep -c try $LOG) -gt 2 ] || exit 75";
    stage.script("twice_badly", twice);
    stage.script("always_badly", "exit 75");
    stage.start(2);
    let mut ids = Vec::new();
    for script in ["well", "badly", "twice_badly", "always_badly", "missing"] {
        ids.push(stage.submit(script).await);
    }
    ids.push(
        stage
            .submit_payload(|_| "gibberish".to_owned(), "well")
            .await,
    );
    let wanted = [
        (State::Succeeded, 0),
        (State::Failed, 1),
        (State::Succeeded, 2),
        (State::Failed, 3),
        (State::Trashed, 0),
        (State::Trashed, 0),
    ];
    for (id, (state, runs)) in ids.iter().zip(wanted) {
        let record = stage.wait_for_end(*id).await;
        assert_eq!((record.state, record.runs), (state, runs), "{record:?}");
        let ran = record.result.is_some();
        assert_eq!(ran, state != State::Trashed, "{record:?}");
        assert_eq!(
            record.reason.is_some(),
            state != State::Succeeded,
            "{record:?}"
        );
    }
    stage.wait_for_quiet().await;
    assert_eq!(stage.counters.stale.get(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_job_is_killed_by_its_holder() {
    let mut stage = Stage::new().await;
    stage.script("long", "echo begun >>$LOG; sleep 60");
    stage.start(1);
    let (first, second) = (stage.submit("long").await, stage.submit("long").await);
    stage.wait_for(first, |state| state == State::Running).await;
    stage.wait_for_log("begun").await;
    stage.kill_job(second).await;
    assert_eq!(stage.wait_for_end(second).await.state, State::Cancelled);
    stage.kill_job(first).await;
    let record = stage.wait_for_end(first).await;
    assert_eq!(record.state, State::Cancelled);
    stage.wait_for_quiet().await;
    assert_eq!(stage.log(), "begun\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_drains_claims_nothing_and_lets_finish_what_runs() {
    let mut stage = Stage::new().await;
    let hold = stage.folder.path().join("hold");
    std::fs::write(&hold, "").unwrap();
    let script = format!("while [ -e {} ]; do sleep 0.05; done", hold.display());
    stage.script("held_up", &script);
    stage.start(1);
    let first = stage.submit("held_up").await;
    stage.wait_for(first, |state| state == State::Running).await;
    stage.drain(true).await;
    let drained = || stage.draining.load(std::sync::atomic::Ordering::Relaxed);
    while !drained() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let draining = stage.draining.clone();
    let second = stage.submit("held_up").await;
    std::fs::remove_file(&hold).unwrap();
    assert_eq!(stage.wait_for_end(first).await.state, State::Succeeded);
    stage.wait_for_quiet().await;
    // A few polls later it is still nobody's.
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    assert_eq!(stage.record(second).await.state, State::Ready);
    assert!(draining.load(std::sync::atomic::Ordering::Relaxed));
    stage.drain(false).await;
    assert_eq!(stage.wait_for_end(second).await.state, State::Succeeded);
}

/// What the jobs' programs have said of themselves.
async fn said(stage: &Stage, id: RecordId) -> Vec<String> {
    let Lookup::Found(dossier) = stage.store.show(id).await.unwrap() else {
        panic!("no record {id}");
    };
    let events = dossier.events.into_iter();
    let of_program = events.filter(|event| event.code == "program");
    of_program.map(|event| event.text).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_program_says_just_before_its_end_is_noted_once() {
    let mut stage = Stage::new().await;
    // It is heard while the program runs, and asked for again when it has ended.
    let script = "say() { echo \"$1\" >&$GRISTMILL_PROGRESS_FD; }\n\
                  say 'event: first'; sleep 1; say 'warning: second'; sleep 0.6; say 'event: third'";
    stage.script("talks", script);
    stage.start(4);
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(stage.submit("talks").await);
    }
    for id in ids {
        assert_eq!(stage.wait_for_end(id).await.state, State::Succeeded);
        assert_eq!(said(&stage, id).await, ["first", "second", "third"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_program_said_before_a_restart_is_noted_once() {
    let mut stage = Stage::new().await;
    let go = stage.folder.path().join("go");
    let script = format!(
        "echo 'event: said' >&$GRISTMILL_PROGRESS_FD\n\
         while [ ! -e {} ]; do sleep 0.05; done",
        go.display()
    );
    stage.script("waits", &script);
    stage.start(1);
    let id = stage.submit("waits").await;
    while said(&stage, id).await.is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    stage.stop().await;
    std::fs::write(go, "").unwrap();
    stage.start(1);
    assert_eq!(stage.wait_for_end(id).await.state, State::Succeeded);
    assert_eq!(said(&stage, id).await, ["said"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_says_much_is_heard_to_its_end() {
    let mut stage = Stage::new().await;
    stage.script(
        "often",
        "exec >&$GRISTMILL_PROGRESS_FD\n\
         yes '0.4 begun' | head -n 200000; echo 'warning: late'; printf '0.9 done'",
    );
    stage.script(
        "at_length",
        "exec >&$GRISTMILL_PROGRESS_FD\n\
         echo '0.4 begun'; printf 'event: '; head -c 1100000 /dev/zero | tr '\\0' x; echo\n\
         echo 'warning: late'; echo '0.9 done'",
    );
    stage.start(2);
    for (script, events) in [("often", 1), ("at_length", 2)] {
        let id = stage.submit(script).await;
        assert_eq!(stage.wait_for_end(id).await.state, State::Succeeded);
        let said = said(&stage, id).await;
        assert_eq!(
            (said.len(), said.last().unwrap().as_str()),
            (events, "late")
        );
        assert_eq!(progress(&stage, id).await, 900);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_burst_of_warnings_the_first_are_kept_and_the_number_of_the_others() {
    let mut stage = Stage::new().await;
    let script = "yes 'warning: again' | head -n 200000 >&$GRISTMILL_PROGRESS_FD";
    stage.script("burst", script);
    stage.start(1);
    let id = stage.submit("burst").await;
    assert_eq!(stage.wait_for_end(id).await.state, State::Succeeded);
    let said = said(&stage, id).await;
    assert_eq!((said.len(), said[99].as_str()), (101, "again"));
    assert!(said[100].contains("199900 more events"), "{}", said[100]);
}

async fn progress(stage: &Stage, id: RecordId) -> u16 {
    let record = stage.record(id).await;
    record.progress.unwrap().permille
}

/// What they did would hold up whoever opens it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_puts_a_pipe_in_the_place_of_our_files_fails_once() {
    let mut stage = Stage::new().await;
    let names = ["journal", "control", "progress", "heard"];
    for name in names {
        let script = format!("cd ..; rm -f {name}; mkfifo {name}; echo ran >>$LOG; sleep 1.2");
        stage.script(name, &script);
    }
    stage.script("honest", "exit 0");
    stage.start(2);
    let mut ids = Vec::new();
    for name in names {
        ids.push(stage.submit(name).await);
    }
    let honest = stage.submit("honest").await;
    assert_eq!(stage.wait_for_end(honest).await.state, State::Succeeded);
    for id in ids {
        let record = stage.wait_for_end(id).await;
        assert_eq!(record.state, State::Failed, "{record:?}");
        assert!(record.reason.unwrap().contains("is not what was put there"));
    }
    assert_eq!(stage.log().lines().count(), names.len(), "each ran once");
    stage.wait_for_quiet().await;
    stage.stop().await;
}
