//! What the door is told before it opens. Plain values; reading them from a file is others' work.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use xmpp_parsers::jid::{FullJid, Jid};

use crate::job::Owner;
use crate::job::policy::Backoff;

/// How the connection is kept from others' eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS is begun on a plain connection, before anything is said.
    StartTls,
    /// TLS from the first byte.
    DirectTls,
    /// None; only to a loopback address.
    Plaintext,
}

/// Names what few passwords have on purpose: an editor leaves it in the file.
#[must_use]
pub fn password_oddity(password: &SecretString) -> Option<&'static str> {
    let password = password.expose_secret();
    let is_odd = |letter: char| letter.is_whitespace() || letter.is_control();
    if password.starts_with('\u{feff}') {
        Some("begins with a byte order mark")
    } else if password.ends_with(['\n', '\r']) {
        Some("ends with a line break, beside the one that is not part of it")
    } else if password.contains(['\n', '\r']) {
        Some("has several lines")
    } else if password.ends_with(is_odd) {
        Some("ends with white space")
    } else if password.starts_with(is_odd) {
        Some("begins with white space")
    } else {
        None
    }
}

/// What the door needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name on the server; exactly this resource is bound.
    pub jid: FullJid,
    /// The account's password.
    pub password: SecretString,
    /// Where the server is; `None`: where the SRV records of the JID's domain say.
    pub server: Option<Server>,
    /// How the connection is kept from others' eyes.
    pub security: Security,
    /// Certificates that the server's is checked by; `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// Whether the password may be shown to a server that offers nothing better than PLAIN.
    pub allow_plain: bool,
    /// Bytes of the longest stanza that the server lets through.
    pub max_stanza: usize,
    /// Bytes of the longest document that is read.
    pub max_request: usize,
    /// Who may speak.
    pub supervisors: Vec<Supervisor>,
    /// Requests that may wait for one owner, then `busy`.
    pub queue: usize,
    /// How long things may take.
    pub limits: TimeLimits,
}

/// A peer that may speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supervisor {
    /// Bare: every resource of it. Full: that resource only.
    pub jid: Jid,
    /// Under whose name its jobs are stored.
    pub owner: Owner,
    /// Whether it is told of changes unasked.
    pub notify: bool,
}

/// A server's name or address, and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// A host name, or an IP address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimits {
    /// Each of: connecting over TCP, TLS.
    pub connect: Duration,
    /// The log-in.
    pub login: Duration,
    /// Binding the resource, or resuming the session.
    pub bind: Duration,
    /// Silence after which the server is asked for a sign of life.
    pub silence: Duration,
    /// How long that sign may take.
    pub response: Duration,
    /// Waits between tries when the server cannot be reached.
    pub unreachable: Backoff,
    /// Waits between sessions that lived briefly, and between tries that the server refused
    /// though it let us in before.
    pub brief: Backoff,
    /// A session that lived as long is no brief one.
    pub long_lived: Duration,
    /// Waits between tries that the server denied entry, once it let us in before.
    pub denied: Backoff,
    /// The wait after another client took our resource.
    pub conflict: Duration,
    /// A session that lived as long after a conflict has got over it.
    pub undisturbed: Duration,
    /// How long requests in hand may take when the door closes.
    pub drain: Duration,
    /// How long the server may take to say goodbye.
    pub goodbye: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            login: Duration::from_secs(20),
            bind: Duration::from_secs(20),
            silence: Duration::from_mins(1),
            response: Duration::from_secs(15),
            unreachable: Backoff {
                first: Duration::from_secs(1),
                longest: Duration::from_secs(5),
            },
            brief: Backoff {
                first: Duration::from_secs(1),
                longest: Duration::from_mins(1),
            },
            long_lived: Duration::from_secs(20),
            denied: Backoff {
                first: Duration::from_secs(2),
                longest: Duration::from_mins(5),
            },
            conflict: Duration::from_secs(10),
            undisturbed: Duration::from_mins(5),
            drain: Duration::from_secs(3),
            goodbye: Duration::from_secs(1),
        }
    }
}

impl Security {
    /// The port without an SRV record.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::StartTls | Self::Plaintext => 5222,
            Self::DirectTls => 5223,
        }
    }

    /// The service and protocol labels of the SRV record.
    #[must_use]
    pub fn srv_service(self) -> &'static str {
        match self {
            Self::StartTls | Self::Plaintext => "_xmpp-client._tcp",
            Self::DirectTls => "_xmpps-client._tcp",
        }
    }
}

/// Why a text names no server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not of the form host:port, like xmpp.grid.example:5222 or [2001:db8::1]:5222")]
pub struct InvalidServer;

impl FromStr for Server {
    type Err = InvalidServer;

    fn from_str(text: &str) -> Result<Self, InvalidServer> {
        let (host, port) = text.rsplit_once(':').ok_or(InvalidServer)?;
        let port = port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or(InvalidServer)?;
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let valid = match bare {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.contains(':') && url::Host::parse(host).is_ok(),
        };
        if !valid {
            return Err(InvalidServer);
        }
        Ok(Self {
            host: bare.unwrap_or(host).to_owned(),
            port,
        })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_written_as_host_and_port() {
        for text in ["xmpp.grid.example:5222", "127.0.0.1:1", "[::1]:65535"] {
            let server: Server = text.parse().unwrap();
            assert_eq!(server.to_string(), text);
        }
        for bad in [
            "",
            "host",
            "host:",
            "host:0",
            "host:65536",
            "::1:5222",
            ":5222",
            "[x]:5",
            "a b:5",
        ] {
            assert!(bad.parse::<Server>().is_err(), "{bad:?}");
        }
    }
}
