//! Requests that lay in a server's offline storage while the daemon was away.

use std::time::Duration;

use crate::rig::XmppServer;
use crate::rig::documents::{execute_jobs, get_executor_data};
use crate::rig::ejabberd::Ejabberd;
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, SECOND_EXECUTOR_JID, SUPERVISOR};
use crate::rig::prosody::{Prosody, Setup};
use crate::rig::slixmpp::{Carrier, PATIENCE, Supervisor};

#[test]
fn prosody_delivers_late_what_was_answered_rejected() {
    late_after_rejected(&Prosody::start(ACCOUNTS));
}

#[test]
fn ejabberd_delivers_late_what_was_answered_rejected() {
    late_after_rejected(&Ejabberd::start(ACCOUNTS));
}

/// By its stamps the job was sent long after it was answered `rejected`.
#[test]
fn a_server_whose_clock_is_ahead_delivers_late_what_was_answered_rejected() {
    late_after_rejected(&Prosody::start_with(&Setup {
        accounts: ACCOUNTS,
        ahead: Duration::from_mins(5),
        ..Setup::default()
    }));
}

/// The supervisor asked another daemon of the same store, heard `rejected`, and may have given the
/// jobs away.
fn late_after_rejected(server: &dyn XmppServer) {
    let mut daemon = Gristmill::on_sqlite(server, &[]);
    let mut supervisor = Supervisor::login(server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    daemon.stop();
    let lost = supervisor.send(Carrier::Child, &execute_jobs("lost", &["1", "2"]));
    let kept = supervisor.send(Carrier::Body, &execute_jobs("kept", &["3"]));

    daemon.start_with(&[&format!("xmpp.jid={SECOND_EXECUTOR_JID}")]);
    supervisor.speak_to(SECOND_EXECUTOR_JID);
    supervisor.wait_until_served();
    let data = supervisor.ask(Carrier::Iq, "d", &get_executor_data("d", &["2"]));
    assert_eq!(data.each("status"), ["rejected"]);
    daemon.stop();

    daemon.start_with(&[]);
    supervisor.speak_to(EXECUTOR_JID);
    let reply = supervisor
        .reply(PATIENCE, Carrier::Child, &lost, "lost")
        .expect("an answer");
    assert_eq!(reply.error(), "stale");
    let reply = supervisor
        .reply(PATIENCE, Carrier::Body, &kept, "kept")
        .expect("an answer");
    assert_eq!(reply.each("result"), ["stored"]);
    let data = supervisor.ask(Carrier::Iq, "e", &get_executor_data("e", &["1", "2", "3"]));
    assert_eq!(data.each("status"), ["rejected", "rejected", "accepted"]);

    // Sent again, on purpose, they are new.
    let again = supervisor.ask(Carrier::Iq, "f", &execute_jobs("f", &["1", "2"]));
    assert_eq!(again.each("result"), ["stored", "stored"]);
}

#[test]
fn what_is_too_old_is_not_stored() {
    let server = Prosody::start(ACCOUNTS);
    let mut daemon = Gristmill::on_sqlite(&server, &["bridge.max_age=2s"]);
    let mut supervisor = Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    daemon.stop();
    let old = supervisor.send(Carrier::Child, &execute_jobs("old", &["1"]));
    let question = supervisor.send(Carrier::Child, &get_executor_data("q", &["1"]));
    std::thread::sleep(Duration::from_secs(4));
    daemon.start_again();
    let reply = supervisor
        .reply(PATIENCE, Carrier::Child, &old, "old")
        .expect("an answer");
    assert_eq!(reply.error(), "stale");
    let reply = supervisor
        .reply(PATIENCE, Carrier::Child, &question, "q")
        .expect("an answer");
    assert_eq!(reply.each("status"), ["rejected"]);
}
