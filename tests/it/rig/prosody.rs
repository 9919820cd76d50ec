//! A private Prosody, set up as Debian ships it.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use tempfile::TempDir;

use super::pki::{Authority, Identity};
use super::ports::Port;
use super::process::{Process, dying_with_us, server};
use super::{Account, DOMAIN, Limits, XmppServer, folder};

const PACKAGE: &str = "prosody";

/// What Debian's `prosody.cfg.lua` enables, but for what listens elsewhere.
const DEBIAN: &str = r#"
modules_enabled = {
  "disco", "roster", "saslauth", "tls", "blocklist", "bookmarks", "carbons", "limits", "pep",
  "private", "smacks", "vcard4", "vcard_legacy", "csi_simple", "invites", "invites_adhoc",
  "invites_register", "ping", "register", "time", "uptime", "version", "admin_adhoc",
}
modules_disabled = { "s2s" }
authentication = "internal_hashed"
storage = "internal"
run_as_root = true
"#;

const DEBIAN_LIMITS: &str = r#"
limits = { c2s = { rate = "10kb/s" } }
"#;

/// How to set a server up, where it is not as Debian ships it.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// The accounts.
    pub accounts: &'a [Account<'a>],
    /// How much a client may send.
    pub limits: Limits,
    /// How it proves who it is.
    pub identity: Identity,
    /// More lines for the global section of its configuration.
    pub more: &'a str,
    /// How far its clock is ahead of this machine's.
    pub ahead: Duration,
}

/// A server with its data; both end with this value.
pub struct Prosody {
    process: Option<Process>,
    port: Port,
    tls_port: Port,
    authority: Authority,
    folder: TempDir,
    ahead: Duration,
}

impl Prosody {
    /// One as Debian ships it.
    pub fn start(accounts: &[Account]) -> Self {
        Self::start_with(&Setup {
            accounts,
            ..Setup::default()
        })
    }

    /// One that lets clients send as fast as they can.
    pub fn start_fast(accounts: &[Account]) -> Self {
        Self::start_with(&Setup {
            accounts,
            limits: Limits::Lifted,
            ..Setup::default()
        })
    }

    /// One as told.
    pub fn start_with(setup: &Setup) -> Self {
        let folder = folder::new();
        fs::create_dir(folder.path().join("data")).expect("a data folder");
        let authority = Authority::new(folder.path());
        let mut server = Self {
            process: None,
            port: Port::free(),
            tls_port: Port::free(),
            authority,
            folder,
            ahead: setup.ahead,
        };
        let config = server.config(setup);
        fs::write(server.config_file(), config).expect("the configuration");
        for (user, password) in setup.accounts {
            server.add_account(user, password);
        }
        server.start_again();
        server
    }

    /// Starts it on the same data and ports, after [`stop`](Self::stop) or [`kill`](Self::kill).
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the server is already running");
        let mut command = dying_with_us(&server("prosody", PACKAGE));
        command.arg("-F").arg("--config").arg(self.config_file());
        if !self.ahead.is_zero() {
            command.env("LUA_INIT", clock_ahead(self.ahead));
        }
        let mut process = Process::start("prosody", command, &self.path("log"));
        process.wait_until("listening", || {
            self.port.answers() && self.tls_port.answers()
        });
        self.process = Some(process);
    }

    fn config(&self, setup: &Setup) -> String {
        let folder = self.folder.path();
        let certificate = setup.identity.certificate(&self.authority, folder, DOMAIN);
        let mut config = DEBIAN.to_owned();
        config += &match setup.limits {
            Limits::Debian => DEBIAN_LIMITS.to_owned(),
            Limits::Lifted => lifted(setup.accounts),
        };
        let _ = write!(
            config,
            "pidfile = \"{pid}\"\ndata_path = \"{data}\"\nlog = {{ info = \"{log}\" }}\n\
             ssl = {{ certificate = \"{chain}\"; key = \"{key}\" }}\n\
             c2s_interfaces = {{ \"127.0.0.1\" }}\nc2s_ports = {{ {port} }}\n\
             c2s_direct_tls_interfaces = {{ \"127.0.0.1\" }}\n\
             c2s_direct_tls_ports = {{ {tls_port} }}\n{more}\nVirtualHost {DOMAIN:?}\n",
            pid = self.path("pid").display(),
            data = self.path("data").display(),
            log = self.path("log").display(),
            chain = certificate.chain.display(),
            key = certificate.key.display(),
            port = self.port.number,
            tls_port = self.tls_port.number,
            more = setup.more,
        );
        config
    }

    /// Adds an account; the password is hashed at its first log-in.
    pub fn add_account(&self, user: &str, password: &str) {
        let folder = self.path("data").join(encode(DOMAIN)).join("accounts");
        fs::create_dir_all(&folder).expect("a folder for accounts");
        let account = format!("return {{ [\"password\"] = {password:?}; }};\n");
        let file = folder.join(format!("{}.dat", encode(user)));
        fs::write(file, account).expect("an account");
    }

    /// Takes all accounts away while it is stopped, or brings them back.
    pub fn set_accounts_away(&self, away: bool) {
        let folder = self.path("data").join(encode(DOMAIN));
        let (here, there) = (folder.join("accounts"), folder.join("accounts.away"));
        let (from, to) = if away { (here, there) } else { (there, here) };
        fs::rename(from, to).expect("a folder of accounts");
    }

    /// Where it speaks STARTTLS.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Where it speaks TLS from the first byte.
    pub fn tls_address(&self) -> SocketAddr {
        self.tls_port.address()
    }

    /// PEM file of the authority that vouches for it.
    pub fn ca_file(&self) -> &Path {
        &self.authority.file
    }

    /// What it has logged, at level info.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
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
        self.process
            .as_ref()
            .expect("a running server")
            .signal("STOP");
    }

    /// Thaws it.
    pub fn resume(&self) {
        self.process
            .as_ref()
            .expect("a running server")
            .signal("CONT");
    }

    fn config_file(&self) -> PathBuf {
        self.path("prosody.cfg.lua")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl XmppServer for Prosody {
    fn address(&self) -> SocketAddr {
        self.port.address()
    }

    fn ca_file(&self) -> &Path {
        &self.authority.file
    }
}

impl Default for Setup<'_> {
    fn default() -> Self {
        let (limits, identity) = (Limits::Debian, Identity::Valid);
        Self {
            accounts: &[],
            limits,
            identity,
            more: "",
            ahead: Duration::ZERO,
        }
    }
}

/// What has a Lua interpreter tell another time than the machine's.
fn clock_ahead(by: Duration) -> String {
    format!(
        "local time, date = os.time, os.date; \
         os.time = function(t) if t then return time(t) end return time() + {seconds} end; \
         os.date = function(f, t) return date(f, t or os.time()) end",
        seconds = by.as_secs()
    )
}

/// The settings of `packaging/`, for these accounts.
fn lifted(accounts: &[Account]) -> String {
    let jids: Vec<_> = accounts
        .iter()
        .map(|(user, _)| format!("\"{user}@{DOMAIN}\""))
        .collect();
    let settings = include_str!("../../../packaging/prosody.cfg.lua");
    let example = r#""executor@grid.example", "supervisor@grid.example""#;
    assert!(
        settings.contains(example),
        "packaging/prosody.cfg.lua names {example}"
    );
    settings.replace(example, &jids.join(", "))
}

/// A file name of Prosody's internal storage.
fn encode(name: &str) -> String {
    name.chars().fold(String::new(), |mut name, letter| {
        let _ = match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' => write!(name, "{letter}"),
            other => write!(name, "%{:02x}", u32::from(other)),
        };
        name
    })
}
