//! Two daemons of one store, of which one knows or does what the other one must not miss.

use std::time::{Duration, Instant};

use crate::rig::documents::{execute_jobs, get_executor_data};
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, SECOND_EXECUTOR_JID, SUPERVISOR};
use crate::rig::mariadb::MariaDb;
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::{Carrier, PATIENCE, Supervisor};

/// Two daemons of one database, and a supervisor of both.
struct Scene {
    server: Prosody,
    store: MariaDb,
    supervisor: Supervisor,
}

impl Scene {
    /// The daemons come after it.
    fn new() -> Self {
        let (server, store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
        store.create_database("mill");
        Self {
            supervisor: Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID),
            server,
            store,
        }
    }

    fn daemon(&self, jid: &str, flags: &[&str]) -> Gristmill {
        let jid = format!("xmpp.jid={jid}");
        let flags = [flags, &[&jid]].concat();
        Gristmill::on_mariadb(&self.server, &self.store.url("mill"), &flags)
    }

    fn speak_to(&mut self, jid: &str) {
        self.supervisor.speak_to(jid);
        self.supervisor.wait_until_served();
    }

    fn is_rejected(&mut self, jobs: &[&str]) {
        let question = get_executor_data("q", jobs);
        let data = self.supervisor.ask(Carrier::Iq, "q", &question);
        assert_eq!(data.each("status"), vec!["rejected"; jobs.len()]);
    }

    fn count(&self, rows: &str) -> String {
        let count = format!("SELECT COUNT(*) FROM mill.{rows}");
        self.store.sql(&count).trim().to_owned()
    }
}

/// Waits until something is so.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let limit = Instant::now() + PATIENCE * 2;
    while !is_so() {
        assert!(Instant::now() < limit, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What waits in the socket of a daemon that stands still has no stamp that says so.
#[test]
fn a_rejection_counts_for_what_waited_in_the_socket_of_a_frozen_daemon() {
    let mut scene = Scene::new();
    let frozen = scene.daemon(EXECUTOR_JID, &[]);
    scene.speak_to(EXECUTOR_JID);
    let _other = scene.daemon(SECOND_EXECUTOR_JID, &[]);
    scene.speak_to(SECOND_EXECUTOR_JID);

    frozen.pause();
    let supervisor = &mut scene.supervisor;
    supervisor.speak_to(EXECUTOR_JID);
    let late = [
        (Carrier::Iq, "1"),
        (Carrier::Child, "2"),
        (Carrier::Body, "3"),
    ];
    let late = late.map(|(carrier, job)| {
        let stanza = supervisor.send(carrier, &execute_jobs(job, &[job]));
        (carrier, job, stanza)
    });
    supervisor.speak_to(SECOND_EXECUTOR_JID);
    scene.is_rejected(&["1", "2", "3"]);
    // Long enough for nothing to be taken for prompt.
    std::thread::sleep(Duration::from_secs(8));
    frozen.resume();
    for (carrier, job, stanza) in late {
        let reply = scene.supervisor.reply(PATIENCE, carrier, &stanza, job);
        assert_eq!(reply.expect("an answer").error(), "stale", "{carrier:?}");
    }
    assert_eq!(scene.count("jobs"), "0");

    // Sent again, on purpose, they are new as soon as the line was proved to hold nothing back.
    scene.speak_to(EXECUTOR_JID);
    wait_until("the jobs are not taken", || {
        let again = execute_jobs("again", &["1", "2", "3"]);
        let again = scene.supervisor.ask(Carrier::Iq, "again", &again);
        again.each("result") == ["stored"; 3]
    });
}

/// One daemon may take requests that are an hour old, the other one remembers for seconds what it
/// has rejected.
#[test]
fn a_rejection_counts_after_another_daemon_has_forgotten_it() {
    let mut scene = Scene::new();
    let mut patient = scene.daemon(EXECUTOR_JID, &["bridge.max_age=1h"]);
    scene.speak_to(EXECUTOR_JID);
    patient.stop();
    let late = execute_jobs("late", &["1"]);
    let late = scene.supervisor.send(Carrier::Child, &late);

    let hasty = ["bridge.max_age=1s", "buffer.timeout=1s"];
    let _hasty = scene.daemon(SECOND_EXECUTOR_JID, &hasty);
    scene.speak_to(SECOND_EXECUTOR_JID);
    scene.is_rejected(&["1"]);
    wait_until("the rejection is not forgotten", || {
        scene.is_rejected(&["other"]);
        scene.count("rejections WHERE job_id = '1'") == "0"
    });

    patient.start_again();
    let supervisor = &mut scene.supervisor;
    let reply = supervisor.reply(PATIENCE, Carrier::Child, &late, "late");
    assert_eq!(reply.expect("an answer").error(), "stale");
    assert_eq!(scene.count("jobs"), "0");
    // Sent again, on purpose, it is new.
    scene.speak_to(EXECUTOR_JID);
    let again = execute_jobs("again", &["1"]);
    let again = scene.supervisor.ask(Carrier::Iq, "again", &again);
    assert_eq!(again.each("result"), ["stored"]);
}
