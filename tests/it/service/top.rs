//! The live screen on a real terminal, beside a real daemon.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use super::eventually;
use crate::rig::documents::{document, num_jobs_wanted};
use crate::rig::folder;
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, Gristmill, SUPERVISOR};
use crate::rig::process::{command, program, spawn};
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::{Carrier, Supervisor};
use tempfile::TempDir;

/// `gristmill top` on a terminal of 80 columns and 24 lines.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    written: Arc<Mutex<Vec<u8>>>,
    folder: TempDir,
}

impl Terminal {
    fn open(config: &Path, environment: &[(&str, &str)]) -> Self {
        let folder = folder::new();
        let script = format!(
            "cd {folder}; tty >tty; stty rows 24 cols 80; stty -g >before; \
             sh -c 'echo $$ >pid; exec {gristmill} top --interval 200ms --config {config}'; \
             code=$?; stty -g >after; echo $code >code",
            folder = folder.path().display(),
            gristmill = env!("CARGO_BIN_EXE_gristmill"),
            config = config.display(),
        );
        let mut command = command(program("script", "bsdutils"));
        command.args(["--quiet", "--flush", "--command", &script, "/dev/null"]);
        command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        command.envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn(command);
        let (keys, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let collected = written.clone();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                collected.lock().unwrap().extend(&bytes[..count]);
            }
        });
        Self {
            child,
            keys,
            written,
            folder,
        }
    }

    fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    fn wait_for(&self, words: &str) {
        let look = || shown(&self.written()).contains(words).then_some(());
        let limit = std::time::Instant::now() + crate::rig::process::PATIENCE;
        while look().is_none() {
            let screen = shown(&self.written());
            assert!(
                std::time::Instant::now() < limit,
                "no {words:?} in\n{screen}"
            );
            thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    fn said(&self, file: &str) -> String {
        let path: PathBuf = self.folder.path().join(file);
        let said = eventually(file, || {
            fs::read_to_string(&path)
                .ok()
                .filter(|said| said.ends_with('\n'))
        });
        said.trim().to_owned()
    }

    fn signal(&self, name: &str) {
        let pid = self.said("pid");
        let kill = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(kill.unwrap().success());
    }

    /// It has ended well, and the terminal is as it was.
    #[track_caller]
    fn has_quit(mut self) {
        assert_eq!(self.said("code"), "0", "{}", self.written());
        assert_eq!(self.said("after"), self.said("before"));
        let written = eventually("the screen to be left", || {
            Some(self.written()).filter(|written| written.contains("\x1b[?1049l"))
        });
        let last = |sequence| written.rfind(sequence).unwrap_or_default();
        assert!(last("\x1b[?1049h") < last("\x1b[?1049l"));
        assert!(
            last("\x1b[?25l") < last("\x1b[?25h"),
            "the cursor is hidden"
        );
        drop(self.keys);
        self.child.wait().unwrap();
    }
}

/// What a terminal shows to which this was written. Knows only what is written by us: moves of the
/// cursor, a cleared screen, and letters.
fn shown(written: &str) -> String {
    const SIZE: (usize, usize) = (40, 140);
    let mut screen = vec![vec![' '; SIZE.1]; SIZE.0];
    let (mut row, mut column) = (0, 0);
    let mut rest = written;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        if let Some(sequence) = rest.strip_prefix('[').filter(|_| letter == '\x1b') {
            let end = sequence
                .find(|letter: char| letter.is_ascii_alphabetic())
                .unwrap_or(0);
            let (numbers, after) = sequence.split_at(end);
            match after.chars().next() {
                Some('H') => {
                    let (to_row, to_column) = numbers.split_once(';').unwrap_or(("1", "1"));
                    let number = |text: &str| text.parse().unwrap_or(1) - 1;
                    (row, column) = (number(to_row), number(to_column));
                }
                Some('J') => screen.iter_mut().for_each(|line| line.fill(' ')),
                _ => {}
            }
            rest = after.get(1..).unwrap_or_default();
        } else if !letter.is_control() {
            if let Some(place) = screen.get_mut(row).and_then(|line| line.get_mut(column)) {
                *place = letter;
            }
            column += 1;
        }
    }
    let lines = screen
        .into_iter()
        .map(|line| line.into_iter().collect::<String>());
    lines.collect::<Vec<_>>().join("\n")
}

fn daemon(server: &Prosody) -> Gristmill {
    Gristmill::on_sqlite(server, &["conductor.enabled=true", "conductor.slots=3"])
}

#[test]
fn it_shows_a_daemon_at_work_until_q_is_pressed() {
    let server = Prosody::start_fast(ACCOUNTS);
    let daemon = daemon(&server);
    let words = "printf '0.25 \\033[31mEVIL\\n' >&$GRISTMILL_PROGRESS_FD; sleep 600";
    daemon.script("slow", words);
    let mut terminal = Terminal::open(&daemon.config_file(), &[]);
    terminal.wait_for("XMPP online");
    terminal.wait_for("nothing runs");
    let mut supervisor = Supervisor::login(&server, SUPERVISOR, EXECUTOR_JID);
    supervisor.wait_until_served();
    supervisor.ask(Carrier::Iq, "n", &num_jobs_wanted("n"));
    let job = "<job jobID='4711'><transformation><transPath>slow</transPath></transformation>\
               <jobPars/></job>";
    supervisor.ask(Carrier::Iq, "e", &document("executeJobs", "e", job));
    for words in [
        "Running (1)",
        "prodsys    4711#1",
        "slow",
        "25%",
        "EVIL",
        "slots 1/3",
        "ready",
    ] {
        terminal.wait_for(words);
    }
    assert!(!terminal.written().contains("\x1b[31mEVIL"));
    assert!(terminal.written().contains("\x1b[38;5;"), "no colours");
    daemon.command(&["job", "kill", "--job-id", "4711", "--yes"]);
    terminal.wait_for("cancelled 1");
    terminal.press("x");
    terminal.press("q");
    terminal.has_quit();
}

#[test]
fn a_part_that_is_away_is_said_and_the_screen_stays() {
    let server = Prosody::start_fast(ACCOUNTS);
    let mut daemon = Gristmill::prepared(&server);
    let mut terminal = Terminal::open(&daemon.config_file(), &[("NO_COLOR", "1")]);
    terminal.wait_for("NO DAEMON ANSWERS");
    terminal.wait_for("NO STORE FROM HERE");
    daemon.start_with(&["conductor.enabled=true"]);
    terminal.wait_for("XMPP online");
    terminal.wait_for("store up");
    terminal.wait_for("nothing runs");
    daemon.command(&["drain"]);
    terminal.wait_for("DRAINING");
    daemon.pause();
    terminal.wait_for("no answer within 5 s");
    daemon.resume();
    terminal.wait_for("DRAINING");
    daemon.stop();
    terminal.wait_for("NO DAEMON ANSWERS");
    terminal.wait_for("nothing runs");
    assert!(!terminal.written().contains("\x1b[38;5;"), "colours");
    terminal.press("\x03");
    terminal.has_quit();
}

/// Also a look that hangs keeps nobody from leaving.
#[test]
fn it_waits_for_nobody() {
    let server = Prosody::start_fast(ACCOUNTS);
    let daemon = daemon(&server);
    let mut terminal = Terminal::open(&daemon.config_file(), &[]);
    terminal.wait_for("XMPP online");
    daemon.pause();
    terminal.press("\x1b");
    terminal.has_quit();
    daemon.resume();
}

#[test]
fn it_takes_the_size_of_its_terminal_and_ends_when_told() {
    let server = Prosody::start_fast(ACCOUNTS);
    let daemon = daemon(&server);
    for name in ["TERM", "HUP", "INT"] {
        let terminal = Terminal::open(&daemon.config_file(), &[]);
        terminal.wait_for("OPEN");
        assert!(!shown(&terminal.written()).contains("JID"));
        let mut resize = Command::new("stty");
        resize
            .arg("-F")
            .arg(terminal.said("tty"))
            .args(["rows", "30", "cols", "120"]);
        assert!(resize.status().unwrap().success());
        terminal.wait_for("JID");
        terminal.signal(name);
        terminal.has_quit();
    }
}

#[test]
fn without_a_terminal_it_says_what_to_do() {
    let server = Prosody::start_fast(ACCOUNTS);
    let daemon = Gristmill::prepared(&server);
    let said = daemon.ask(&["top"]);
    assert_eq!(said.status.code(), Some(2));
    let error = String::from_utf8(said.stderr).unwrap();
    assert!(error.starts_with("error[GM0110]"), "{error}");
    assert!(error.contains("gristmill job list --json"), "{error}");
    assert!(said.stdout.is_empty());
}
