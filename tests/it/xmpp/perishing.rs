//! Answers that say `rejected` and come too late: an executeJobs that was sent meanwhile would not
//! be known as older than they are.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::rig::gristmill::EXECUTOR_JID;

use super::door::Door;
use super::gated::GatedStore;
use super::scripted::{Line, Scripted};

/// How long a request may wait for the store: longer than the first reconnect takes, whose wait is
/// up to a second.
const TIMEOUT: Duration = Duration::from_secs(4);

/// By then a `rejected` is good no longer.
const TOO_LATE: Duration = Duration::from_millis(9500);

async fn ask(line: &mut Line, id: &str) {
    line.say(&format!(
        "<iq type='set' id='{id}' to='{EXECUTOR_JID}' from='supervisor@grid.test/x'>\
         <getExecutorData xmlns='urn:windmill:executor:1'><job jobID='7'/></getExecutorData></iq>"
    ))
    .await;
}

async fn fail_to_resume(line: &mut Line) {
    line.expect("previd='first'").await;
    line.expect(">").await;
    line.say("<failed xmlns='urn:xmpp:sm:3' h='0'/>").await;
    line.bind(EXECUTOR_JID).await;
    line.expect("<enable").await;
    line.say("<enabled xmlns='urn:xmpp:sm:3' id='second' resume='true'/>")
        .await;
}

/// It was made while there was no line.
#[tokio::test]
async fn a_rejection_that_waits_for_the_line_becomes_a_doubt() {
    for (away, word) in [
        (Duration::ZERO, "status=\"rejected\""),
        (TOO_LATE, "status=\"unknown\""),
    ] {
        let server = Scripted::start().await;
        let store = Arc::new(GatedStore::shut());
        let door = Door::open_within(server.settings(), store.clone(), TIMEOUT);
        let mut line = server.bind("first").await;
        line.expect("</presence>").await;
        ask(&mut line, "q").await;
        line.say("<r xmlns='urn:xmpp:sm:3'/>").await;
        line.expect("<a ").await;
        drop(line);
        let mut line = server.accept().await;
        store.let_through(1);
        sleep(away).await;
        line.log_in().await;
        fail_to_resume(&mut line).await;
        line.expect("</presence>").await;
        let answer = line.expect("</iq>").await;
        let answer = answer.replace('\'', "\"");
        assert!(answer.contains(word), "after {away:?}: {answer}");
        drop(door);
    }
}

/// It was sent, and nobody knows whether it arrived: a resumed session would send it again.
#[tokio::test]
async fn a_rejection_is_not_sent_again_when_it_is_too_late() {
    for (away, again) in [(Duration::ZERO, true), (TOO_LATE, false)] {
        let server = Scripted::start().await;
        let store = Arc::new(GatedStore::shut());
        let door = Door::open_within(server.settings(), store.clone(), TIMEOUT);
        let mut line = server.bind("first").await;
        line.expect("</presence>").await;
        store.let_through(1);
        ask(&mut line, "q").await;
        line.expect("rejected").await;
        drop(line);
        let mut line = server.accept().await;
        sleep(away).await;
        line.log_in().await;
        if again {
            line.expect("previd='first'").await;
            line.say("<resumed xmlns='urn:xmpp:sm:3' previd='first' h='1'/>")
                .await;
            line.expect("rejected").await;
        } else {
            let mut line = server.bind("second").await;
            line.expect("</presence>").await;
            store.let_through(1);
            ask(&mut line, "r").await;
            let said = line.expect("rejected").await;
            assert!(
                !said.contains("id='q'") && !said.contains("id=\"q\""),
                "{said}"
            );
        }
        drop(door);
    }
}
