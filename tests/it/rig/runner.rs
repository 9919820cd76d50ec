//! The built program as a runner in a process of its own.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::folder;
use super::gristmill::Gristmill;
use super::process::{Process, command, command_as, program};

/// What a daemon is told that has its runner beside it.
pub const BESIDE: &str = "runner.in_process=false";

/// A runner on a daemon's configuration.
pub struct Runner {
    process: Option<Process>,
    user: Option<u32>,
    config: PathBuf,
    folder: PathBuf,
    flags: Vec<String>,
    /// More processes of its user than this there cannot be.
    processes: Option<u32>,
}

impl Runner {
    /// One of our own user, or of another one who has nothing but the runner's own folders.
    pub fn beside(daemon: &Gristmill, user: Option<u32>, flags: &[&str]) -> Self {
        let folder = daemon.folder().to_owned();
        if let Some(user) = user {
            fs::set_permissions(&folder, Permissions::from_mode(0o711)).expect("rights");
            for name in ["work", "run"] {
                fs::create_dir_all(folder.join(name)).expect("a folder");
                chown(folder.join(name), Some(user), Some(user)).expect("another owner");
            }
            fs::write(daemon.job_log_file(), "").expect("a log");
            chown(daemon.job_log_file(), Some(user), Some(user)).expect("another owner");
        }
        let mut runner = Self {
            process: None,
            user,
            config: daemon.config_file(),
            folder,
            flags: Vec::new(),
            processes: None,
        };
        runner.start_with(flags);
        runner
    }

    /// Starts it with other flags on the same configuration file.
    pub fn start_with(&mut self, flags: &[&str]) {
        let flags = [&[BESIDE], flags].concat();
        let flags = flags
            .iter()
            .flat_map(|flag| ["--set".to_owned(), (*flag).to_owned()]);
        self.flags = flags.collect();
        self.start_again();
    }

    /// Starts it on the same folders, and waits until somebody listens.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the runner is already running");
        let mut command = self.command();
        command.args(["runner", "--config"]).arg(&self.config);
        command.args(&self.flags);
        let mut process = Process::start("gristmill runner", command, &self.log_file());
        let socket = self.socket();
        process.wait_until("listening", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
        self.process = Some(process);
    }

    /// Starts it again where its user can have so many processes and no more.
    pub fn start_confined(&mut self, processes: u32) {
        self.processes = Some(processes);
        self.start_again();
    }

    fn command(&self) -> Command {
        let gristmill = env!("CARGO_BIN_EXE_gristmill");
        let of_user = |program: &Path| match self.user {
            Some(user) => command_as(user, program),
            None => command(program),
        };
        let Some(processes) = self.processes else {
            return of_user(Path::new(gristmill));
        };
        let mut command = of_user(&program("prlimit", "util-linux"));
        command.arg(format!("--nproc={processes}")).arg("--");
        command.arg(gristmill);
        command
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("run/runner.sock")
    }

    /// Its process ID.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("a running runner").id()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("runner-log")
    }

    /// Stops it in order.
    pub fn stop(&mut self) {
        let status = self.process.take().expect("a running runner").stop();
        assert_eq!(status.code(), Some(0), "{}", folder::tail(&self.log_file()));
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process.take().expect("a running runner").kill();
    }
}

/// What it has logged, where a test fails.
impl Drop for Runner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the runner's log:\n{}", folder::tail(&self.log_file()));
        }
    }
}
