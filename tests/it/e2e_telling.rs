//! A supervisor that never polls: it is told of changes, over a real server, until it acknowledges.

use std::fs;
use std::time::{Duration, Instant};

use crate::rig::documents::{about_records, document, execute_jobs};
use crate::rig::ejabberd::Ejabberd;
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, OTHER_SUPERVISOR, SUPERVISOR};
use crate::rig::mariadb::MariaDb;
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::{Carrier, Element, NAMESPACE, Supervisor};
use crate::rig::{DOMAIN, XmppServer};

/// What is told at once is told within this, on a machine that has other things to do.
const SOON: Duration = Duration::from_secs(20);

/// What is not told at once is not told within this: it is less than the first wait.
const SILENCE: Duration = Duration::from_secs(4);

/// Has the first supervisor told, and only that one.
fn notify(daemon: &mut Gristmill) {
    // It may be so young that it does not know SIGTERM yet.
    daemon.kill();
    let folder = daemon.config_file().with_file_name("conf.d");
    fs::create_dir(&folder).unwrap();
    let supervisors = format!(
        "[[supervisor]]\njid = \"{}@{DOMAIN}\"\nowner = \"prodsys\"\nnotify = true\n\
         [[supervisor]]\njid = \"{}@{DOMAIN}\"\n",
        SUPERVISOR.0, OTHER_SUPERVISOR.0
    );
    fs::write(folder.join("notify.toml"), supervisors).unwrap();
    daemon.start_again();
}

/// A supervisor that is served.
fn login(server: &dyn XmppServer) -> Supervisor {
    let mut supervisor = Supervisor::login(server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    supervisor
}

/// The next `jobChanged`, as it is on the wire.
fn told(supervisor: &mut Supervisor, limit: Duration) -> Option<Element> {
    let stanza = supervisor.wait_for(limit, |stanza| stanza.child("jobChanged").is_some())?;
    assert_eq!(stanza.attribute("type"), "headline", "{stanza:?}");
    let changed = stanza.child("jobChanged").unwrap();
    assert_eq!(changed.namespace, NAMESPACE);
    let body = &stanza.child("body").unwrap().text;
    assert!(body.starts_with("jobChanged: "), "{body}");
    Some(changed.clone())
}

/// Waits until these jobs are told to be finished; the entries that said so.
fn told_finished(supervisor: &mut Supervisor, job_ids: &[&str]) -> Vec<Element> {
    let deadline = Instant::now() + SOON;
    let mut finished: Vec<Element> = Vec::new();
    while finished.len() < job_ids.len() {
        let left = deadline.saturating_duration_since(Instant::now());
        let changed = told(supervisor, left).expect("a jobChanged");
        for job in changed.all("job") {
            let is_new = |known: &Element| known.attribute("jobID") != job.attribute("jobID");
            let is_asked = job_ids.contains(&job.attribute("jobID"));
            let is_finished = job.attribute("status") == "finished";
            if is_asked && is_finished && finished.iter().all(is_new) {
                finished.push(job.clone());
            }
        }
    }
    finished
}

fn ack(entries: &[Element]) -> String {
    let entries = entries.iter().map(|job| {
        format!(
            "<job jobID='{}' taskBufferRecordID='{}' change='{}'/>",
            job.attribute("jobID"),
            job.attribute("taskBufferRecordID"),
            job.attribute("change")
        )
    });
    document("ack", "a", &entries.collect::<String>())
}

/// Hands jobs over and has them killed; their records.
fn killed(supervisor: &mut Supervisor, job_ids: &[&str]) -> Vec<String> {
    let stored = supervisor.ask(Carrier::Iq, "e", &execute_jobs("e", job_ids));
    let records = stored.each("taskBufferRecordID");
    let pairs: Vec<_> = job_ids.iter().copied().zip(records.clone()).collect();
    let kill = about_records("killJobs", "k", &pairs);
    assert_eq!(supervisor.ask(Carrier::Iq, "k", &kill).error(), "");
    records.into_iter().map(str::to_owned).collect()
}

fn told_until_it_is_acknowledged(server: &dyn XmppServer, daemon: &mut Gristmill) {
    notify(daemon);
    let mut supervisor = login(server);
    let records = killed(&mut supervisor, &["1", "2", "3"]);
    let first = told_finished(&mut supervisor, &["1", "2", "3"]);
    assert!(first.iter().all(|job| !job.attribute("result").is_empty()));
    assert!(first.iter().all(|job| job.attribute("attempt") == "1"));

    // A restart tells again what was not acknowledged: 1 is, by IQ; 2 is asked for.
    let of = |name: &str| {
        let entry = first.iter().find(|job| job.attribute("jobID") == name);
        entry.unwrap().clone()
    };
    let answer = supervisor.ask(Carrier::Iq, "a", &ack(&[of("1")]));
    assert_eq!(answer.document.name, "ackResponse");
    let status = about_records("getStatus", "s", &[("2", records[1].as_str())]);
    let status = supervisor.ask(Carrier::Iq, "s", &status);
    assert_eq!(status.each("status"), ["finished"]);
    daemon.kill();
    daemon.start_again();
    supervisor.wait_until_served();
    let again = told(&mut supervisor, SOON).expect("what was not covered");
    let jobs = again.all("job");
    assert_eq!(jobs.len(), 1, "{again:?}");
    assert_eq!(jobs[0].attribute("jobID"), "3");

    // By a message, which is not answered.
    supervisor.send(Carrier::Child, &ack(&[of("3")]));
    supervisor.send(Carrier::Body, &document("ack", "b", ""));
    assert!(told(&mut supervisor, SILENCE).is_none());
    let rest = supervisor.drain(Duration::from_millis(200));
    assert!(rest.iter().all(|document| document.name != "ackResponse"));
}

#[test]
fn prosody_and_sqlite_tell_until_it_is_acknowledged() {
    let server = Prosody::start_fast(ACCOUNTS);
    let mut daemon = Gristmill::on_sqlite(&server, &[]);
    told_until_it_is_acknowledged(&server, &mut daemon);
}

#[test]
fn ejabberd_and_mariadb_tell_until_it_is_acknowledged() {
    let (server, store) = (Ejabberd::start_fast(ACCOUNTS), MariaDb::start());
    store.create_database("mill");
    let mut daemon = Gristmill::on_mariadb(&server, &store.url("mill"), &[]);
    told_until_it_is_acknowledged(&server, &mut daemon);
}

/// The server drops headlines for who is away. Who comes back asks for what it has missed.
#[test]
fn who_was_away_asks_for_what_it_missed() {
    let server = Prosody::start_fast(ACCOUNTS);
    let mut daemon = Gristmill::on_sqlite(&server, &[]);
    notify(&mut daemon);
    let mut supervisor = login(&server);
    killed(&mut supervisor, &["1"]);
    supervisor.disconnect();
    std::thread::sleep(Duration::from_secs(2));
    supervisor.connect();
    supervisor.drain(SILENCE);
    supervisor.send(Carrier::Child, &document("ack", "a", ""));
    told_finished(&mut supervisor, &["1"]);
}

/// Neither who is not configured is told, nor, by a strict daemon, who is.
#[test]
fn nobody_else_is_told() {
    let server = Prosody::start_fast(ACCOUNTS);
    let mut daemon = Gristmill::on_sqlite(&server, &[]);
    notify(&mut daemon);
    let mut other = Supervisor::login(&server, OTHER_SUPERVISOR, EXECUTOR_JID);
    other.wait_until_served();
    killed(&mut other, &["1"]);
    assert!(told(&mut other, SILENCE).is_none());
    daemon.stop();
    daemon.start_with(&["bridge.strict=true"]);
    let mut supervisor = login(&server);
    killed(&mut supervisor, &["1"]);
    assert!(told(&mut supervisor, SILENCE).is_none());
}
