//! Child processes that end with us, however we end.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use super::folder;

const POLL: Duration = Duration::from_millis(20);

/// How long a server may take to come up or to stop, on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Where Debian keeps programs, below its root.
const SYSTEM: [&str; 4] = ["usr/sbin", "usr/bin", "sbin", "bin"];

/// Becomes a program of another Debian that sees the temporary folder of the tests.
const ENTER: &str = r#"tree=$1 temporary=$2
shift 2
mkdir -p "$tree$temporary"
mount --rbind "$temporary" "$tree$temporary"
mount --rbind /proc "$tree/proc"
mount --rbind /dev "$tree/dev"
exec chroot "$tree" "$@""#;

/// Finds a program, or says which Debian package has it.
pub fn program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = SYSTEM.map(|folder| Path::new("/").join(folder));
    let found = find(name, std::env::split_paths(&path).chain(system));
    found.unwrap_or_else(|| {
        panic!("{name} is missing: install the Debian package {package} (make install-test-deps)")
    })
}

fn find(name: &str, mut folders: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    folders.find_map(|folder| Some(folder.join(name)).filter(|program| program.is_file()))
}

/// A tree of the Debian that is under test in place of this machine's: the folder that
/// `DEBIAN_TREES` names has `bare` and `servers`.
pub fn other_debian(tree: &str) -> Option<PathBuf> {
    let trees = std::env::var_os("DEBIAN_TREES")?;
    Some(Path::new(&trees).join(tree))
}

/// A command that runs a server's program: this machine's, or that of the Debian under test. The
/// process is the server itself, on the host's network.
pub fn server(name: &str, package: &str) -> Command {
    let Some(tree) = other_debian("servers") else {
        return Command::new(program(name, package));
    };
    let inside = SYSTEM.map(|folder| tree.join(folder)).into_iter();
    let found = find(name, inside)
        .unwrap_or_else(|| panic!("{name} is missing in {}: {package}", tree.display()));
    let mut command = Command::new(program("unshare", "util-linux"));
    command.args(["--mount", "/bin/sh", "-ec", ENTER, "sh"]);
    command.arg(&tree).arg(std::env::temp_dir());
    let program = found.strip_prefix(&tree).expect("a program in the tree");
    command.arg(Path::new("/").join(program));
    command
}

/// Whether we are root, as whom some servers run only when told so.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").expect("/proc").uid() == 0
}

/// A command for [`Process::start`]: the program is killed when we die.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    dying_with_us(&Command::new(program))
}

/// The same for a command that was put together.
pub fn dying_with_us(inner: &Command) -> Command {
    let mut command = Command::new(self::program("setpriv", "util-linux"));
    command.args(["--pdeathsig", "KILL", "--"]);
    command.arg(inner.get_program()).args(inner.get_args());
    command
}

/// The same as another user, of a number that nobody has, so that nobody else's processes count as
/// its own.
pub fn command_as(user: u32, program: impl AsRef<OsStr>) -> Command {
    assert!(is_root(), "only root can start what another user runs");
    let mut command = Command::new(self::program("setpriv", "util-linux"));
    let user = user.to_string();
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

type Order = (Command, Sender<std::io::Result<Child>>);

/// A child gets its death signal when the *thread* that started it ends, so one thread that never
/// ends starts them all.
static STARTER: LazyLock<Mutex<Sender<Order>>> = LazyLock::new(|| {
    let (orders, inbox) = channel::<Order>();
    std::thread::spawn(move || {
        for (mut command, reply) in inbox {
            let _ = reply.send(command.spawn());
        }
    });
    Mutex::new(orders)
});

/// Starts a command of [`command`].
pub fn spawn(command: Command) -> Child {
    let (reply, child) = channel();
    let what = format!("{command:?}");
    let starter = STARTER.lock().expect("the starter");
    starter
        .send((command, reply))
        .expect("the starter's thread");
    drop(starter);
    let child = child.recv().expect("an answer of the starter");
    child.unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command of [`command`]; what it prints is appended to `log`.
    pub fn start(name: &'static str, mut command: Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log);
        let file = file.expect("a log file");
        let both = file.try_clone().expect("a second handle of the log");
        command.stdin(Stdio::null()).stdout(file).stderr(both);
        let log = log.to_owned();
        let child = spawn(command);
        Self { name, child, log }
    }

    /// Waits until `ready`; panics with the log's end when the process ends or takes too long.
    pub fn wait_until(&mut self, what: &str, mut ready: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !ready() {
            let log = || folder::tail(&self.log);
            if let Some(status) = self.child.try_wait().expect("a status") {
                panic!("{} ended ({status}) before {what}:\n{}", self.name, log());
            }
            let name = self.name;
            assert!(Instant::now() < deadline, "{name} not {what}:\n{}", log());
            std::thread::sleep(POLL);
        }
    }

    /// Its process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, by name: `TERM`, `KILL`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let kill = Command::new("/bin/sh")
            .args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &pid])
            .status();
        assert!(kill.expect("a shell").success(), "kill -s {name} {pid}");
    }

    /// Waits for its end; `None` when it lives on.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            match self.child.try_wait().expect("a status") {
                None if Instant::now() < deadline => std::thread::sleep(POLL),
                status => return status,
            }
        }
    }

    /// Ends it as an operator does.
    pub fn stop(&mut self) -> ExitStatus {
        if self.child.try_wait().expect("a status").is_none() {
            self.signal("TERM");
        }
        let status = self.wait(PATIENCE);
        status.unwrap_or_else(|| panic!("{} ignores SIGTERM", self.name))
    }

    /// Ends it as a power cut does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let status = self.child.wait().expect("a status");
        assert!(status.signal().is_some() || status.code().is_some());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
