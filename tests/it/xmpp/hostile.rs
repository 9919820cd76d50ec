//! Stanzas that no parser survives, sent by an account that may not even speak.

use std::time::{Duration, Instant};

use rand::prelude::*;
use rand::rngs::StdRng;
use rstest::rstest;
use tokio::time::timeout;

use crate::rig::XmppServer;
use crate::rig::ejabberd::Ejabberd;
use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, STRANGER, SUPERVISOR};
use crate::rig::prosody::Prosody;

use super::door::{Door, settings};
use super::proxy::Proxy;
use super::raw::{Raw, is_result};

/// A call must be answered as fast, whatever was sent before it.
const PROMPT: Duration = Duration::from_secs(1);

/// How long an answer to a ping is waited for, and how often it is asked for.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);
const FLUSHES: u32 = 30;

fn nested(levels: usize) -> String {
    format!(
        "<x xmlns='urn:x'>{}{}</x>",
        "<a>".repeat(levels - 1),
        "</a>".repeat(levels - 1)
    )
}

fn attribute(bytes: usize) -> String {
    format!("<x xmlns='urn:x' a='{}'/>", "a".repeat(bytes))
}

/// ejabberd 23.01 itself dies of what is nested 5,000 levels deep.
fn payloads(server: &str) -> Vec<String> {
    let depths = match server {
        "prosody" => [5_000, 12_000],
        _ => [50, 2_000],
    };
    let attributes = [9_000, 500_000].map(attribute);
    let sizes = depths.map(nested).into_iter().chain(attributes);
    sizes.chain(UNREADABLE.map(str::to_owned)).collect()
}

/// What the servers read and write and the client's parser refuses: Prosody writes the carriage
/// return as it is, both write the prefix as a declaration.
const UNREADABLE: [&str; 3] = [
    "<c xmlns='urn:x' a='1&#13;2'/>",
    "<xml:a/>",
    "<x xmlns='urn:x'><y><z b='1&#13;2'/><xml:a/></y></x>",
];

fn started(server: &str) -> Box<dyn XmppServer> {
    match server {
        "prosody" => Box::new(Prosody::start_fast(ACCOUNTS)),
        _ => Box::new(Ejabberd::start_fast(ACCOUNTS)),
    }
}

/// A server, the daemon's door at it, and a supervisor that sees it online.
struct Stage {
    server: Box<dyn XmppServer>,
    proxy: Proxy,
    door: Door,
    supervisor: Raw,
}

impl Stage {
    async fn set(name: &str) -> Self {
        let server = started(name);
        let proxy = Proxy::to(server.as_ref()).await;
        let door = Door::open(settings(&proxy)).await;
        let mut supervisor = Raw::login(server.as_ref(), SUPERVISOR, "raw").await;
        supervisor.wait_for_executor().await;
        Self {
            server,
            proxy,
            door,
            supervisor,
        }
    }
}

/// Has the server read what was sent: since 2.6 Expat tries a long token again only after its
/// buffer has doubled.
async fn push(stranger: &mut Raw, payload: &str) {
    stranger.send(&" ".repeat(payload.len())).await;
}

/// Waits until all that this sender sent has reached the door. Not every question of a stranger is
/// answered: it is asked again.
async fn flush(sender: &mut Raw, id: &str) {
    for attempt in 0..FLUSHES {
        let id = format!("{id}-{attempt}");
        let ping = format!(
            "<iq type='get' id='{id}' to='{EXECUTOR_JID}'><ping xmlns='urn:xmpp:ping'/></iq>"
        );
        sender.send(&ping).await;
        if let Ok(answer) = timeout(FLUSH_LIMIT, sender.answer(&id)).await {
            assert!(is_result(&answer), "{answer}");
            return;
        }
    }
    panic!("{id}: no ping is answered");
}

/// How long a call takes to be answered.
async fn time_of_a_call(supervisor: &mut Raw, id: &str) -> Duration {
    let asked = Instant::now();
    let answer = supervisor.ask_jobs_wanted(id).await;
    assert!(is_result(&answer), "{answer}");
    asked.elapsed()
}

/// A machine that is busy with other tests may be slow by itself.
async fn answers_promptly(supervisor: &mut Raw, id: &str) {
    let first = time_of_a_call(supervisor, id).await;
    let second = time_of_a_call(supervisor, &format!("{id}-again")).await;
    assert!(first < PROMPT.max(second * 4), "{first:?}, then {second:?}");
}

#[rstest]
#[case::prosody("prosody")]
#[case::ejabberd("ejabberd")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_call_is_answered_at_once_and_on_the_same_stream(#[case] name: &str) {
    let mut stage = Stage::set(name).await;
    let mut stranger = Raw::login(stage.server.as_ref(), STRANGER, "raw").await;
    for (index, payload) in payloads(name).iter().enumerate() {
        stranger
            .send(&format!("<message to='{EXECUTOR_JID}'>{payload}</message>"))
            .await;
        stranger
            .send(&format!(
                "<message to='{EXECUTOR_JID}'><body>x</body>{payload}</message>"
            ))
            .await;
        stranger
            .send(&format!(
                "<presence to='{EXECUTOR_JID}'>{payload}</presence>"
            ))
            .await;
        let id = format!("evil-{index}");
        stranger
            .send(&format!(
                "<iq type='set' id='{id}' to='{EXECUTOR_JID}'>{payload}</iq>"
            ))
            .await;
        push(&mut stranger, payload).await;
        let answer = stranger.answer(&id).await;
        assert!(
            answer.contains("error") && answer.contains("service-unavailable"),
            "{answer}"
        );
        flush(&mut stranger, &format!("ping-{index}")).await;
        answers_promptly(&mut stage.supervisor, &format!("after-{index}")).await;
    }
    assert_eq!(stage.proxy.connections(), 1, "no reconnect");
    stage.door.close().await;
}

#[rstest]
#[case::prosody("prosody")]
#[case::ejabberd("ejabberd")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_is_told_that_its_stanza_cannot_be_read(#[case] name: &str) {
    let mut stage = Stage::set(name).await;
    let set = format!("<iq type='set' id='evil' to='{EXECUTOR_JID}'><xml:a/></iq>");
    stage.supervisor.send(&set).await;
    let answer = stage.supervisor.answer("evil").await;
    assert!(answer.contains("bad-request"), "{answer}");
    assert!(answer.contains("cannot be read as XML"), "{answer}");
    assert_eq!(stage.proxy.connections(), 1, "no reconnect");
    stage.door.close().await;
}

/// Stanzas that one sender sends before it is looked whether all goes on.
const BATCH: usize = 100;

/// `GRISTMILL_ODD_STANZAS=100000` sends more; `GRISTMILL_ODD_SEED` sends others.
fn number_of(variable: &str, default: u64) -> u64 {
    let number = std::env::var(variable).ok();
    number.map_or(default, |text| text.parse().expect("a number"))
}

#[rstest]
#[case::prosody("prosody")]
#[case::ejabberd("ejabberd")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_odd_stanzas_leave_the_stream_as_it_is(#[case] name: &str) {
    let number = number_of("GRISTMILL_ODD_STANZAS", 2_000);
    let first_seed = number_of("GRISTMILL_ODD_SEED", 0);
    let mut stage = Stage::set(name).await;
    let mut stranger = Raw::login(stage.server.as_ref(), STRANGER, "raw").await;
    for batch in 0..number.div_ceil(2 * BATCH as u64) {
        let seed = first_seed + batch;
        let odd: Vec<_> = odd_elements(seed, BATCH).collect();
        // A stranger's questions are not all answered.
        for (sender, iq) in [(&mut stranger, "result"), (&mut stage.supervisor, "set")] {
            send_odd(sender, iq, seed, &odd).await;
            assert_eq!(
                stage.proxy.connections(),
                1,
                "a reconnect, GRISTMILL_ODD_SEED={seed}: one of {odd:#?}"
            );
        }
    }
    answers_promptly(&mut stage.supervisor, "after").await;
    let unreadable = stage.door.vitals.trips.iter();
    let unreadable: u64 = unreadable
        .filter_map(|(limit, count)| (limit == "unreadable").then_some(count))
        .sum();
    assert!(unreadable > 0, "each of {number} stanzas could be read");
    stage.door.close().await;
}

/// Sends each of these in a stanza, and waits until the executor has had them all.
async fn send_odd(sender: &mut Raw, iq: &str, seed: u64, odd: &[String]) {
    for (index, element) in odd.iter().enumerate() {
        let id = format!("odd-{seed}-{index}");
        let stanza = match index % 4 {
            0 => format!("<message to='{EXECUTOR_JID}' id='{id}'>{element}</message>"),
            1 => format!("<message to='{EXECUTOR_JID}'><body>x</body>{element}</message>"),
            2 => format!("<presence to='{EXECUTOR_JID}'>{element}</presence>"),
            _ => format!("<iq type='{iq}' id='{id}' to='{EXECUTOR_JID}'>{element}</iq>"),
        };
        sender.send(&stanza).await;
    }
    flush(sender, &format!("flush-{seed}")).await;
}

/// Elements that are XML with namespaces, in its less used spellings.
fn odd_elements(seed: u64, number: usize) -> impl Iterator<Item = String> {
    let mut dice = StdRng::seed_from_u64(seed);
    let element = move || {
        // Some are deeper than the guard allows.
        if dice.random_ratio(1, 50) {
            nested(dice.random_range(30..60))
        } else {
            odd_element(&mut dice, 0)
        }
    };
    std::iter::repeat_with(element).take(number)
}

fn odd_element(dice: &mut StdRng, level: usize) -> String {
    const NAMES: [&str; 8] = ["a", "xml:a", "p:a", "é", "a.b-c", "_", "a\u{b7}", "p:xml"];
    const SPACES: [&str; 6] = ["", " ", "\n", "\t ", "\r\n", "\r"];
    const ATTRIBUTES: [&str; 12] = [
        "b",
        "xml:b",
        "p:b",
        "xml:lang",
        "xml:space",
        "é",
        "xmlns",
        "xmlns:q",
        "q:b",
        "id",
        "type",
        "c",
    ];
    const TEXTS: [&str; 20] = [
        "&#13;",
        "&#10;",
        "&#9;",
        "\r",
        "\n",
        "\t",
        "x",
        "1",
        " ",
        "&amp;",
        "&lt;",
        "&quot;",
        "]]&gt;",
        "\u{85}",
        "\u{2028}",
        "\u{10ffff}",
        "&#xfffd;",
        "\u{feff}",
        "http://www.w3.org/2000/xmln",
        "",
    ];
    const CDATA: [&str; 4] = [
        "<![CDATA[]]>",
        "<![CDATA[\r]]>",
        "<![CDATA[<&]]>",
        "<![CDATA[]]]>",
    ];
    let name = NAMES.choose(dice).unwrap();
    let mut element = format!("<{name} xmlns:p='urn:p' xmlns:q='urn:q{level}'");
    if level == 0 && !name.contains(':') {
        element += " xmlns='urn:x'";
    }
    let given = ["xmlns:q", "xmlns"];
    let number = dice.random_range(0..4);
    let attributes: Vec<_> = ATTRIBUTES.sample(dice, number).collect();
    for attribute in attributes {
        if !given.contains(attribute) {
            let value: String = TEXTS.sample(dice, 3).copied().collect();
            element += SPACES.choose(dice).unwrap();
            element += &[" ", attribute, "='", &value, "'"].concat();
        }
    }
    element.push('>');
    for _ in 0..dice.random_range(0..4) {
        match dice.random_range(0..3) {
            0 if level < 6 => element += &odd_element(dice, level + 1),
            1 => element += CDATA.choose(dice).unwrap(),
            _ => element += TEXTS.choose(dice).unwrap(),
        }
    }
    element + &format!("</{name}>")
}

#[rstest]
#[case::prosody("prosody")]
#[case::ejabberd("ejabberd")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lay_in_offline_storage_does_no_harm_at_log_in(#[case] name: &str) {
    let server = started(name);
    let mut stranger = Raw::login(server.as_ref(), STRANGER, "raw").await;
    for payload in payloads(name) {
        stranger
            .send(&format!(
                "<message to='executor@grid.test'><body>x</body>{payload}</message>"
            ))
            .await;
        push(&mut stranger, &payload).await;
    }
    stranger
        .send("<iq type='get' id='sync' to='grid.test'><ping xmlns='urn:xmpp:ping'/></iq>")
        .await;
    stranger.answer("sync").await;
    let proxy = Proxy::to(server.as_ref()).await;
    let door = Door::open(settings(&proxy)).await;
    let mut supervisor = Raw::login(server.as_ref(), SUPERVISOR, "raw").await;
    supervisor.wait_for_executor().await;
    flush(&mut stranger, "ping").await;
    answers_promptly(&mut supervisor, "after").await;
    assert_eq!(proxy.connections(), 1, "no reconnect");
    door.close().await;
}
