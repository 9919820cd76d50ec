//! Sessions that no real server can be made to have: bound elsewhere, dead, or refused later.

use std::time::{Duration, Instant};

use gristmill::error::Code;
use gristmill::xmpp::{DoorError, TimeLimits};

use crate::rig::failure::assert_says;
use crate::rig::gristmill::{EXECUTOR_JID, Gristmill};
use crate::rig::process::PATIENCE;

use super::door::Door;
use super::scripted::Scripted;

#[tokio::test]
async fn another_resource_than_the_configured_one_is_fatal() {
    let server = Scripted::start().await;
    let mut door = Door::open(server.settings()).await;
    let mut line = server.log_in().await;
    line.bind("executor@grid.test/elsewhere").await;
    line.expect("<enable").await;
    line.say("<enabled xmlns='urn:xmpp:sm:3' id='1' resume='true'/>")
        .await;
    let error = door.end(Duration::from_secs(5)).await.unwrap_err();
    assert!(matches!(error, DoorError::WrongResource { .. }), "{error}");
    assert!(
        error.to_string().contains("executor@grid.test/elsewhere"),
        "{error}"
    );
}

/// The same, as the operator of the built program sees it.
#[tokio::test]
async fn a_daemon_that_is_bound_elsewhere_ends_and_says_why() {
    let server = Scripted::start().await;
    let mut daemon = Gristmill::on_sqlite(
        &server,
        &["xmpp.security=plaintext", "xmpp.allow_plain=true"],
    );
    let mut line = server.log_in().await;
    line.bind("executor@grid.test/elsewhere").await;
    line.expect("<enable").await;
    line.say("<enabled xmlns='urn:xmpp:sm:3' id='1' resume='true'/>")
        .await;
    let status = daemon.wait(PATIENCE).expect("an end");
    assert_eq!(status.code(), Some(3));
    assert_says(&daemon.log(), Code::WrongResource);
}

#[tokio::test]
async fn a_session_that_is_dead_after_its_resumption_is_not_resumed_again() {
    let server = Scripted::start().await;
    let mut settings = server.settings();
    settings.limits.response = Duration::from_secs(2);
    let door = Door::open(settings).await;
    let mut line = server.bind("first").await;
    line.expect("<presence").await;
    drop(line);
    let mut line = server.log_in().await;
    line.expect("previd='first'").await;
    line.say("<resumed xmlns='urn:xmpp:sm:3' previd='first' h='1'/>")
        .await;
    // It reads and says nothing.
    line.expect("urn:xmpp:ping").await;
    let mut line = server.bind("second").await;
    line.expect("<presence").await;
    drop(line);
    drop(door);
}

#[tokio::test]
async fn a_resumed_session_may_take_its_time_while_something_comes_in() {
    let server = Scripted::start().await;
    let mut settings = server.settings();
    settings.limits.response = Duration::from_millis(500);
    let door = Door::open(settings).await;
    let mut line = server.bind("first").await;
    line.expect("<presence").await;
    drop(line);
    let mut line = server.log_in().await;
    line.expect("previd='first'").await;
    line.say("<resumed xmlns='urn:xmpp:sm:3' previd='first' h='1'/>")
        .await;
    line.expect("urn:xmpp:ping").await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        line.say("<r xmlns='urn:xmpp:sm:3'/>").await;
        line.expect("<a ").await;
    }
    drop(door);
}

#[tokio::test]
async fn a_session_that_breaks_right_after_its_resumption_is_not_resumed_again() {
    let server = Scripted::start().await;
    let door = Door::open(server.settings()).await;
    let mut line = server.bind("first").await;
    line.expect("<presence").await;
    drop(line);
    let mut line = server.log_in().await;
    line.expect("previd='first'").await;
    line.say("<resumed xmlns='urn:xmpp:sm:3' previd='first' h='1'/>")
        .await;
    line.expect("urn:xmpp:ping").await;
    drop(line);
    server.bind("second").await.expect("<presence").await;
    drop(door);
}

#[tokio::test]
async fn a_resumed_session_that_lives_is_resumed_again() {
    let server = Scripted::start().await;
    let door = Door::open(server.settings()).await;
    let mut line = server.bind("first").await;
    line.expect("<presence").await;
    drop(line);
    for _ in 0..2 {
        let mut line = server.log_in().await;
        line.expect("previd='first'").await;
        line.say("<resumed xmlns='urn:xmpp:sm:3' previd='first' h='1'/>")
            .await;
        line.expect("urn:xmpp:ping").await;
        line.say("<iq type='result' id='gristmill-probe' from='grid.test'/>")
            .await;
        line.say("<r xmlns='urn:xmpp:sm:3'/>").await;
        line.expect("<a ").await;
    }
    drop(door);
}

#[tokio::test]
async fn a_server_that_does_not_bind_is_given_up() {
    let server = Scripted::start().await;
    let mut settings = server.settings();
    settings.limits.bind = Duration::from_millis(300);
    let door = Door::open(settings).await;
    let mut line = server.log_in().await;
    line.expect("</iq>").await;
    server.bind("second").await.expect("<presence").await;
    drop(door);
}

#[tokio::test]
async fn a_log_in_that_is_refused_later_is_repeated_within_seconds() {
    let server = Scripted::start().await;
    let door = Door::open(server.settings()).await;
    let mut line = server.bind("first").await;
    line.expect("<presence").await;
    drop(line);
    server.accept().await.refuse().await;
    let next = server.accept_within(Duration::from_secs(20)).await;
    next.expect("a second try").refuse().await;
    assert!(!door.is_closed(), "it waits");
}

#[tokio::test]
async fn what_a_server_says_when_it_closes_a_stream_does_not_hurry_us() {
    let server = Scripted::start().await;
    let door = Door::open(server.settings()).await;
    let mut tries = 0;
    let end = Instant::now() + Duration::from_secs(5);
    while let Some(mut line) = server
        .accept_within(end.saturating_duration_since(Instant::now()))
        .await
    {
        tries += 1;
        line.log_in().await;
        line.bind(EXECUTOR_JID).await;
        line.say(
            "<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
             </stream:error></stream:stream>",
        )
        .await;
    }
    assert!((2..=5).contains(&tries), "{tries} tries in five seconds");
    assert!(!door.is_closed());
}

#[tokio::test]
async fn presence_says_what_we_are_ready_for_until_we_leave() {
    let server = Scripted::start().await;
    let door = Door::open(server.settings()).await;
    let mut line = server.bind("first").await;
    let presence = line.expect("</presence>").await;
    assert!(presence.contains("ready for 1000 jobs"), "{presence}");
    door.begin_to_close();
    let presence = line.expect("</presence>").await;
    assert!(
        presence.contains("dnd") && presence.contains("ready for 0 jobs"),
        "{presence}"
    );
    line.expect("type='unavailable'").await;
    line.expect("</stream:stream>").await;
    line.say("</stream:stream>").await;
    door.close().await;
}

#[tokio::test]
async fn a_server_that_does_not_say_goodbye_does_not_keep_us() {
    let server = Scripted::start().await;
    let door = Door::open(server.settings()).await;
    let mut line = server.bind("first").await;
    line.expect("</presence>").await;
    let asked = Instant::now();
    door.close().await;
    assert!(
        asked.elapsed() < Duration::from_secs(8),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test]
async fn a_door_that_never_got_in_closes_at_once() {
    let server = Scripted::start().await;
    let door = Door::open(server.settings()).await;
    let _line = server.accept().await;
    let asked = Instant::now();
    door.close().await;
    assert!(
        asked.elapsed() < TimeLimits::default().drain,
        "{:?}",
        asked.elapsed()
    );
}
