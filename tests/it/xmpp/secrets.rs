//! What is logged, and what never is.

use crate::rig::gristmill::{ACCOUNTS, EXECUTOR, Gristmill, SUPERVISOR};
use crate::rig::prosody::Prosody;

use super::raw::Raw;

/// Below info the XMPP library prints whatever goes over the line, log-ins included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_library_below_prints_nothing_even_at_trace() {
    let server = Prosody::start(ACCOUNTS);
    let daemon = Gristmill::on_sqlite(&server, &["log.level=\"trace\""]);
    let mut raw = Raw::login(&server, SUPERVISOR, "raw").await;
    raw.wait_for_executor().await;
    let log = daemon.log();
    assert!(log.contains("TRACE"), "the level is set: {log}");
    assert!(
        log.contains("numJobsWanted"),
        "documents are logged at debug"
    );
    for secret in [
        EXECUTOR.1,
        "SEND",
        "RECV",
        "<auth",
        "urn:ietf:params:xml:ns:xmpp-sasl",
    ] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
