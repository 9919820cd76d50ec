//! The conditions of the errors that are sent, as programs see them.

use crate::rig::gristmill::{ACCOUNTS, OTHER_SUPERVISOR, SUPERVISOR};
use crate::rig::prosody::Prosody;
use crate::rig::slixmpp::Supervisor;

use super::raw::Raw;

/// Of faults, and of what is asked beside documents.
const CONDITIONS: [(&str, &str); 7] = [
    ("modify", "bad-request"),
    ("cancel", "feature-not-implemented"),
    ("modify", "not-acceptable"),
    ("wait", "resource-constraint"),
    ("cancel", "internal-server-error"),
    ("cancel", "service-unavailable"),
    ("cancel", "item-not-found"),
];

/// A condition that slixmpp does not know is to its caller as if there were no answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slixmpp_knows_each_condition_that_is_sent() {
    let server = Prosody::start_fast(ACCOUNTS);
    let mut answerer = Raw::login(&server, OTHER_SUPERVISOR, "raw").await;
    answerer.send("<presence/>").await;
    let to = format!("{}@grid.test/raw", OTHER_SUPERVISOR.0);
    let from = format!("{}@grid.test/windmill", SUPERVISOR.0);
    let mut supervisor = Supervisor::login(&server, SUPERVISOR, &to);
    for (kind, condition) in CONDITIONS {
        supervisor.begin_to_ask(&to, condition);
        answerer.until(&format!("id='{condition}'")).await;
        let error = format!(
            "<iq type='error' id='{condition}' to='{from}'><error type='{kind}'>\
             <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>why</text>\
             <error xmlns='urn:windmill:executor:1' code='x' retry='no'>why</error></error></iq>"
        );
        answerer.send(&error).await;
        assert_eq!(supervisor.condition(), condition);
    }
}
