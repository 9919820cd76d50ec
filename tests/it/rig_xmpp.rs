//! The rig's XMPP servers are real ones.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::rig::DOMAIN;
use crate::rig::ejabberd::Ejabberd;
use crate::rig::prosody::Prosody;

const ACCOUNTS: &[(&str, &str)] = &[("executor", "pass"), ("supervisor", "pass two")];

/// What the server offers before TLS.
fn features(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let open = format!(
        "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
         to='{DOMAIN}' version='1.0'>"
    );
    stream.write_all(open.as_bytes()).unwrap();
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    while !text.contains("</stream:features>") {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "closed after {text}");
        text += std::str::from_utf8(&buffer[..count]).unwrap();
    }
    text
}

fn wants_tls(address: SocketAddr) {
    let features = features(address);
    assert!(
        features.contains("urn:ietf:params:xml:ns:xmpp-tls"),
        "{features}"
    );
    assert!(!features.contains("<mechanism>"), "{features}");
}

#[test]
fn prosody_comes_back_on_its_port() {
    let mut server = Prosody::start(ACCOUNTS);
    wants_tls(server.address());
    server.kill();
    assert!(TcpStream::connect(server.address()).is_err());
    server.start_again();
    wants_tls(server.address());
    server.stop();
    assert!(TcpStream::connect(server.tls_address()).is_err());
}

#[test]
fn ejabberd_comes_back_on_its_port() {
    let mut server = Ejabberd::start(ACCOUNTS);
    wants_tls(server.address());
    server.kill();
    assert!(TcpStream::connect(server.address()).is_err());
    server.start_again();
    wants_tls(server.address());
    assert!(server.stop().success());
    assert!(TcpStream::connect(server.tls_address()).is_err());
}

#[test]
fn servers_start_with_the_settings_of_packaging() {
    wants_tls(Prosody::start_fast(ACCOUNTS).address());
    wants_tls(Ejabberd::start_fast(ACCOUNTS).address());
}
