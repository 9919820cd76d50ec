//! `/healthz` and `/readyz` of the built program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use super::eventually;
use crate::rig::gristmill::{ACCOUNTS, Gristmill};
use crate::rig::http::{Answer, get, get_as};
use crate::rig::mariadb::MariaDb;
use crate::rig::ports::Port;
use crate::rig::prosody::Prosody;

fn wait_for(daemon: &Gristmill, path: &str, what: &str, right: impl Fn(&Answer) -> bool) {
    let socket = daemon.http_socket();
    eventually(what, || get(&socket, path).filter(&right));
}

fn reasons(answer: &Answer) -> String {
    answer.json()["reasons"].to_string()
}

#[test]
fn every_loop_tells_of_its_last_turn() {
    let server = Prosody::start_fast(ACCOUNTS);
    let daemon = Gristmill::on_sqlite(&server, &["conductor.enabled=true"]);
    wait_for(&daemon, "/readyz", "ready", |answer| answer.status == 200);
    let health = get(&daemon.http_socket(), "/healthz").unwrap();
    assert_eq!(health.status, 200, "{health:?}");
    assert!(health.head.contains("application/json"), "{health:?}");
    let health = health.json();
    assert_eq!(health["status"], "ok");
    let loops = health["loops"].as_object().unwrap();
    let names: Vec<_> = loops.keys().collect();
    let all = [
        "conductor",
        "door",
        "housekeeping",
        "notifications",
        "requests",
    ];
    assert_eq!(names, all);
    for turning in loops.values() {
        assert_eq!(turning["ok"], true);
        let age = turning["last_turn_seconds_ago"].as_f64().unwrap();
        assert!(age < turning["limit_seconds"].as_f64().unwrap());
    }
    let mode = fs::metadata(daemon.http_socket()).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o660);
    assert_eq!(get(&daemon.http_socket(), "/other").unwrap().status, 404);
}

/// A web page whose name leads to a loopback address has a browser of this machine ask under it.
#[test]
fn on_tcp_only_names_of_this_machine_are_answered() {
    let (server, port) = (Prosody::start_fast(ACCOUNTS), Port::free());
    let listen = format!("http.listen=127.0.0.1:{}", port.number);
    let daemon = Gristmill::on_sqlite(&server, &[&listen]);
    let ask = |host: &str, path: &str| get_as(port.number, path, host);
    let there = eventually("an answer", || ask("localhost", "/healthz"));
    assert_eq!(there.status, 200, "{there:?}");
    let named = format!("127.0.0.1:{}", port.number);
    assert_eq!(ask(&named, "/metrics").unwrap().status, 200);
    for path in ["/metrics", "/healthz", "/readyz"] {
        let refused = ask("rebound.example", path).unwrap();
        assert_eq!(refused.status, 421, "{refused:?}");
        assert!(!refused.body.contains("gristmill"), "{refused:?}");
    }
    drop(daemon);
}

#[test]
fn who_is_not_ready_says_why() {
    let (mut server, mut store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
    store.create_database("mill");
    let daemon = Gristmill::on_mariadb(&server, &store.url("mill"), &["conductor.enabled=true"]);
    let because = |what: &'static str| {
        move |answer: &Answer| answer.status == 503 && reasons(answer).contains(what)
    };
    let ready = |answer: &Answer| answer.status == 200 && reasons(answer) == "[]";
    wait_for(&daemon, "/readyz", "ready", ready);
    store.stop();
    wait_for(
        &daemon,
        "/readyz",
        "no store",
        because("store cannot be reached"),
    );
    store.start_again();
    wait_for(&daemon, "/readyz", "ready again", ready);
    server.stop();
    wait_for(&daemon, "/readyz", "no line", because("XMPP offline"));
    // It lives all the same.
    wait_for(&daemon, "/healthz", "alive", |answer| answer.status == 200);
    server.start_again();
    wait_for(&daemon, "/readyz", "online again", ready);
    daemon.command(&["drain"]);
    wait_for(&daemon, "/readyz", "draining", because("draining"));
    daemon.command(&["undrain"]);
    wait_for(&daemon, "/readyz", "works again", ready);
}

/// Without a store and without an XMPP server it is alive, and says what it lacks. The store is
/// looked for also where nobody asks anything.
#[test]
fn a_daemon_that_has_never_been_ready_lives() {
    let (mut server, mut store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
    store.create_database("mill");
    store.stop();
    server.stop();
    let daemon = Gristmill::on_mariadb(&server, &store.url("mill"), &[]);
    wait_for(&daemon, "/readyz", "not ready", |answer| {
        let reasons = reasons(answer);
        reasons.contains("not open yet") && reasons.contains("XMPP offline")
    });
    wait_for(&daemon, "/healthz", "alive", |answer| answer.status == 200);
    store.start_again();
    server.start_again();
    wait_for(&daemon, "/readyz", "ready", |answer| answer.status == 200);
    store.stop();
    wait_for(&daemon, "/readyz", "not ready", |answer| {
        answer.status == 503
    });
}

#[test]
fn a_place_that_is_taken_is_said_at_start() {
    let server = Prosody::start_fast(ACCOUNTS);
    let mut daemon = Gristmill::on_sqlite(&server, &[]);
    wait_for(&daemon, "/readyz", "ready", |answer| answer.status == 200);
    daemon.stop();
    assert!(!daemon.http_socket().exists());
    let other = UnixListener::bind(daemon.http_socket()).unwrap();
    daemon.start_again();
    let status = daemon.wait(crate::rig::process::PATIENCE).unwrap();
    assert_eq!(status.code(), Some(6));
    let log = daemon.log();
    assert!(
        log.contains("http.listen: unix:") && log.contains("is taken"),
        "{log}"
    );
    drop(other);
    daemon.start_again();
    wait_for(&daemon, "/readyz", "ready", |answer| answer.status == 200);
}
