//! SIGHUP: what changes while running, what does not, and what cannot be used.

use std::fs;

use gristmill::error::Code;

use super::eventually;
use super::metrics::Scrape;
use crate::rig::documents::{about_records, execute_jobs, get_executor_data, num_jobs_wanted};
use crate::rig::failure::fails;
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, STRANGER, SUPERVISOR};
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::{Carrier, Supervisor};

const DONE: &str = "the configuration was read again";
const NOT_DONE: &str = "the configuration stays as it is";

fn wanted(supervisor: &mut Supervisor) -> String {
    let reply = supervisor.ask(Carrier::Iq, "n", &num_jobs_wanted("n"));
    reply.document.child("numJobs").unwrap().text.clone()
}

/// Changes the configuration file and has it read again; waits for a line of log.
fn change(daemon: &Gristmill, edit: impl Fn(String) -> String, line: &str) {
    let file = daemon.config_file();
    let count = |line: &str| daemon.log().matches(line).count();
    let before = count(line);
    fs::write(&file, edit(fs::read_to_string(&file).unwrap())).unwrap();
    daemon.hang_up();
    eventually(line, || (count(line) > before).then_some(()));
}

#[test]
fn supervisors_limits_slots_and_the_log_change_while_running() {
    let server = Prosody::start_fast(ACCOUNTS);
    let daemon = Gristmill::on_sqlite(&server, &["conductor.enabled=true"]);
    let mut supervisor = Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    assert_eq!(wanted(&mut supervisor), "1000");
    let edit = |text: String| {
        let text = text.replace(
            "[conductor]\n",
            "[bridge]\njobs_wanted = 7\nqueue = 65\n[log]\nlevel = \"debug\"\n[conductor]\nslots = 9\n",
        );
        format!("{text}\n[[supervisor]]\njid = \"stranger@grid.test\"\n")
    };
    change(&daemon, edit, DONE);
    assert_eq!(wanted(&mut supervisor), "7");
    let mut stranger = Supervisor::login(&server, STRANGER, EXECUTOR_JID);
    assert_eq!(wanted(&mut stranger), "7");
    eventually("nine slots", || {
        let scrape = Scrape::of(&daemon)?;
        (scrape.value("gristmill_slots") > 8.5).then_some(())
    });
    let log = daemon.log();
    let restart = |key: &str| {
        log.lines()
            .any(|line| line.contains("needs a restart") && line.contains(key))
    };
    assert!(restart("bridge.queue"), "{log}");
    assert!(
        !restart("jobs_wanted") && !restart("slots") && !restart("level"),
        "{log}"
    );
    assert!(log.contains(" DEBUG "), "{log}");

    let without = |text: String| text.replace("[[supervisor]]\njid = \"stranger@grid.test\"\n", "");
    change(&daemon, without, DONE);
    stranger.send(Carrier::Child, &num_jobs_wanted("x"));
    eventually("a stranger again", || {
        let scrape = Scrape::of(&daemon)?;
        (scrape.value("gristmill_rejected_senders_total") > 0.5).then_some(())
    });
    assert_eq!(wanted(&mut supervisor), "7");
}

/// To who is no supervisor any more nobody would answer for its jobs.
#[test]
fn who_has_unfinished_jobs_stays_a_supervisor() {
    let server = Prosody::start_fast(ACCOUNTS);
    let daemon = Gristmill::on_sqlite(&server, &[]);
    let mut supervisor = Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    supervisor.ask(Carrier::Iq, "e", &execute_jobs("e", &["1"]));
    let section = "[[supervisor]]\njid = \"supervisor@grid.test\"\nowner = \"prodsys\"\n";
    let without = |text: String| {
        assert!(text.contains(section), "{text}");
        text.replace(section, "")
    };
    change(&daemon, without, NOT_DONE);
    let log = daemon.log();
    assert!(
        log.contains("GM0306") && log.contains("prodsys (1 unfinished, 0 not reported)"),
        "{log}"
    );
    let reply = supervisor.ask(Carrier::Iq, "d", &get_executor_data("d", &["1"]));
    assert_eq!(reply.each("status"), ["accepted"]);

    // What has ended and was not reported is looked for, too.
    daemon.command(&["job", "kill", "--owner", "prodsys", "--yes"]);
    change(&daemon, |text| text, NOT_DONE);
    let log = daemon.log();
    assert!(
        log.contains("prodsys (0 unfinished, 1 not reported)"),
        "{log}"
    );
    let asked = about_records("getStatus", "s", &[("1", "1")]);
    let reply = supervisor.ask(Carrier::Iq, "s", &asked);
    assert_eq!(reply.each("status"), ["finished"]);
    change(&daemon, |text| text, DONE);
    supervisor.send(Carrier::Child, &num_jobs_wanted("x"));
    eventually("a stranger", || {
        let scrape = Scrape::of(&daemon)?;
        (scrape.value("gristmill_rejected_senders_total") > 0.5).then_some(())
    });
}

/// Both owners stay, and the JID changes from one to the other.
#[test]
fn a_supervisor_does_not_leave_its_jobs_for_another_owner() {
    let server = Prosody::start_fast(ACCOUNTS);
    let mut daemon = Gristmill::on_sqlite(&server, &[]);
    let mut supervisor = Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    supervisor.ask(Carrier::Iq, "e", &execute_jobs("e", &["1"]));
    daemon.command(&["job", "kill", "--owner", "prodsys", "--yes"]);
    let swapped = |text: String| {
        let text = text.replace("owner = \"prodsys\"\n", "owner = \"other@grid.test\"\n");
        let other = "jid = \"other@grid.test\"\n";
        text.replace(other, &format!("{other}owner = \"prodsys\"\n"))
    };
    let original = fs::read_to_string(daemon.config_file()).unwrap();
    change(&daemon, swapped, NOT_DONE);
    let what = "prodsys (0 unfinished, 1 not reported), which supervisor@grid.test had before \
                other@grid.test";
    assert!(daemon.log().contains(what), "{}", daemon.log());
    daemon.stop();
    let said = fails(&daemon.ask(&["serve"]), Code::Orphans);
    assert!(said.contains(what), "{said}");

    fs::write(daemon.config_file(), original).unwrap();
    daemon.start_again();
    supervisor.wait_until_served();
    let asked = about_records("getStatus", "s", &[("1", "1")]);
    let reply = supervisor.ask(Carrier::Iq, "s", &asked);
    assert_eq!(reply.each("status"), ["finished"]);
    change(&daemon, swapped, DONE);
}

#[test]
fn an_invalid_configuration_changes_nothing() {
    let server = Prosody::start_fast(ACCOUNTS);
    let mut daemon = Gristmill::on_sqlite(&server, &[]);
    let mut supervisor = Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    let edit = |text: String| {
        text.replace(
            "[conductor]\n",
            "[bridge]\njobs_wanted = 7\nqueue = 0\n[conductor]\n",
        )
    };
    change(&daemon, edit, NOT_DONE);
    assert!(daemon.log().contains("bridge.queue"), "{}", daemon.log());
    assert_eq!(wanted(&mut supervisor), "1000");
    daemon.stop();
}
