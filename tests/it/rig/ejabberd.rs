//! A private ejabberd, set up as Debian ships it; without Erlang's distribution, so that no port
//! mapper is started.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use tempfile::TempDir;

use super::pki::{Authority, Identity};
use super::ports::Port;
use super::process::{Process, dying_with_us, server};
use super::{Account, DOMAIN, Limits, XmppServer, folder};

const PACKAGE: &str = "ejabberd";

/// Printed when the accounts are there.
const READY: &str = "the accounts are there";

/// What Debian's `ejabberd.yml` says, but for what listens elsewhere and for other services.
const DEBIAN: &str = r#"
loglevel: info
log_rotate_count: 0
disable_sasl_mechanisms: ["digest-md5", "X-OAUTH2"]
auth_password_format: scram
c2s_ciphers: "HIGH:!aNULL:!eNULL:!3DES:@STRENGTH"
access_rules:
  local:
    allow: local
  c2s:
    deny: blocked
    allow: all
shaper:
  normal:
    rate: 3000
    burst_size: 20000
  fast: 200000
modules:
  mod_adhoc: {}
  mod_blocking: {}
  mod_caps: {}
  mod_carboncopy: {}
  mod_client_state: {}
  mod_disco: {}
  mod_fail2ban: {}
  mod_last: {}
  mod_offline:
    access_max_user_messages: max_user_offline_messages
  mod_ping: {}
  mod_privacy: {}
  mod_private: {}
  mod_push: {}
  mod_push_keepalive: {}
  mod_roster:
    versioning: true
  mod_stream_mgmt:
    resend_on_timeout: if_offline
  mod_vcard:
    search: false
  mod_version: {}
"#;

const DEBIAN_LIMITS: &str = r#"
acl:
  local:
    user_regexp: ""
shaper_rules:
  max_user_sessions: 10
  max_user_offline_messages:
    100: all
  c2s_shaper:
    normal: all
listen:
  - port: 5222
    ip: "127.0.0.1"
    module: ejabberd_c2s
    max_stanza_size: 262144
    shaper: c2s_shaper
    access: c2s
    starttls_required: true
    protocol_options: ["no_sslv3", "no_tlsv1", "no_tlsv1_1", "cipher_server_preference", "no_compression"]
  - port: 5223
    ip: "127.0.0.1"
    module: ejabberd_c2s
    max_stanza_size: 262144
    shaper: c2s_shaper
    access: c2s
    tls: true
    protocol_options: ["no_sslv3", "no_tlsv1", "no_tlsv1_1", "cipher_server_preference", "no_compression"]
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
}

/// A server with its data; both end with this value.
pub struct Ejabberd {
    process: Option<Process>,
    port: Port,
    tls_port: Port,
    authority: Authority,
    accounts: Vec<(String, String)>,
    folder: TempDir,
}

impl Ejabberd {
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
        fs::create_dir(folder.path().join("spool")).expect("a spool folder");
        let authority = Authority::new(folder.path());
        let accounts = setup.accounts.iter();
        let mut server = Self {
            process: None,
            port: Port::free(),
            tls_port: Port::free(),
            authority,
            accounts: accounts
                .map(|(user, word)| ((*user).into(), (*word).into()))
                .collect(),
            folder,
        };
        fs::write(server.path("ejabberd.yml"), server.config(setup)).expect("the configuration");
        server.start_again();
        server
    }

    /// Starts it on the same data and ports, after [`stop`](Self::stop) or [`kill`](Self::kill).
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the server is already running");
        let mut command = dying_with_us(&server("erl", PACKAGE));
        let output = self.path("output");
        let _ = fs::remove_file(&output);
        command
            .env("EJABBERD_CONFIG_PATH", self.path("ejabberd.yml"))
            .env("EJABBERD_LOG_PATH", self.path("ejabberd.log"))
            .env("ERL_CRASH_DUMP", "/dev/null")
            .env("ERL_LIBS", "/usr/lib/x86_64-linux-gnu")
            .args(["+sbwt", "none", "-noinput", "-mnesia", "dir"])
            .arg(format!("\"{}\"", self.path("spool").display()))
            .args(["-s", "ejabberd", "-eval"])
            .arg(self.register());
        let mut process = Process::start("ejabberd", command, &output);
        process.wait_until("listening", || {
            let ready = fs::read_to_string(&output).is_ok_and(|text| text.contains(READY));
            ready && self.port.answers() && self.tls_port.answers()
        });
        self.process = Some(process);
    }

    /// Erlang that makes the accounts.
    fn register(&self) -> String {
        let register = self.accounts.iter().map(|(user, password)| {
            format!("ejabberd_auth:try_register(<<{user:?}>>, <<{DOMAIN:?}>>, <<{password:?}>>), ")
        });
        format!("{}io:format(\"{READY}~n\").", register.collect::<String>())
    }

    fn config(&self, setup: &Setup) -> String {
        let folder = self.folder.path();
        let certificate = setup.identity.certificate(&self.authority, folder, DOMAIN);
        let limits = match setup.limits {
            Limits::Debian => DEBIAN_LIMITS.to_owned(),
            Limits::Lifted => lifted(setup.accounts),
        };
        let limits = limits
            .replace("port: 5222", &format!("port: {}", self.port.number))
            .replace("port: 5223", &format!("port: {}", self.tls_port.number));
        let (chain, key) = (certificate.chain.display(), certificate.key.display());
        let files = format!("certfiles: [\"{chain}\", \"{key}\"]");
        format!("hosts: [\"{DOMAIN}\"]\n{files}\n{DEBIAN}\n{limits}")
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
        fs::read_to_string(self.path("ejabberd.log")).unwrap_or_default()
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

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl XmppServer for Ejabberd {
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
        }
    }
}

/// The settings of `packaging/`, for these accounts.
fn lifted(accounts: &[Account]) -> String {
    let jids: Vec<_> = accounts
        .iter()
        .map(|(user, _)| format!("\"{user}@{DOMAIN}\""))
        .collect();
    let settings = include_str!("../../../packaging/ejabberd.yml");
    let example = r#"["executor@grid.example", "supervisor@grid.example"]"#;
    assert!(
        settings.contains(example),
        "packaging/ejabberd.yml names {example}"
    );
    settings.replace(example, &format!("[{}]", jids.join(", ")))
}
