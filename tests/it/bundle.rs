//! What `gristmill debug bundle` gathers, and above all what it does not.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use gristmill::error::Code;
use serde_json::Value;
use tempfile::TempDir;

use crate::rig::documents::document;
use crate::rig::failure::fails;
use crate::rig::folder;
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR, EXECUTOR_JID, Gristmill, SUPERVISOR, secret};
use crate::rig::mariadb::{self, MariaDb};
use crate::rig::process::{PATIENCE, command};
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::{Carrier, Supervisor};

/// Stands in everything that must not be told.
const CANARY: &str = "c4n4ry";

/// A job with the canary wherever a supervisor may write something.
fn job(job_id: &str, program: &str) -> String {
    format!(
        "<job jobID='{job_id}'><jobName>{CANARY}.name</jobName><strange>{CANARY}.element</strange>\
         <transformation><transUses>{CANARY}.uses</transUses><transHome>{CANARY}.home</transHome>\
         <transPath>{CANARY}.{program}</transPath><transPars>{CANARY}.pars</transPars></transformation>\
         <jobPars>{CANARY}.jobpars</jobPars>\
         <inputs><file logicalFileName='{CANARY}.in' dataset='{CANARY}.set'/></inputs>\
         <outputs><file logicalFileName='{CANARY}.out' dataset='{CANARY}.set'/></outputs>\
         <stdout logicalFileName='{CANARY}.log'/><stderr logicalFileName='{CANARY}.err'/></job>"
    )
}

/// What a program says and does with the canary.
fn script(end: &str) -> String {
    format!(
        "echo {CANARY}; echo {CANARY} >&2; echo {CANARY} >{CANARY}.out\n\
         for word in 0.5 event: warning: error:; do\n\
         echo \"$word {CANARY}\" >&$GRISTMILL_PROGRESS_FD; done\n{end}"
    )
}

/// Has a daemon meet the canary in every way: jobs that end well, badly, cannot be found, are held
/// and killed by operators, are refused, cannot be read.
fn converse(daemon: &Gristmill, server: &Prosody) {
    daemon.script(&format!("{CANARY}.well"), &script("exit 0"));
    daemon.script(&format!("{CANARY}.badly"), &script("exit 3"));
    daemon.script(&format!("{CANARY}.long"), &script("sleep 600"));
    let captured = daemon.folder().join("captured");
    daemon.command(&["capture", "on", captured.to_str().unwrap()]);
    let mut supervisor = Supervisor::login(server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    let mut ask = |id: &str, document: &str| supervisor.ask(Carrier::Iq, id, document);
    let programs = ["well", "badly", "missing", "long"];
    let numbered = programs.iter().enumerate();
    let jobs = numbered.map(|(number, program)| job(&number.to_string(), program));
    let refused = job("9", "none").replace(&format!("{CANARY}.none"), "");
    let jobs = jobs.collect::<String>() + &refused;
    let reply = ask("e", &document("executeJobs", "e", &jobs));
    let results = ["stored", "stored", "stored", "stored", "refused"];
    assert_eq!(reply.each("result"), results, "{reply:?}");
    ask(
        "u",
        &document("executeJobs", "u", &format!("<job {CANARY}='1'/>")),
    );
    ask("x", &document(CANARY, "x", CANARY));
    wait_for(daemon, "running", 1);
    daemon.command(&["drain", "--reason", CANARY]);
    daemon.command(&["job", "kill", "4", "--reason", CANARY]);
    for (state, count) in [
        ("succeeded", 1),
        ("failed", 1),
        ("trashed", 1),
        ("cancelled", 1),
    ] {
        wait_for(daemon, state, count);
    }
    daemon.command(&["job", "rerun", "2", "--force", "--reason", CANARY]);
    daemon.command(&["job", "hold", "2", "--reason", CANARY]);
    wait_for(daemon, "held", 1);
    for (words, told) in [
        (["job", "show", "1"], "jobpars"),
        (["job", "events", "1"], CANARY),
    ] {
        let shown = String::from_utf8(daemon.ask(&words).stdout).unwrap();
        assert!(shown.contains(told), "no canary is planted: {shown}");
    }
}

fn wait_for(daemon: &Gristmill, state: &str, count: usize) {
    let deadline = Instant::now() + PATIENCE * 2;
    loop {
        let listed = daemon.ask(&["job", "list", "--json"]);
        let listed = String::from_utf8(listed.stdout).unwrap();
        let wanted = format!("\"state\":\"{state}\"");
        if listed.matches(&wanted).count() >= count {
            return;
        }
        assert!(Instant::now() < deadline, "no {count} {state}: {listed}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The members of an archive, by name, without the folder.
pub fn unpacked(file: &Path) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(GzDecoder::new(fs::File::open(file).unwrap()));
    let members = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        assert_eq!(entry.header().mode().unwrap(), 0o600);
        let path = entry.path().unwrap().into_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), text)
    });
    members.collect()
}

/// A bundle on a daemon's configuration.
struct Bundle {
    members: BTreeMap<String, String>,
    said: String,
    folder: TempDir,
}

impl Bundle {
    /// Makes one, with these lines in the journal.
    fn make(
        daemon: &Gristmill,
        words: &[&str],
        journal: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        let folder = folder::new();
        let programs = folder.path().join("programs");
        fs::create_dir(&programs).unwrap();
        let program = programs.join("journalctl");
        fs::write(
            &program,
            format!("#!/bin/sh\ncat <<'END'\n{journal}\nEND\n"),
        )
        .unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let path = std::env::var("PATH").unwrap();
        let mut command = command(env!("CARGO_BIN_EXE_gristmill"));
        command
            .args(["debug", "bundle", "--config"])
            .arg(daemon.config_file())
            .args(words)
            .env("PATH", format!("{}:{path}", programs.display()))
            .envs(environment.iter().copied())
            .current_dir(folder.path());
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert!(status.success(), "{said}");
        let file = folder
            .path()
            .join(String::from_utf8(stdout).unwrap().trim_end());
        let rights = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(rights & 0o777, 0o600, "{}", file.display());
        Self {
            members: unpacked(&file),
            said,
            folder,
        }
    }

    #[track_caller]
    fn holds(&self, member: &str, words: &[&str]) {
        let text = self.members.get(member);
        let text = text.unwrap_or_else(|| panic!("no {member}: {}", self.said));
        for word in words {
            assert!(text.contains(word), "no {word} in {member}:\n{text}");
        }
    }

    #[track_caller]
    fn holds_no_secret(&self) {
        let members = self.members.iter();
        for (name, text) in members
            .map(|(name, text)| (&**name, text))
            .chain([("stderr", &self.said)])
        {
            holds_no_secret(name, text);
        }
    }

    /// Why a member is not there, as the manifest and standard error say.
    #[track_caller]
    fn lacks(&self, member: &str) -> String {
        assert!(!self.members.contains_key(member), "{member} is there");
        assert!(
            self.said.contains(&format!("without {member}: ")),
            "{}",
            self.said
        );
        let told = self.manifest();
        let told = told["members"].as_array().unwrap().iter();
        let mut told = told.filter(|told| told["name"] == member);
        told.next().unwrap()["missing"].as_str().unwrap().to_owned()
    }

    fn manifest(&self) -> Value {
        serde_json::from_str(&self.members["manifest.json"]).unwrap()
    }
}

#[track_caller]
fn holds_no_secret(name: &str, text: &str) {
    for secret in [CANARY, EXECUTOR.1, mariadb::PASSWORD, "PRIVATE KEY"] {
        let at = text.lines().find(|line| line.contains(secret));
        assert_eq!(at, None, "{name} tells {secret:?}");
    }
}

/// As systemd's journal has a line of ours.
fn line(target: &str, priority: u8, message: &str, field: &str, value: &str) -> String {
    serde_json::json!({
        "__REALTIME_TIMESTAMP": "1700000000000000", "_PID": "7", "PRIORITY": priority.to_string(),
        "TARGET": target, "MESSAGE": message, field: value,
    })
    .to_string()
}

fn journal() -> String {
    [
        line("gristmill::xmpp::lane", 6, "received", "F_DOCUMENT", CANARY),
        line(
            "gristmill::conductor::life",
            4,
            "a run cannot be looked up",
            "F_ERROR",
            CANARY,
        ),
        line(
            "gristmill::xmpp::link",
            4,
            "not online; trying again",
            "F_ERROR",
            "no route",
        ),
    ]
    .join("\n")
}

const RUNS_JOBS: [&str; 3] = [
    "conductor.enabled=true",
    "conductor.slots=4",
    "conductor.max_runs=1",
];

/// Everything is there, and nothing of a secret or a job, neither in the bundle nor in the log.
fn tells_all_but_secrets(mut daemon: Gristmill, server: &Prosody, store: &str) {
    converse(&daemon, server);
    let bundle = Bundle::make(&daemon, &[], &journal(), &[("SOME_TOKEN", CANARY)]);
    bundle.holds_no_secret();
    holds_no_secret("the log", &daemon.log());
    bundle.holds(
        "versions.json",
        &[env!("CARGO_PKG_VERSION"), store, "Linux"],
    );
    bundle.holds(
        "configuration.txt",
        &[EXECUTOR_JID, "xmpp.password_file = \"/"],
    );
    bundle.holds("doctor.txt", &["store", "is reached at"]);
    bundle.holds("healthz.json", &["\"status\":\"ok\""]);
    bundle.holds("readyz.json", &["draining"]);
    bundle.holds("metrics.txt", &["gristmill_build_info", "gristmill_jobs"]);
    bundle.holds(
        "jobs.json",
        &["\"succeeded\": 1", "\"held\": 1", "\"drains\": true"],
    );
    bundle.holds("schema.json", &["\"1 ", "\"to_be_taken\": []"]);
    bundle.holds(
        "log.txt",
        &["a run cannot be looked up", "error=\"no route\""],
    );
    let names = bundle.manifest()["members"].as_array().unwrap().len();
    assert_eq!(names, bundle.members.len() - 1, "{}", bundle.said);
    assert_eq!(bundle.said, "", "nothing is left out");
    daemon.stop();
}

#[test]
fn a_bundle_of_a_daemon_on_sqlite_tells_no_secret() {
    let server = Prosody::start_fast(ACCOUNTS);
    let daemon = Gristmill::on_sqlite(&server, &RUNS_JOBS);
    tells_all_but_secrets(daemon, &server, "SQLite");
}

#[test]
fn a_bundle_of_a_daemon_on_mariadb_tells_no_secret() {
    let (server, store) = (Prosody::start_fast(ACCOUNTS), MariaDb::start());
    store.create_database("mill");
    let daemon = Gristmill::on_mariadb(&server, &store.url("mill"), &RUNS_JOBS);
    tells_all_but_secrets(daemon, &server, "MariaDB");
}

#[test]
fn what_cannot_be_had_is_named_and_the_rest_is_made() {
    let server = Prosody::start(ACCOUNTS);
    let daemon = Gristmill::prepared(&server);
    let bundle = Bundle::make(&daemon, &[], "", &[]);
    bundle.holds_no_secret();
    bundle.holds("doctor.txt", &["does not run here"]);
    for member in ["healthz.json", "readyz.json", "metrics.txt"] {
        assert!(bundle.lacks(member).contains("no daemon answers"));
    }
    assert!(bundle.lacks("jobs.json").starts_with("GM030"));
    assert!(bundle.lacks("log.txt").contains("no line"));
    bundle.holds("schema.json", &["\"taken\": []"]);
}

/// Somebody put passwords where they do not belong.
#[test]
fn a_broken_configuration_is_told_without_what_it_quotes() {
    let server = Prosody::start(ACCOUNTS);
    let daemon = Gristmill::prepared(&server);
    let written = fs::read_to_string(daemon.config_file()).unwrap();
    for broken in [
        format!("xmpp.password = \"{CANARY}\"\n"),
        format!("xmpp.security = \"{CANARY}\"\n"),
        format!("buffer.url = \"mysql://u:{CANARY}@h/d\"\n"),
        format!("\"{CANARY} = 1\n"),
        format!("buffer.timeout = '''{CANARY}\n`{CANARY}`'''\n"),
    ] {
        fs::write(daemon.config_file(), format!("{broken}{written}")).unwrap();
        let bundle = Bundle::make(
            &daemon,
            &[],
            &journal(),
            &[("GRISTMILL_LOG__LEVEL", CANARY)],
        );
        bundle.holds_no_secret();
        bundle.holds("configuration.txt", &["GM02", "GRISTMILL_LOG__LEVEL"]);
        bundle.holds("log.txt", &["no route"]);
        assert!(bundle.lacks("doctor.txt").contains("the configuration"));
    }
    fs::write(daemon.config_file(), written).unwrap();
    let flag = format!("xmpp.password_file={CANARY}");
    let bundle = Bundle::make(&daemon, &["--set", &flag], "", &[]);
    bundle.holds("configuration.txt", &["xmpp.password_file = (not shown)"]);
}

#[test]
fn no_file_is_written_over() {
    let server = Prosody::start(ACCOUNTS);
    let daemon = Gristmill::prepared(&server);
    let file = daemon.folder().join("there");
    secret(&file, "mine");
    let asked = daemon.ask(&["debug", "bundle", "--output", file.to_str().unwrap()]);
    fails(&asked, Code::FileExists);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    let asked = daemon.ask(&["debug", "bundle", "--output", "/nonexistent/x.tar.gz"]);
    fails(&asked, Code::FileUnwritable);

    let bundle = Bundle::make(&daemon, &["--output", "x.tar.gz"], "", &[]);
    let left = fs::read_dir(bundle.folder.path()).unwrap();
    let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["programs", "x.tar.gz"]);
    let mut json = Command::new(env!("CARGO_BIN_EXE_gristmill"));
    let json = json
        .args(["debug", "bundle", "--json", "--config"])
        .arg(daemon.config_file());
    let json = json.current_dir(bundle.folder.path()).output().unwrap();
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["manifest"]["members"][0]["name"], "versions.json");
}
