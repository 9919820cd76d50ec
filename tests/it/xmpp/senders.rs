//! Who looks like a supervisor and is none. The server is a hostile one, or lets a hostile
//! component through: it delivers whatever `from` it is given.

use std::sync::Arc;
use std::time::Duration;

use gristmill::job::Owner;
use gristmill::xmpp::Supervisor;

use crate::rig::gristmill::EXECUTOR_JID;

use super::door::Door;
use super::gated::{GatedStore, PANIC};
use super::scripted::{Line, Scripted};

/// Known are `supervisor@grid.test`, `other@grid.test` and `special@grid.test/only`.
const STRANGERS: [Option<&str>; 39] = [
    // No sender at all: the server itself.
    None,
    Some(""),
    Some("grid.test"),
    Some("grid.test/supervisor"),
    Some("grid.test/supervisor@grid.test"),
    // Ourselves.
    Some(EXECUTOR_JID),
    Some("executor@grid.test"),
    // A resource that is another, or none.
    Some("special@grid.test"),
    Some("special@grid.test/Only"),
    Some("special@grid.test/only/only"),
    Some("special@grid.test/only "),
    Some("special@grid.test/ only"),
    Some("special@grid.test/"),
    Some("special@grid.test/\u{43e}nly"),
    // A supervisor's name where it means nothing.
    Some("evil@evil.example/supervisor@grid.test"),
    Some("evil@evil.example/special@grid.test/only"),
    Some("supervisor%grid.test@evil.example"),
    Some("supervisor\\40grid.test@evil.example"),
    Some("supervisor@evil.example/grid.test"),
    // Other domains.
    Some("supervisor@evil.example"),
    Some("supervisor@grid.test.evil.example"),
    Some("supervisor@evil.grid.test"),
    Some("supervisor@xgrid.test"),
    Some("supervisor@grid.tes"),
    Some("supervisor@grid-test"),
    Some("supervisor@[::1]"),
    Some("supervisor@gr\u{131}d.test"),
    Some("supervisor@gr\u{456}d.test"),
    Some("supervisor@xn--grd-5pa.test"),
    // Other names.
    Some("xsupervisor@grid.test"),
    Some("supervisor2@grid.test"),
    Some("supervis\u{43e}r@grid.test"),
    Some("\u{455}upervisor@grid.test"),
    Some("supervi\u{301}sor@grid.test"),
    Some("super visor@grid.test"),
    // No JIDs.
    Some("supervisor@@grid.test"),
    Some("supervisor@grid.test@evil.example"),
    Some("@grid.test/supervisor"),
    Some("supervisor"),
];

/// All of them would end the door, were they read.
async fn say_as(line: &mut Line, from: Option<&str>, id: &str) {
    let from = from.map_or_else(String::new, |from| format!("from='{from}'"));
    let question = format!(
        "<getExecutorData xmlns='urn:windmill:executor:1'><job jobID='{PANIC}'/></getExecutorData>"
    );
    let text = question.replace('<', "&lt;");
    for stanza in [
        format!("<iq type='set' id='{id}' to='{EXECUTOR_JID}' {from}>{question}</iq>"),
        format!("<message id='{id}' to='{EXECUTOR_JID}' {from}>{question}</message>"),
        format!("<message id='{id}' to='{EXECUTOR_JID}' {from}><body>{text}</body></message>"),
        format!("<presence type='subscribe' to='{EXECUTOR_JID}' {from}/>"),
    ] {
        line.say(&stanza).await;
    }
}

/// What the door says until a supervisor's question is answered.
async fn until_served(line: &mut Line, id: &str) -> String {
    line.say(&format!(
        "<iq type='set' id='{id}' to='{EXECUTOR_JID}' from='supervisor@grid.test/x'>\
         <numJobsWanted xmlns='urn:windmill:executor:1'/></iq>"
    ))
    .await;
    line.expect("numJobsWantedResponse>").await
}

#[tokio::test]
async fn who_is_not_known_is_refused_before_a_word_is_read() {
    let server = Scripted::start().await;
    let mut settings = server.settings();
    settings.supervisors.push(Supervisor {
        jid: "special@grid.test/only".parse().unwrap(),
        owner: Owner::new("special").unwrap(),
        notify: false,
    });
    let limit = Duration::from_secs(20);
    let door = Door::open_within(settings, Arc::new(GatedStore::shut()), limit);
    let mut line = server.bind("first").await;
    line.expect("</presence>").await;
    let mut said = String::new();
    for (number, from) in STRANGERS.into_iter().enumerate() {
        let (id, after) = (format!("evil-{number}"), format!("after-{number}"));
        say_as(&mut line, from, &id).await;
        said += &until_served(&mut line, &after).await;
    }
    said += &until_served(&mut line, "last").await;
    // What is no JID is dropped by the parser, and of so many not all are answered.
    let refusals = said.matches("<service-unavailable").count();
    assert!(refusals > 1, "{said}");
    assert_eq!(said.matches("evil-").count(), refusals, "{said}");
    for number in 0..STRANGERS.len() {
        let answers =
            ["'", "\""].map(|quote| said.matches(&format!("evil-{number}{quote}")).count());
        assert!(answers.iter().sum::<usize>() <= 1, "{number}: {said}");
    }
    assert!(!said.contains("subscribed"), "{said}");
    assert!(!door.is_closed());
    door.close().await;
}
