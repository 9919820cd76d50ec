//! What becomes of a door and its callers when a real server or the network fails.

use std::time::{Duration, Instant};

use gristmill::job::policy::Backoff;
use gristmill::xmpp::{DoorError, Settings};
use rstest::rstest;

use crate::rig::XmppServer;
use crate::rig::ejabberd::Ejabberd;
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, SUPERVISOR};
use crate::rig::prosody::Prosody;

use super::door::{Door, settings};
use super::proxy::Proxy;
use super::raw::{Raw, is_result, jobs_wanted};

fn started(server: &str) -> Box<dyn XmppServer> {
    match server {
        "prosody" => Box::new(Prosody::start_fast(ACCOUNTS)),
        _ => Box::new(Ejabberd::start_fast(ACCOUNTS)),
    }
}

/// A server that goes and comes back.
trait Restart: XmppServer {
    fn kill(&mut self);
    fn stop(&mut self);
    fn start_again(&mut self);
    fn log(&self) -> String;
}

macro_rules! restart {
    ($server:ident) => {
        impl Restart for $server {
            fn kill(&mut self) {
                $server::kill(self);
            }
            fn stop(&mut self) {
                $server::stop(self);
            }
            fn start_again(&mut self) {
                $server::start_again(self);
            }
            fn log(&self) -> String {
                $server::log(self)
            }
        }
    };
}

restart!(Prosody);
restart!(Ejabberd);

/// How often somebody logged in as the executor, by a server's log.
fn logins(log: &str) -> usize {
    log.lines()
        .filter(|line| {
            line.contains("Authenticated as executor@")
                || line.contains("Accepted c2s") && line.contains("executor@")
        })
        .count()
}

/// An IQ that hands a job over.
fn execute(id: &str, job: &str) -> String {
    format!(
        "<iq type='set' id='{id}' to='{EXECUTOR_JID}'>\
         <executeJobs xmlns='urn:windmill:executor:1'><job jobID='{job}'>\
         <transformation><transPath>share/simul.trf</transPath></transformation><jobPars/>\
         </job></executeJobs></iq>"
    )
}

fn record_id(answer: &str) -> &str {
    let (_, rest) = answer.split_once("taskBufferRecordID='").unwrap();
    rest.split_once('\'').unwrap().0
}

/// Waits that a test can wait for.
fn impatient(server: &dyn XmppServer) -> Settings {
    let mut settings = settings(server);
    settings.limits.brief = Backoff {
        first: Duration::from_millis(50),
        longest: Duration::from_millis(500),
    };
    settings
}

#[rstest]
#[case::prosody_killed(Box::new(Prosody::start(ACCOUNTS)), Restart::kill)]
#[case::prosody_stopped(Box::new(Prosody::start(ACCOUNTS)), Restart::stop)]
#[case::ejabberd_killed(Box::new(Ejabberd::start(ACCOUNTS)), Restart::kill)]
#[case::ejabberd_stopped(Box::new(Ejabberd::start(ACCOUNTS)), Restart::stop)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn back_within_ten_seconds_of_the_servers_return(
    #[case] mut server: Box<dyn Restart>,
    #[case] end: fn(&mut (dyn Restart + 'static)),
) {
    let door = Door::open(settings(&*server)).await;
    let mut raw = Raw::login(&*server, SUPERVISOR, "raw").await;
    raw.wait_for_executor().await;
    raw.send(&execute("first", "7")).await;
    let first = raw.answer("first").await;
    assert!(first.contains("stored='1'"), "{first}");
    // The answer to this one may be lost with the server.
    raw.send(&execute("lost", "8")).await;
    end(&mut *server);
    tokio::time::sleep(Duration::from_secs(6)).await;
    server.start_again();
    let returned = Instant::now();
    let mut raw = Raw::login(&*server, SUPERVISOR, "raw").await;
    raw.wait_for_executor().await;
    assert!(
        returned.elapsed() < Duration::from_secs(10),
        "{:?}",
        returned.elapsed()
    );
    raw.send(&execute("again", "7")).await;
    let again = raw.answer("again").await;
    assert!(again.contains("duplicate='1'"), "{again}");
    assert_eq!(record_id(&again), record_id(&first));
    raw.send(&execute("lost-again", "8")).await;
    assert!(is_result(&raw.answer("lost-again").await));
    tokio::time::sleep(Duration::from_secs(3)).await;
    // A killed server may lose the end of its log.
    assert!(
        logins(&server.log()) <= 2,
        "more than one for each life of the server"
    );
    door.close().await;
}

/// Prosody at times resumes into a session that is dead; ten cuts meet at least one such.
#[rstest]
#[case::prosody("prosody")]
#[case::ejabberd("ejabberd")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_is_answered_though_the_line_is_cut_again_and_again(#[case] server: &str) {
    let server = started(server);
    let proxy = Proxy::to(server.as_ref()).await;
    let mut settings = impatient(&proxy);
    settings.limits.response = Duration::from_secs(2);
    let door = Door::open(settings).await;
    let mut raw = Raw::login(server.as_ref(), SUPERVISOR, "raw").await;
    raw.wait_for_executor().await;
    for cut in 0..10 {
        proxy.cut();
        // The one that is asked while the line is down may get lost with it: then ask again.
        raw.send(&jobs_wanted(&format!("lost-{cut}"))).await;
        raw.wait_for_executor().await;
    }
    assert!(
        proxy.connections() < 30,
        "{} connections",
        proxy.connections()
    );
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_freezes_is_noticed_and_found_again() {
    let server = Prosody::start(ACCOUNTS);
    let proxy = Proxy::to(&server).await;
    let mut settings = impatient(&proxy);
    settings.limits.silence = Duration::from_secs(1);
    settings.limits.response = Duration::from_secs(1);
    let door = Door::open(settings).await;
    let mut raw = Raw::login(&server, SUPERVISOR, "raw").await;
    raw.wait_for_executor().await;
    server.pause();
    tokio::time::sleep(Duration::from_secs(4)).await;
    server.resume();
    raw.wait_for_executor().await;
    assert!(proxy.connections() > 1, "the frozen line was given up");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_ends_it_at_once() {
    let server = Prosody::start(ACCOUNTS);
    let proxy = Proxy::to(&server).await;
    let mut settings = settings(&proxy);
    settings.password = "no".to_owned().into();
    let mut door = Door::open(settings).await;
    let error = door.end(Duration::from_secs(10)).await.unwrap_err();
    assert!(matches!(&error, DoorError::Denied(_)), "{error}");
    assert!(error.to_string().contains("password"), "{error}");
    assert_eq!(proxy.connections(), 1);
}

#[rstest]
#[case::prosody("prosody")]
#[case::ejabberd("ejabberd")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_doors_with_one_jid_one_gives_up_and_one_stays(#[case] server: &str) {
    let server = started(server);
    let proxy = Proxy::to(server.as_ref()).await;
    let mut settings = settings(&proxy);
    settings.limits.conflict = Duration::from_secs(1);
    let mut raw = Raw::login(server.as_ref(), SUPERVISOR, "raw").await;
    let mut first = Door::open(settings.clone()).await;
    raw.wait_for_executor().await;
    let second = Door::open(settings).await;
    let error = first.end(Duration::from_secs(20)).await.unwrap_err();
    assert_eq!(error, DoorError::Conflict);
    raw.wait_for_executor().await;
    assert!(!second.is_closed());
    assert!(
        proxy.connections() <= 5,
        "{} connections",
        proxy.connections()
    );
    second.close().await;
}

/// The crate drops a stanza that breaks the rules without a word, so its sender needs a time-out;
/// all others must not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stanza_that_breaks_the_rules_disturbs_nobody() {
    let server = Prosody::start(ACCOUNTS);
    let proxy = Proxy::to(&server).await;
    let door = Door::open(settings(&proxy)).await;
    let mut raw = Raw::login(&server, SUPERVISOR, "raw").await;
    raw.wait_for_executor().await;
    for broken in [
        format!("<message to='{EXECUTOR_JID}' type='shout'><body>x</body></message>"),
        format!("<presence to='{EXECUTOR_JID}' type='asleep'/>"),
        format!("<message to='{EXECUTOR_JID}' type='error'><body>x</body></message>"),
    ] {
        raw.send(&broken).await;
    }
    raw.wait_for_executor().await;
    assert_eq!(proxy.connections(), 1);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_calls_with_many_in_flight_are_all_answered() {
    const CALLS: usize = 10_000;
    const IN_FLIGHT: usize = 64;
    let server = Prosody::start_fast(ACCOUNTS);
    let proxy = Proxy::to(&server).await;
    let mut settings = settings(&proxy);
    settings.queue = IN_FLIGHT;
    let door = Door::open(settings).await;
    let mut raw = Raw::login(&server, SUPERVISOR, "raw").await;
    raw.wait_for_executor().await;
    for call in 0..CALLS + IN_FLIGHT {
        if call < CALLS {
            raw.send(&call_of_many(call)).await;
        }
        if let Some(answered) = call.checked_sub(IN_FLIGHT - 1).filter(|done| *done < CALLS) {
            let answer = raw.answer(&format!("many-{answered}")).await;
            assert!(is_result(&answer), "{answer}");
        }
    }
    assert_eq!(proxy.connections(), 1);
    door.close().await;
}

/// Every other one goes to the store.
fn call_of_many(call: usize) -> String {
    let document = if call.is_multiple_of(2) {
        "<numJobsWanted xmlns='urn:windmill:executor:1'/>"
    } else {
        "<getStatus xmlns='urn:windmill:executor:1'><job jobID='7' taskBufferRecordID='9'/></getStatus>"
    };
    format!("<iq type='set' id='many-{call}' to='{EXECUTOR_JID}'>{document}</iq>")
}

/// A server that is restarted before its accounts are there denies entry for some seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_its_accounts_for_a_moment_does_not_keep_us_away() {
    let mut server = Prosody::start_fast(ACCOUNTS);
    let proxy = Proxy::to(&server).await;
    let door = Door::open(settings(&proxy)).await;
    let mut supervisor = Raw::login(&server, SUPERVISOR, "raw").await;
    supervisor.wait_for_executor().await;
    server.stop();
    server.set_accounts_away(true);
    server.start_again();
    let denied_twice = proxy.connections() + 3;
    let limit = Instant::now() + Duration::from_mins(1);
    while proxy.connections() < denied_twice {
        assert!(Instant::now() < limit, "no further try");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.stop();
    server.set_accounts_away(false);
    server.start_again();
    let mut supervisor = Raw::login(&server, SUPERVISOR, "raw").await;
    supervisor.wait_for_executor().await;
    door.close().await;
}
