//! A private MariaDB, as durable as Debian's.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use tempfile::TempDir;

use super::folder;
use super::ports::Port;
use super::process::{Process, dying_with_us, is_root, server};

const PACKAGE: &str = "mariadb-server";

/// The account that may do everything.
pub const USER: &str = "gristmill";

/// An account that may do everything in one database, and nothing to the server.
pub const ORDINARY: &str = "miller";

/// The password of both.
pub const PASSWORD: &str = "mill-pond'7";

/// A server with its data; both end with this value.
#[derive(Debug)]
pub struct MariaDb {
    process: Option<Process>,
    port: Port,
    folder: TempDir,
    options: Vec<String>,
}

impl MariaDb {
    /// A new server without databases of ours.
    pub fn start() -> Self {
        Self::start_with(Vec::new())
    }

    /// The same with more command-line options.
    pub fn start_with(options: Vec<String>) -> Self {
        let folder = folder::new();
        install(&folder);
        let grants = format!(
            "DROP USER IF EXISTS ''@'localhost';\n\
             CREATE USER IF NOT EXISTS {USER}@localhost IDENTIFIED BY \"{PASSWORD}\";\n\
             CREATE USER IF NOT EXISTS {USER}@127.0.0.1 IDENTIFIED BY \"{PASSWORD}\";\n\
             GRANT ALL ON *.* TO {USER}@localhost, {USER}@127.0.0.1;\n"
        );
        fs::write(folder.path().join("init.sql"), grants).expect("the grants");
        let port = Port::free();
        let process = None;
        let mut server = Self {
            process,
            port,
            folder,
            options,
        };
        server.start_again();
        server
    }

    /// Starts it on the same data and the same port, after [`stop`](Self::stop) or
    /// [`kill`](Self::kill).
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the server is already running");
        let log = self.folder.path().join("log");
        let mut process = Process::start("mariadbd", self.command(), &log);
        process.wait_until("answering", || self.try_sql("SELECT 1").is_ok());
        self.process = Some(process);
    }

    fn command(&self) -> Command {
        let folder = self.folder.path().display();
        let mut command = dying_with_us(&server("mariadbd", PACKAGE));
        command.args([
            "--no-defaults".to_owned(),
            format!("--datadir={folder}/data"),
            // A server that starts removes the temporary tables of all others from a shared one.
            format!("--tmpdir={folder}/tmp"),
            format!("--socket={folder}/sock"),
            format!("--pid-file={folder}/pid"),
            format!("--init-file={folder}/init.sql"),
            format!("--port={}", self.port.number),
            "--bind-address=127.0.0.1".to_owned(),
            "--skip-name-resolve".to_owned(),
            "--innodb-buffer-pool-size=64M".to_owned(),
            "--innodb-log-file-size=32M".to_owned(),
            "--innodb-flush-log-at-trx-commit=1".to_owned(),
        ]);
        command.args(&self.options);
        if is_root() {
            command.arg("--user=root");
        }
        command
    }

    /// Its URL, without the password, as the configuration takes it.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://{USER}@127.0.0.1:{}/{database}", self.port.number)
    }

    /// Its URL with the password in it, for clients that are not ours.
    pub fn url_with_password(&self, database: &str) -> String {
        let (port, password) = (self.port.number, PASSWORD.replace('\'', "%27"));
        format!("mysql://{USER}:{password}@127.0.0.1:{port}/{database}")
    }

    /// Its TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number
    }

    /// Its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    /// Makes a database, with MariaDB's default character set.
    pub fn create_database(&self, name: &str) {
        self.sql(&format!("CREATE DATABASE `{name}`"));
    }

    /// Makes [`ORDINARY`] for a database: it is bound by `read_only`, as [`USER`] is not.
    pub fn create_ordinary_account(&self, database: &str) {
        let account = format!("{ORDINARY}@127.0.0.1");
        self.sql(&format!(
            "CREATE USER {account} IDENTIFIED BY \"{PASSWORD}\";
             GRANT ALL ON `{database}`.* TO {account}"
        ));
    }

    /// Ends all sessions that use a database.
    pub fn kill_sessions(&self, database: &str) {
        let kills = self.sql(&format!(
            "SELECT GROUP_CONCAT(CONCAT('KILL ', id) SEPARATOR '; ')
             FROM information_schema.processlist WHERE db = '{database}'"
        ));
        if kills.trim() != "NULL" {
            self.sql(&kills);
        }
    }

    /// Copies a database, as it is now, to another server.
    pub fn copy_database(&self, name: &str, to: &Self) {
        let output = server("mariadb-dump", PACKAGE)
            .arg("--no-defaults")
            .arg(format!("--socket={}", self.socket().display()))
            .args(["--user=root", "--databases", name])
            .output()
            .expect("mariadb-dump");
        assert!(output.status.success(), "{output:?}");
        to.sql(&String::from_utf8_lossy(&output.stdout));
    }

    /// Its version, like `10.11.11-MariaDB-0+deb12u1`.
    pub fn version(&self) -> String {
        self.sql("SELECT VERSION()").trim().to_owned()
    }

    /// Runs statements as root; gives rows as lines of tab-separated fields.
    pub fn sql(&self, statements: &str) -> String {
        self.try_sql(statements).expect("the statements")
    }

    /// A copy of a database, as statements that put it in the database's place.
    pub fn dump(&self, database: &str) -> String {
        self.run("mariadb-dump", &[database]).expect("a dump")
    }

    fn try_sql(&self, statements: &str) -> Result<String, String> {
        let words = ["--batch", "--skip-column-names", "--execute", statements];
        self.run("mariadb", &words)
    }

    fn run(&self, client: &str, words: &[&str]) -> Result<String, String> {
        let socket = format!("--socket={}", self.socket().display());
        let output = server(client, PACKAGE)
            .args(["--no-defaults", &socket, "--skip-ssl", "--user=root"])
            .args(words)
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Stops it in order; its data stay.
    pub fn stop(&mut self) -> ExitStatus {
        self.process.take().expect("a running server").stop()
    }

    /// Kills it; its data stay as they are.
    pub fn kill(&mut self) {
        self.process.take().expect("a running server").kill();
    }

    /// Freezes it: connections stay open and nothing answers.
    pub fn pause(&self) {
        self.running().signal("STOP");
    }

    /// Thaws it.
    pub fn resume(&self) {
        self.running().signal("CONT");
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("a running server")
    }
}

/// Makes an empty data folder.
fn install(folder: &TempDir) {
    fs::create_dir(folder.path().join("tmp")).expect("a folder for temporary tables");
    let mut install = server("mariadb-install-db", PACKAGE);
    install
        .args(["--no-defaults", "--skip-test-db"])
        .arg("--auth-root-authentication-method=normal")
        .arg("--innodb-log-file-size=32M")
        .arg(format!("--tmpdir={}/tmp", folder.path().display()))
        .arg(format!("--datadir={}/data", folder.path().display()));
    if is_root() {
        install.arg("--user=root");
    }
    let output = install.output().expect("mariadb-install-db");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "mariadb-install-db: {said}");
}
