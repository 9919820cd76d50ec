//! Where the door is.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// What begins the name of a unix socket.
const UNIX: &str = "unix:";

/// The kernel takes no longer path of a unix socket, in bytes.
const MAX_PATH: usize = 107;

/// Where the door is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere.
    Off,
    /// On a loopback address.
    Tcp(SocketAddr),
    /// On a unix socket.
    Unix(PathBuf),
}

/// Why a text names no place for the door.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidListen {
    /// It is no address at all.
    #[error(
        "{0:?} is neither address:port, like 127.0.0.1:8470 or [::1]:8470, nor unix:/path, nor \
         empty (off)"
    )]
    Unreadable(String),
    /// Others could reach it.
    #[error(
        "{0} is no loopback address; this door has no log-in, so it is for this machine only: \
         take 127.0.0.1 or unix:/path, with a proxy in front where others need it"
    )]
    NotLoopback(SocketAddr),
    /// The path of the socket cannot be one.
    #[error("{0:?}: the path of a unix socket begins with / and has at most {MAX_PATH} bytes")]
    Path(String),
}

impl FromStr for Listen {
    type Err = InvalidListen;

    fn from_str(text: &str) -> Result<Self, InvalidListen> {
        if text.is_empty() {
            return Ok(Self::Off);
        }
        if let Some(path) = text.strip_prefix(UNIX) {
            let usable = path.starts_with('/') && !path.ends_with('/') && path.len() <= MAX_PATH;
            return if usable {
                Ok(Self::Unix(path.into()))
            } else {
                Err(InvalidListen::Path(path.to_owned()))
            };
        }
        let address: SocketAddr = text
            .parse()
            .map_err(|_| InvalidListen::Unreadable(text.to_owned()))?;
        if address.ip().is_loopback() {
            Ok(Self::Tcp(address))
        } else {
            Err(InvalidListen::NotLoopback(address))
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => Ok(()),
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn places_are_read_and_written() {
        for text in [
            "",
            "127.0.0.1:8470",
            "127.1.2.3:0",
            "[::1]:1",
            "unix:/run/x.sock",
        ] {
            let listen: Listen = text.parse().unwrap();
            assert_eq!(listen.to_string(), text);
        }
    }

    #[rstest]
    #[case("0.0.0.0:8470", "loopback")]
    #[case("[::]:8470", "loopback")]
    #[case("192.0.2.1:8470", "loopback")]
    #[case("[::ffff:127.0.0.1]:8470", "loopback")]
    #[case("localhost:8470", "127.0.0.1:8470")]
    #[case("127.0.0.1", "127.0.0.1:8470")]
    #[case("8470", "127.0.0.1:8470")]
    #[case("unix:", "begins with /")]
    #[case("unix:run/x.sock", "begins with /")]
    #[case("unix:/run/", "begins with /")]
    fn others_are_refused_with_what_would_do(#[case] text: &str, #[case] hint: &str) {
        let error = text.parse::<Listen>().unwrap_err().to_string();
        assert!(error.contains(hint), "{error}");
    }

    #[test]
    fn a_path_must_fit_into_the_kernel() {
        let path = |bytes| format!("unix:/{}", "x".repeat(bytes - 1));
        assert!(path(MAX_PATH).parse::<Listen>().is_ok());
        assert!(path(MAX_PATH + 1).parse::<Listen>().is_err());
    }
}
