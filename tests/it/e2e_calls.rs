//! Each call by each carrier: the built program, real servers, and a supervisor that is not ours.

use std::time::Duration;

use crate::rig::XmppServer;
use crate::rig::documents::{
    about_records, bad_job, document, execute_jobs, get_executor_data, job, num_jobs_wanted,
};
use crate::rig::ejabberd::Ejabberd;
use crate::rig::gristmill::{
    ACCOUNTS, EXECUTOR_JID, Gristmill, OTHER_SUPERVISOR, STRANGER, SUPERVISOR,
};
use crate::rig::mariadb::MariaDb;
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::{Carrier, Element, Reply, Supervisor};

fn login(server: &dyn XmppServer) -> Supervisor {
    let mut supervisor = Supervisor::login(server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    supervisor
}

#[test]
fn prosody_and_sqlite_serve_every_call_by_every_carrier() {
    let server = Prosody::start_fast(ACCOUNTS);
    let _daemon = Gristmill::on_sqlite(&server, &[]);
    every_call_by_every_carrier(&mut login(&server));
}

#[test]
fn prosody_and_mariadb_serve_every_call_by_every_carrier() {
    let (server, store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
    store.create_database("mill");
    let _daemon = Gristmill::on_mariadb(&server, &store.url("mill"), &[]);
    every_call_by_every_carrier(&mut login(&server));
}

#[test]
fn ejabberd_and_sqlite_serve_every_call_by_every_carrier() {
    let server = Ejabberd::start_fast(ACCOUNTS);
    let _daemon = Gristmill::on_sqlite(&server, &[]);
    every_call_by_every_carrier(&mut login(&server));
}

#[test]
fn ejabberd_and_mariadb_serve_every_call_by_every_carrier() {
    let (server, store) = (Ejabberd::start_fast(ACCOUNTS), MariaDb::start());
    store.create_database("mill");
    let _daemon = Gristmill::on_mariadb(&server, &store.url("mill"), &[]);
    every_call_by_every_carrier(&mut login(&server));
}

fn every_call_by_every_carrier(supervisor: &mut Supervisor) {
    for (number, carrier) in Carrier::ALL.into_iter().enumerate() {
        let mut ask = |id: &str, document: &str| -> Element {
            let reply = supervisor.ask(carrier, id, document);
            assert_eq!(reply.error(), "", "{carrier:?} {id}: {reply:?}");
            assert_eq!(reply.document.attribute("inReplyTo"), id);
            reply.document
        };
        let [first, second] = ["1", "2"].map(|job| format!("{number}{job}"));
        let (first, second) = (first.as_str(), second.as_str());

        let wanted = ask("w", &num_jobs_wanted("w"));
        assert_eq!(wanted.name, "numJobsWantedResponse");
        assert_eq!(wanted.child("numJobs").unwrap().text, "1000");

        let stored = ask("e", &execute_jobs("e", &[first, second]));
        assert_eq!(stored.name, "executeJobsResponse");
        assert_eq!(
            [stored.attribute("received"), stored.attribute("stored")],
            ["2", "2"]
        );
        assert_eq!(each(&stored, "result"), ["stored", "stored"]);
        let records = each(&stored, "taskBufferRecordID");
        assert_ne!(records[0], records[1]);

        let data = ask("d", &get_executor_data("d", &[second, "99", first]));
        assert_eq!(data.name, "getExecutorDataResponse");
        assert_eq!(each(&data, "status"), ["accepted", "rejected", "accepted"]);
        assert_eq!(
            each(&data, "taskBufferRecordID"),
            [records[1], "", records[0]]
        );

        let pairs = [
            (first, records[0]),
            (first, records[1]),
            (second, "-1"),
            (second, records[1]),
        ];
        let status = ask("s", &about_records("getStatus", "s", &pairs));
        assert_eq!(status.name, "getStatusResponse");
        assert_eq!(
            each(&status, "status"),
            ["pending", "rejected", "rejected", "pending"]
        );

        let fixed = ask(
            "f",
            &about_records("fixJobs", "f", &[(second, records[1]), ("99", "1")]),
        );
        assert_eq!(fixed.name, "fixJobsResponse");
        assert_eq!(each(&fixed, "result"), ["unchanged", "rejected"]);

        let pairs = [(first, records[0]), ("99", records[1])];
        let killed = ask("k", &about_records("killJobs", "k", &pairs));
        assert_eq!(killed.name, "killJobsResponse");
        assert_eq!(each(&killed, "result"), ["killed", "rejected"]);
        let again = ask("k2", &about_records("killJobs", "k2", &pairs[..1]));
        assert_eq!(each(&again, "result"), ["already-finished"]);

        let status = ask(
            "s2",
            &about_records("getStatus", "s2", &[(first, records[0])]),
        );
        assert_eq!(each(&status, "status"), ["finished"]);
        assert_eq!(each(&status, "result"), ["cancelled"]);
    }
}

fn each<'a>(document: &'a Element, attribute: &str) -> Vec<&'a str> {
    document
        .all("job")
        .into_iter()
        .map(|job| job.attribute(attribute))
        .collect()
}

#[test]
fn a_request_that_is_sent_again_changes_nothing() {
    let server = Prosody::start_fast(ACCOUNTS);
    let mut daemon = Gristmill::on_sqlite(&server, &[]);
    let mut supervisor = login(&server);
    let first = supervisor.ask(Carrier::Child, "a", &execute_jobs("a", &["1", "2"]));
    for (carrier, id) in Carrier::ALL.into_iter().zip(["b", "c", "d"]) {
        let again = supervisor.ask(carrier, id, &execute_jobs(id, &["1", "2", id]));
        assert_eq!(again.each("result"), ["duplicate", "duplicate", "stored"]);
        let records = again.each("taskBufferRecordID");
        assert_eq!(records[..2], first.each("taskBufferRecordID"));
    }

    daemon.stop();
    daemon.start_again();
    supervisor.wait_until_served();
    let again = supervisor.ask(Carrier::Iq, "f", &execute_jobs("f", &["2", "1"]));
    assert_eq!(again.each("result"), ["duplicate", "duplicate"]);
    let mut records = again.each("taskBufferRecordID");
    records.reverse();
    assert_eq!(records, first.each("taskBufferRecordID"));

    let other = job("1", 2);
    let conflict = supervisor.ask(Carrier::Iq, "g", &document("executeJobs", "g", &other));
    assert_eq!(conflict.each("result"), ["conflict"]);
}

#[test]
fn bad_jobs_do_not_block_good_ones() {
    let server = Ejabberd::start_fast(ACCOUNTS);
    let _daemon = Gristmill::on_sqlite(&server, &[]);
    let mut supervisor = login(&server);
    let nameless = job("x", 0).replace("jobID='x' ", "");
    let jobs = [job("1", 0), bad_job("2"), nameless, job("3", 0)].concat();
    for (carrier, id, good) in [
        (Carrier::Body, "a", "stored"),
        (Carrier::Iq, "b", "duplicate"),
    ] {
        let reply = supervisor.ask(carrier, id, &document("executeJobs", id, &jobs));
        assert_eq!(reply.each("result"), [good, "refused", "refused", good]);
        assert_eq!(reply.each("index")[2], "3");
        assert_eq!(reply.document.attribute("refused"), "2");
        let reason = reply.jobs()[1].child("reason").unwrap();
        assert_eq!(reason.attribute("code"), "missing-field");
    }
    let data = supervisor.ask(Carrier::Iq, "c", &get_executor_data("c", &["1", "2", "3"]));
    assert_eq!(data.each("status"), ["accepted", "rejected", "accepted"]);
    let reason = data.jobs()[1].child("reason").unwrap();
    assert_eq!(reason.attribute("code"), "missing-field");
}

#[test]
fn a_request_that_is_wrong_as_a_whole_gets_one_error() {
    let server = Prosody::start_fast(ACCOUNTS);
    let _daemon = Gristmill::on_sqlite(&server, &["bridge.max_jobs_per_request=3"]);
    let mut supervisor = login(&server);
    let cases = [
        (
            "unsupported-call",
            "feature-not-implemented",
            document("makeCoffee", "a", ""),
        ),
        ("invalid", "bad-request", document("executeJobs", "a", "")),
        ("invalid", "bad-request", execute_jobs("a", &["1", "1"])),
        (
            "too-large",
            "not-acceptable",
            execute_jobs("a", &["1", "2", "3", "4"]),
        ),
    ];
    for (code, condition, document) in &cases {
        let reply = supervisor.ask(Carrier::Iq, "a", document);
        assert_eq!(reply.error(), *code);
        assert_eq!(reply.stanza.attribute("type"), "error");
        let error = reply.stanza.child("error").unwrap();
        assert!(error.child(condition).is_some(), "{error:?}");
    }
    let broken = "<executeJobs id='a'><job jobID='1'></executeJobs>";
    let stanza = supervisor.send(Carrier::Body, broken);
    let thread = format!("t-{stanza}");
    let is_answer = |candidate: &Element| {
        candidate
            .child("thread")
            .is_some_and(|found| found.text == thread)
    };
    let answer = supervisor
        .wait_for(Duration::from_secs(10), is_answer)
        .expect("an answer");
    let document = answer
        .child("body")
        .and_then(|body| body.document.as_deref());
    let reply = Reply {
        document: document.expect("a document").clone(),
        stanza: answer,
    };
    assert_eq!(reply.error(), "malformed");
}

#[test]
fn supervisors_do_not_see_each_other() {
    let server = Prosody::start_fast(ACCOUNTS);
    let _daemon = Gristmill::on_sqlite(&server, &[]);
    let mut first = login(&server);
    let mut second = Supervisor::login(&server, OTHER_SUPERVISOR, EXECUTOR_JID);

    // The same names, at the same time, in many requests.
    let ids: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    let mut stanzas = Vec::new();
    for id in &ids {
        let document = execute_jobs(id, &[id, &format!("{id}-b")]);
        stanzas.push((
            first.send(Carrier::Child, &document),
            second.send(Carrier::Iq, &document),
        ));
    }
    let mut records = Vec::new();
    for (id, (to_first, to_second)) in ids.iter().zip(&stanzas) {
        let limit = Duration::from_secs(30);
        let replies = [
            first
                .reply(limit, Carrier::Child, to_first, id)
                .expect("an answer"),
            second
                .reply(limit, Carrier::Iq, to_second, id)
                .expect("an answer"),
        ];
        for reply in replies {
            assert_eq!(reply.each("result"), ["stored", "stored"]);
            records.extend(
                reply
                    .each("taskBufferRecordID")
                    .into_iter()
                    .map(str::to_owned),
            );
        }
    }
    let count = records.len();
    records.sort_unstable();
    records.dedup();
    assert_eq!(records.len(), count, "record IDs are given once");

    let only_first = first.ask(Carrier::Iq, "p", &execute_jobs("p", &["private"]));
    let record = only_first.each("taskBufferRecordID")[0].to_owned();
    let data = second.ask(Carrier::Iq, "q", &get_executor_data("q", &["private"]));
    assert_eq!(data.each("status"), ["rejected"]);
    let pair = [("private", record.as_str())];
    let killed = second.ask(Carrier::Iq, "r", &about_records("killJobs", "r", &pair));
    assert_eq!(killed.each("result"), ["rejected"]);
    let status = first.ask(Carrier::Iq, "s", &about_records("getStatus", "s", &pair));
    assert_eq!(status.each("status"), ["pending"]);
}

#[test]
fn a_stranger_gets_nothing() {
    let server = Prosody::start_fast(ACCOUNTS);
    let _daemon = Gristmill::on_sqlite(&server, &[]);
    let mut supervisor = login(&server);
    let mut stranger = Supervisor::login(&server, STRANGER, EXECUTOR_JID);
    for carrier in [Carrier::Child, Carrier::Body] {
        stranger.send(carrier, &execute_jobs("a", &["1"]));
    }
    let reply = stranger.ask(Carrier::Iq, "b", &execute_jobs("b", &["1"]));
    let error = reply.stanza.child("error").expect("an error");
    assert!(error.child("service-unavailable").is_some(), "{error:?}");
    assert!(stranger.drain(Duration::from_secs(1)).is_empty());
    let data = supervisor.ask(Carrier::Iq, "c", &get_executor_data("c", &["1"]));
    assert_eq!(data.each("status"), ["rejected"]);
}

#[test]
fn a_thousand_jobs_fit_into_one_request_on_prosody() {
    a_thousand_jobs(&Prosody::start_fast(ACCOUNTS));
}

#[test]
fn a_thousand_jobs_fit_into_one_request_on_ejabberd() {
    a_thousand_jobs(&Ejabberd::start_fast(ACCOUNTS));
}

/// With the settings of packaging/.
fn a_thousand_jobs(server: &dyn XmppServer) {
    let flags = ["xmpp.max_stanza=8 MiB", "buffer.timeout=30s"];
    let _daemon = Gristmill::on_sqlite(server, &flags);
    let mut supervisor = login(server);
    for (carrier, id) in Carrier::ALL.into_iter().zip(["a", "b", "c"]) {
        let names: Vec<_> = (0..1000).map(|job| format!("{id}{job:06}")).collect();
        let jobs: String = names.iter().map(|name| job(name, 20)).collect();
        let request = document("executeJobs", id, &jobs);
        assert!(request.len() > 3_000_000, "{} bytes", request.len());
        let reply = supervisor.ask(carrier, id, &request);
        assert_eq!(reply.error(), "");
        assert_eq!(reply.each("result"), vec!["stored"; 1000]);
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let data = supervisor.ask(carrier, "d", &get_executor_data("d", &names));
        assert_eq!(
            data.each("taskBufferRecordID"),
            reply.each("taskBufferRecordID")
        );
    }
}

#[test]
fn receipts_can_be_left_out_for_messages() {
    let server = Prosody::start_fast(ACCOUNTS);
    let _daemon = Gristmill::on_sqlite(&server, &["bridge.receipts=false"]);
    let mut supervisor = login(&server);
    supervisor.send(Carrier::Child, &execute_jobs("a", &["1"]));
    supervisor.send(Carrier::Body, &execute_jobs("b", &["1", "2"]));
    let reply = supervisor.ask(Carrier::Iq, "c", &execute_jobs("c", &["1", "2", "3"]));
    assert_eq!(reply.each("result"), ["duplicate", "duplicate", "stored"]);
    let mixed = [job("4", 0), bad_job("5")].concat();
    let reply = supervisor.ask(Carrier::Child, "d", &document("executeJobs", "d", &mixed));
    assert_eq!(reply.each("result"), ["stored", "refused"]);
    assert!(supervisor.drain(Duration::from_millis(500)).is_empty());
}
