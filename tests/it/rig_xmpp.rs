//! The rig's XMPP servers are real ones.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::rig::ejabberd::Ejabberd;
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::{PATIENCE, Supervisor};
use crate::rig::{DOMAIN, XmppServer};

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
    speak(&Prosody::start_fast(ACCOUNTS));
    speak(&Ejabberd::start_fast(ACCOUNTS));
}

#[test]
fn servers_start_with_the_settings_of_debian() {
    speak(&Prosody::start(ACCOUNTS));
    speak(&Ejabberd::start(ACCOUNTS));
}

/// Two clients log in, one sends the other a message, also after it comes back.
fn speak(server: &dyn XmppServer) {
    let mut executor = Supervisor::login(server, ACCOUNTS[0], "supervisor@grid.test/windmill");
    let mut supervisor = Supervisor::login(server, ACCOUNTS[1], "executor@grid.test/windmill");
    for text in ["a", "b"] {
        let message = format!("<message to='executor@{DOMAIN}'><body>{text}</body></message>");
        supervisor.raw(&message);
        let come = executor
            .wait_for(PATIENCE, |stanza| stanza.name == "message")
            .unwrap();
        assert_eq!(come.child("body").unwrap().text, text);
        assert_eq!(
            come.attribute("from"),
            format!("supervisor@{DOMAIN}/windmill")
        );
        executor.disconnect();
        executor.connect();
    }
}

#[test]
fn with_the_settings_of_packaging_four_megabytes_go_through() {
    four_megabytes(&Prosody::start_fast(ACCOUNTS));
    four_megabytes(&Ejabberd::start_fast(ACCOUNTS));
}

/// At the rates that Debian ships this takes longer than any patience.
fn four_megabytes(server: &dyn XmppServer) {
    let mut executor = Supervisor::login(server, ACCOUNTS[0], "supervisor@grid.test/windmill");
    let mut supervisor = Supervisor::login(server, ACCOUNTS[1], "executor@grid.test/windmill");
    let text = "four megabytes ".repeat(280_000);
    supervisor.raw(&format!(
        "<message to='executor@{DOMAIN}'><body>{text}</body></message>"
    ));
    let come = executor.wait_for(PATIENCE, |stanza| stanza.name == "message");
    assert_eq!(come.expect("a message").child("body").unwrap().text, text);
}
