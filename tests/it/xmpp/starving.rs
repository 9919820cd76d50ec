//! One stranger at a server's default limits, and the supervisors beside it.

use std::time::Duration;

use tokio::time::sleep;

use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, STRANGER, SUPERVISOR};
use crate::rig::prosody::Prosody;

use super::door::{Door, settings};
use super::raw::{Raw, is_result};

const QUESTIONS: usize = 8;

/// 130 stanzas a second: the server lets a client send no more.
async fn flood(mut stranger: Raw) {
    for batch in 0.. {
        let iq = |n: usize| {
            format!("<iq type='get' id='{batch}-{n}' to='{EXECUTOR_JID}'><a xmlns='x'/></iq>")
        };
        stranger.send(&(0..13).map(iq).collect::<String>()).await;
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_that_asks_without_end_does_not_keep_a_supervisor_from_its_answers() {
    let server = Prosody::start(ACCOUNTS);
    let door = Door::open(settings(&server)).await;
    let mut supervisor = Raw::login(&server, SUPERVISOR, "raw").await;
    supervisor.wait_for_executor().await;
    let stranger = Raw::login(&server, STRANGER, "raw").await;
    let flood = tokio::spawn(flood(stranger));
    for number in 0..QUESTIONS {
        sleep(Duration::from_secs(2)).await;
        let answer = supervisor.ask_jobs_wanted(&format!("q-{number}")).await;
        assert!(is_result(&answer), "{answer}");
    }
    assert!(!flood.is_finished(), "the stranger was stopped");
    flood.abort();
    door.close().await;
}
