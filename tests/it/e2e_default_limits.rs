//! With servers as Debian ships them everything works, slowly.

use std::time::Duration;

use crate::rig::XmppServer;
use crate::rig::documents::{document, get_executor_data, job};
use crate::rig::ejabberd::Ejabberd;
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, SUPERVISOR};
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::{Carrier, Supervisor};

const JOBS: usize = 50;

/// At 3 kB/s, 180 KB take a minute.
const SLOW: Duration = Duration::from_secs(150);

#[test]
fn prosody_at_its_default_limits_takes_fifty_jobs() {
    fifty_jobs(&Prosody::start(ACCOUNTS));
}

#[test]
fn ejabberd_at_its_default_limits_takes_fifty_jobs() {
    fifty_jobs(&Ejabberd::start(ACCOUNTS));
}

fn fifty_jobs(server: &dyn XmppServer) {
    let _daemon = Gristmill::on_sqlite(server, &[]);
    let mut supervisor = Supervisor::login(server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    let names: Vec<_> = (0..JOBS)
        .map(|number| (5_173_000 + number).to_string())
        .collect();
    let jobs: String = names.iter().map(|name| job(name, 20)).collect();
    let request = document("executeJobs", "a", &jobs);
    assert!(
        (150_000..200 * 1024).contains(&request.len()),
        "{} bytes",
        request.len()
    );
    let reply = supervisor.ask_within(SLOW, Carrier::Child, "a", &request);
    assert_eq!(reply.each("result"), vec!["stored"; JOBS]);
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let data = supervisor.ask_within(SLOW, Carrier::Body, "b", &get_executor_data("b", &names));
    assert_eq!(
        data.each("taskBufferRecordID"),
        reply.each("taskBufferRecordID")
    );
}

/// A reply that the server would close the stream for is not sent.
#[test]
fn an_answer_that_is_too_long_is_an_error() {
    let server = Prosody::start_fast(ACCOUNTS);
    let _daemon = Gristmill::on_sqlite(&server, &["xmpp.max_stanza=32 KiB"]);
    let mut supervisor = Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    let names: Vec<_> = (0..1000)
        .map(|number| format!("a-job-of-a-longer-name-{number}"))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    for (carrier, id) in Carrier::ALL.into_iter().zip(["a", "b", "c"]) {
        let question = get_executor_data(id, &names);
        let reply = supervisor.ask(carrier, id, &question);
        assert_eq!(reply.error(), "reply-too-large");
    }
    let data = supervisor.ask(Carrier::Iq, "d", &get_executor_data("d", &names[..100]));
    assert_eq!(data.each("status"), vec!["rejected"; 100]);
}
