//! The connector against real servers: TLS, SASL, and what it refuses.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gristmill::xmpp::{
    ConnectError, Connector, Established, Security, Server, Settings, TimeLimits,
};
use rstest::rstest;

use crate::rig::DOMAIN;
use crate::rig::ejabberd::Ejabberd;
use crate::rig::pki::Identity;
use crate::rig::prosody::{self, Prosody};

const ACCOUNTS: &[(&str, &str)] = &[("executor", "pass, word=7")];

fn settings(address: SocketAddr, ca_file: &Path) -> Settings {
    Settings {
        jid: format!("executor@{DOMAIN}/panda").parse().unwrap(),
        password: ACCOUNTS[0].1.to_owned().into(),
        server: Some(server_at(address)),
        security: Security::StartTls,
        ca_file: Some(ca_file.to_owned()),
        allow_plain: false,
        max_stanza: 262_144,
        max_request: 4 << 20,
        supervisors: Vec::new(),
        queue: 64,
        limits: TimeLimits::default(),
    }
}

fn server_at(address: SocketAddr) -> Server {
    address.to_string().parse().unwrap()
}

async fn open(settings: Settings) -> Result<Established, ConnectError> {
    Connector::new(Arc::new(settings)).open().await
}

fn refusal(result: Result<Established, ConnectError>) -> String {
    match result.err().expect("no way in") {
        ConnectError::Refused(why) | ConnectError::Denied(why) => why,
        ConnectError::Unreachable(why) => panic!("not refused, but unreachable: {why}"),
    }
}

#[tokio::test]
async fn prosody_lets_us_in_by_both_ways_of_tls() {
    let server = Prosody::start(ACCOUNTS);
    let starttls = settings(server.address(), server.ca_file());
    open(starttls).await.unwrap();
    let mut direct = settings(server.tls_address(), server.ca_file());
    direct.security = Security::DirectTls;
    open(direct).await.unwrap();
}

#[tokio::test]
async fn ejabberd_lets_us_in_by_both_ways_of_tls() {
    let server = Ejabberd::start(ACCOUNTS);
    let starttls = settings(server.address(), server.ca_file());
    open(starttls).await.unwrap();
    let mut direct = settings(server.tls_address(), server.ca_file());
    direct.security = Security::DirectTls;
    open(direct).await.unwrap();
}

#[rstest]
#[case::expired(Identity::Expired, "has expired", "renew it")]
#[case::other_host(Identity::OtherHost, "is not for grid.test", "the JID's domain")]
#[case::self_signed(Identity::SelfSigned, "signed by nobody we trust", "set xmpp.ca_file")]
#[tokio::test]
async fn a_bad_certificate_is_refused_with_a_reason_and_a_remedy(
    #[case] identity: Identity,
    #[case] reason: &str,
    #[case] remedy: &str,
) {
    let server = Prosody::start_with(&prosody::Setup {
        accounts: ACCOUNTS,
        identity,
        ..prosody::Setup::default()
    });
    let mut settings = settings(server.address(), server.ca_file());
    for security in [Security::StartTls, Security::DirectTls] {
        if security == Security::DirectTls {
            settings.server = Some(server_at(server.tls_address()));
        }
        settings.security = security;
        let why = refusal(open(settings.clone()).await);
        assert!(why.contains(reason) && why.contains(remedy), "{why}");
    }
}

#[tokio::test]
async fn the_systems_roots_do_not_vouch_for_a_private_authority() {
    let server = Prosody::start(ACCOUNTS);
    let mut settings = settings(server.address(), server.ca_file());
    settings.ca_file = None;
    let why = refusal(open(settings).await);
    assert!(
        why.contains("xmpp.ca_file") || why.contains("ca-certificates"),
        "{why}"
    );
}

#[tokio::test]
async fn a_ca_file_that_is_none_is_named() {
    let server = Prosody::start(ACCOUNTS);
    let mut settings = settings(server.address(), server.ca_file());
    settings.ca_file = Some("/nowhere/ca.pem".into());
    assert!(refusal(open(settings.clone()).await).contains("/nowhere/ca.pem"));
    settings.ca_file = Some("/dev/null".into());
    assert!(refusal(open(settings).await).contains("holds no certificate"));
}

#[tokio::test]
async fn a_wrong_password_is_said_so() {
    let server = Prosody::start(ACCOUNTS);
    let mut settings = settings(server.address(), server.ca_file());
    settings.password = "no".to_owned().into();
    let why = refusal(open(settings).await);
    assert!(
        why.contains("refused the password of executor@grid.test"),
        "{why}"
    );
    assert!(why.contains("xmpp.password_file"), "{why}");
}

/// As editors and other systems leave it in its file.
#[tokio::test]
async fn a_refused_password_that_is_odd_is_said_so() {
    let server = Prosody::start(ACCOUNTS);
    let mut settings = settings(server.address(), server.ca_file());
    let right = ACCOUNTS[0].1;
    for (password, odd) in [
        (format!("\u{feff}{right}"), "byte order mark"),
        (format!("{right} "), "ends with white space"),
        (format!("{right}\n"), "ends with a line break"),
    ] {
        settings.password = password.into();
        let why = refusal(open(settings.clone()).await);
        assert!(why.contains(odd) && !why.contains(right), "{why}");
    }
}

#[tokio::test]
async fn the_password_is_shown_to_nobody_unless_that_is_allowed() {
    let server = Prosody::start_with(&prosody::Setup {
        accounts: ACCOUNTS,
        more: r#"disable_sasl_mechanisms = { "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS" }"#,
        ..prosody::Setup::default()
    });
    let mut settings = settings(server.address(), server.ca_file());
    let why = refusal(open(settings.clone()).await);
    assert!(
        why.contains("it has: ") && why.contains("PLAIN; we take"),
        "{why}"
    );
    settings.allow_plain = true;
    open(settings).await.unwrap();
}

#[tokio::test]
async fn a_server_without_tls_is_refused() {
    let server = Prosody::start_with(&prosody::Setup {
        accounts: ACCOUNTS,
        more: r#"modules_disabled = { "s2s", "tls" } c2s_require_encryption = false allow_unencrypted_plain_auth = true"#,
        ..prosody::Setup::default()
    });
    let mut settings = settings(server.address(), server.ca_file());
    assert!(refusal(open(settings.clone()).await).contains("no STARTTLS"));
    settings.security = Security::Plaintext;
    open(settings.clone()).await.unwrap();
    settings.server = Some("192.0.2.1:5222".parse().unwrap());
    let why = refusal(open(settings).await);
    assert!(
        why.contains("loopback addresses only") && why.contains("192.0.2.1"),
        "{why}"
    );
}

#[rstest]
#[case(Security::StartTls)]
#[case(Security::DirectTls)]
#[case(Security::Plaintext)]
#[tokio::test]
async fn no_step_waits_for_ever(#[case] security: Security) {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let ca = Prosody::start(&[]);
    let mut settings = settings(address, ca.ca_file());
    settings.security = security;
    settings.limits.connect = Duration::from_millis(50);
    settings.limits.login = Duration::from_millis(50);
    let error = open(settings).await.err().unwrap();
    assert!(
        matches!(&error, ConnectError::Unreachable(why) if why.contains("took longer than")),
        "{error}"
    );
}

#[tokio::test]
async fn nobody_there_is_worth_another_try() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let error = open(settings(gone, Path::new("/dev/null")))
        .await
        .err()
        .unwrap();
    assert!(
        matches!(&error, ConnectError::Unreachable(why) if why.contains("refused")),
        "{error}"
    );
}
