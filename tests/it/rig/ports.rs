//! Free TCP ports that stay ours while the server behind them is down.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

/// Below the kernel's ephemeral ports: there, a client that tries to reach a dead server can be
/// given the server's own port and meet itself.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port on 127.0.0.1 that no other test takes.
#[derive(Debug)]
pub struct Port {
    /// Its number.
    pub number: u16,
    _claim: File,
}

impl Port {
    /// A free one.
    pub fn free() -> Self {
        let claims = std::env::temp_dir().join("gristmill-ports");
        fs::create_dir_all(&claims).expect("a folder for claims on ports");
        for _ in 0..1000 {
            let number = rand::random_range(RANGE);
            let claim = File::create(claims.join(number.to_string())).expect("a claim");
            if claim.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
            {
                return Self {
                    number,
                    _claim: claim,
                };
            }
        }
        panic!("no free port in {RANGE:?}");
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }

    /// Whether somebody listens.
    pub fn answers(&self) -> bool {
        TcpStream::connect(self.address()).is_ok()
    }
}
