//! The built program as a daemon.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};
use std::time::Duration;

use tempfile::TempDir;

use super::process::{Process, command};
use super::{Account, DOMAIN, XmppServer, folder, mariadb};

/// The account and resource of the daemon.
pub const EXECUTOR: Account = ("executor", "mill stone");

/// Its full JID.
pub const EXECUTOR_JID: &str = "executor@grid.test/panda";

/// Another account of the daemon's, with the same password.
pub const SECOND_EXECUTOR: Account = ("executor2", EXECUTOR.1);

/// Its full JID.
pub const SECOND_EXECUTOR_JID: &str = "executor2@grid.test/panda";

/// The account of the supervisor that every daemon of the rig knows.
pub const SUPERVISOR: Account = ("supervisor", "wind & sails");

/// Another one that it knows.
pub const OTHER_SUPERVISOR: Account = ("other", "breeze");

/// One that it does not know.
pub const STRANGER: Account = ("stranger", "storm");

/// All accounts that servers need.
pub const ACCOUNTS: &[Account] = &[
    EXECUTOR,
    SECOND_EXECUTOR,
    SUPERVISOR,
    OTHER_SUPERVISOR,
    STRANGER,
];

/// A daemon with its configuration and, where it is SQLite, its store.
pub struct Gristmill {
    process: Option<Process>,
    folder: TempDir,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Gristmill {
    /// One on SQLite.
    pub fn on_sqlite(server: &dyn XmppServer, flags: &[&str]) -> Self {
        let folder = folder::new();
        let url = format!("sqlite:{}/buffer.db", folder.path().display());
        Self::start(folder, server, &url, flags)
    }

    /// One on a database of MariaDB.
    pub fn on_mariadb(server: &dyn XmppServer, store_url: &str, flags: &[&str]) -> Self {
        Self::start(folder::new(), server, store_url, flags)
    }

    /// One on SQLite, with these variables in its environment.
    pub fn under_a_manager(
        server: &dyn XmppServer,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let folder = folder::new();
        let url = format!("sqlite:{}/buffer.db", folder.path().display());
        let mut daemon = Self::prepare(folder, server, &url);
        let environment = environment.iter();
        daemon.environment = environment
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        daemon.start_with(flags);
        daemon
    }

    /// Each of `flags` is `section.key=value`, over the configuration file.
    fn start(folder: TempDir, server: &dyn XmppServer, url: &str, flags: &[&str]) -> Self {
        let mut daemon = Self::prepare(folder, server, url);
        daemon.start_with(flags);
        daemon
    }

    fn prepare(folder: TempDir, server: &dyn XmppServer, url: &str) -> Self {
        let path = folder.path();
        secret(&path.join("xmpp-password"), EXECUTOR.1);
        secret(&path.join("store-password"), mariadb::PASSWORD);
        let config = format!(
            "[xmpp]\njid = \"{EXECUTOR_JID}\"\npassword_file = \"{folder}/xmpp-password\"\n\
             server = \"{address}\"\nca_file = \"{ca}\"\n\n\
             [[supervisor]]\njid = \"{first}@{DOMAIN}\"\nowner = \"prodsys\"\n\n\
             [[supervisor]]\njid = \"{other}@{DOMAIN}\"\n\n\
             [buffer]\nurl = \"{url}\"\n{store_password}\n\
             [conductor]\nenabled = false\n\n\
             [runner]\nsocket = \"{folder}/run/runner.sock\"\n\n\
             [runner.process]\ntransformations = [\"{folder}/transformations\"]\n\
             work_dir = \"{folder}/work\"\ncgroup = \"off\"\n\n[http]\nlisten = \"unix:{folder}/http.sock\"\n\n\
             [capture]\ncontrol = \"{folder}/capture\"\n",
            folder = path.display(),
            address = server.address(),
            ca = server.ca_file().display(),
            first = SUPERVISOR.0,
            other = OTHER_SUPERVISOR.0,
            store_password = if url.starts_with("mysql:") {
                format!("password_file = \"{}/store-password\"\n", path.display())
            } else {
                String::new()
            },
        );
        fs::write(path.join("gristmill.toml"), config).expect("a configuration");
        // An empty one is no sound one.
        fs::create_dir(path.join("transformations")).expect("a folder");
        fs::write(path.join("transformations/README"), "programs").expect("a file");
        Self {
            process: None,
            flags: Vec::new(),
            environment: Vec::new(),
            folder,
        }
    }

    /// Starts it with other flags on the same configuration file and store.
    pub fn start_with(&mut self, flags: &[&str]) {
        let flags = flags
            .iter()
            .flat_map(|flag| ["--set".to_owned(), (*flag).to_owned()]);
        self.flags = flags.collect();
        self.start_again();
    }

    /// Starts it with other words after `serve`.
    pub fn start_with_words(&mut self, words: &[&str]) {
        self.flags = words.iter().map(|word| (*word).to_owned()).collect();
        self.start_again();
    }

    /// Starts it on the same configuration and store.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the daemon is already running");
        let mut command = command(env!("CARGO_BIN_EXE_gristmill"));
        command
            .arg("serve")
            .arg("--config")
            .arg(self.config_file())
            .args(&self.flags)
            .envs(self.environment.iter().cloned());
        self.process = Some(Process::start("gristmill", command, &self.log_file()));
    }

    /// Its configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("gristmill.toml")
    }

    /// Where everything of it is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where it tells of its health.
    pub fn http_socket(&self) -> PathBuf {
        self.folder.path().join("http.sock")
    }

    /// Its process ID.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("a running daemon").id()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Writes a shell script that jobs can name. What it appends to `$LOG` is in
    /// [`Self::job_log`].
    pub fn script(&self, name: &str, text: &str) {
        let programs = self.folder.path().join("transformations");
        fs::create_dir_all(&programs).expect("a folder");
        let text = format!("#!/bin/sh\nLOG={}\n{text}\n", self.job_log_file().display());
        fs::write(programs.join(name), text).expect("a script");
        fs::set_permissions(programs.join(name), fs::Permissions::from_mode(0o755))
            .expect("permissions");
    }

    /// What scripts have written to `$LOG`.
    pub fn job_log(&self) -> String {
        fs::read_to_string(self.job_log_file()).unwrap_or_default()
    }

    /// Where scripts write.
    pub fn job_log_file(&self) -> PathBuf {
        self.folder.path().join("job-log")
    }

    /// One on SQLite that is not started yet.
    pub fn prepared(server: &dyn XmppServer) -> Self {
        let folder = folder::new();
        let url = format!("sqlite:{}/buffer.db", folder.path().display());
        Self::prepare(folder, server, &url)
    }

    /// One on a database of MariaDB that is not started yet.
    pub fn prepared_on_mariadb(server: &dyn XmppServer, store_url: &str) -> Self {
        Self::prepare(folder::new(), server, store_url)
    }

    /// Runs a command on its configuration that may fail.
    pub fn ask(&self, words: &[&str]) -> Output {
        let mut command = command(env!("CARGO_BIN_EXE_gristmill"));
        command.args(words).arg("--config").arg(self.config_file());
        command.output().expect("a command")
    }

    /// Runs an operator's command on its configuration.
    pub fn command(&self, words: &[&str]) {
        let mut command = command(env!("CARGO_BIN_EXE_gristmill"));
        command.args(words).arg("--config").arg(self.config_file());
        let output = command.output().expect("a command");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {error}");
    }

    /// Sends SIGTERM and does not wait.
    pub fn terminate(&self) {
        self.process
            .as_ref()
            .expect("a running daemon")
            .signal("TERM");
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) {
        self.process
            .as_ref()
            .expect("a running daemon")
            .signal("HUP");
    }

    /// Freezes it.
    pub fn pause(&self) {
        self.process
            .as_ref()
            .expect("a running daemon")
            .signal("STOP");
    }

    /// Thaws it.
    pub fn resume(&self) {
        self.process
            .as_ref()
            .expect("a running daemon")
            .signal("CONT");
    }

    /// Waits for its end; `None` when it lives on.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let status = self.process.as_mut().expect("a running daemon").wait(limit);
        if status.is_some() {
            self.process = None;
        }
        status
    }

    /// Stops it in order.
    pub fn stop(&mut self) {
        let status = self.process.take().expect("a running daemon").stop();
        assert_eq!(status.code(), Some(0), "{}", folder::tail(&self.log_file()));
    }

    /// Kills it; its store stays as it is.
    pub fn kill(&mut self) {
        self.process.take().expect("a running daemon").kill();
    }
}

/// What it has logged, where a test fails.
impl Drop for Gristmill {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("gristmill's log:\n{}", folder::tail(&self.log_file()));
        }
    }
}

/// Writes a file that only its owner may read.
pub fn secret(file: &Path, text: &str) {
    fs::write(file, text).expect("a secret");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("permissions");
}
