//! In which order requests are answered, and which not at all.

use std::sync::Arc;
use std::time::Duration;

use gristmill::job::Owner;

use crate::rig::gristmill::{ACCOUNTS, EXECUTOR_JID, OTHER_SUPERVISOR, STRANGER, SUPERVISOR};
use crate::rig::prosody::Prosody;

use super::door::{BUFFER_TIMEOUT, Door, settings};
use super::gated::{GatedStore, PANIC};
use super::raw::{Raw, is_result};

struct Setting {
    server: Prosody,
    store: Arc<GatedStore>,
    door: Door,
    supervisor: Raw,
}

impl Setting {
    /// A door over a store whose gate is shut, with room for so many requests in a queue.
    async fn with_queue(queue: usize) -> Self {
        let server = Prosody::start_fast(ACCOUNTS);
        let store = Arc::new(GatedStore::shut());
        let mut settings = settings(&server);
        settings.queue = queue;
        let door = Door::open_over(settings, store.clone());
        let mut supervisor = Raw::login(&server, SUPERVISOR, "raw").await;
        supervisor.wait_for_executor().await;
        Self {
            server,
            store,
            door,
            supervisor,
        }
    }
}

/// An IQ that asks the store for a job.
fn look_up(id: &str, job: &str) -> String {
    format!(
        "<iq type='set' id='{id}' to='{EXECUTOR_JID}'>\
         <getExecutorData xmlns='urn:windmill:executor:1'><job jobID='{job}'/></getExecutorData></iq>"
    )
}

/// An IQ that asks the store for a record; the gate lets it through.
fn status(id: &str) -> String {
    format!(
        "<iq type='set' id='{id}' to='{EXECUTOR_JID}'>\
         <getStatus><job jobID='7' taskBufferRecordID='1'/></getStatus></iq>"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owners_requests_are_answered_in_order_and_only_num_jobs_wanted_overtakes() {
    let mut it = Setting::with_queue(64).await;
    for call in 0..20 {
        it.supervisor
            .send(&look_up(&format!("q-{call}"), "7"))
            .await;
        it.supervisor.send(&status(&format!("s-{call}"))).await;
    }
    assert!(is_result(&it.supervisor.ask_jobs_wanted("wanted").await));
    assert!(!it.supervisor.has("q-0"), "the gate is shut");
    it.store.let_through(20);
    let mut last = None;
    let answers = it.supervisor.until_all(&["q-19", "s-19"]).await;
    for call in 0..20 {
        for kind in ["q", "s"] {
            let at = answers.find(&format!("inReplyTo='{kind}-{call}'")).unwrap();
            assert!(last < Some(at), "{kind}-{call} is out of order");
            last = Some(at);
        }
    }
    it.door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_do_not_wait_for_each_other() {
    let mut it = Setting::with_queue(64).await;
    it.supervisor.send(&look_up("held", "7")).await;
    let mut other = Raw::login(&it.server, OTHER_SUPERVISOR, "raw").await;
    other.send(&look_up("free", "7")).await;
    assert!(is_result(&other.answer("free").await));
    it.store.let_through(1);
    assert!(is_result(&it.supervisor.answer("held").await));
    it.door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn supervisors_of_one_owner_share_a_queue() {
    let server = Prosody::start_fast(ACCOUNTS);
    let store = Arc::new(GatedStore::shut());
    let mut settings = settings(&server);
    for supervisor in &mut settings.supervisors {
        supervisor.owner = Owner::new("prodsys").unwrap();
    }
    let door = Door::open_over(settings, store.clone());
    let mut first = Raw::login(&server, SUPERVISOR, "raw").await;
    first.wait_for_executor().await;
    first.send(&look_up("held", "7")).await;
    first.ask_jobs_wanted("flush").await;
    let mut other = Raw::login(&server, OTHER_SUPERVISOR, "raw").await;
    other.send(&status("behind")).await;
    other.ask_jobs_wanted("flush").await;
    assert!(!other.has("behind"), "a question may not overtake");
    store.let_through(1);
    assert!(is_result(&first.answer("held").await));
    assert!(is_result(&other.answer("behind").await));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_document_is_read_like_a_small_one() {
    let mut it = Setting::with_queue(64).await;
    let job = |number| format!("<job jobID='{number:060}'/>");
    let jobs: String = (0..1000).map(job).collect();
    it.supervisor
        .send(&format!(
            "<iq type='set' id='large' to='{EXECUTOR_JID}'><getExecutorData>{jobs}</getExecutorData></iq>"
        ))
        .await;
    it.store.let_through(1);
    let answer = it.supervisor.answer("large").await;
    assert_eq!(
        answer.matches("status='rejected'").count(),
        1000,
        "{answer}"
    );
    it.door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_is_busy_at_once() {
    let mut it = Setting::with_queue(4).await;
    // One is answered, one is read, one waits to be handed over, four wait.
    for call in 0..20 {
        it.supervisor
            .send(&look_up(&format!("q-{call}"), "7"))
            .await;
        // Whatever comes before has found its place by then.
        it.supervisor.ask_jobs_wanted(&format!("then-{call}")).await;
    }
    let busy = it.supervisor.answer("q-19").await;
    for part in ["resource-constraint", "wait", "busy", "retryAfter"] {
        assert!(busy.contains(part), "{part} is not in {busy}");
    }
    it.store.let_through(20);
    assert!(is_result(&it.supervisor.answer("q-0").await));
    it.supervisor.send(&look_up("later", "7")).await;
    assert!(is_result(&it.supervisor.answer("later").await));
    it.door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_a_request_costs_that_request_only() {
    let mut it = Setting::with_queue(64).await;
    it.store.let_through(1);
    it.supervisor.send(&look_up("bad", PANIC)).await;
    it.supervisor.send(&look_up("good", "7")).await;
    let bad = it.supervisor.answer("bad").await;
    assert!(
        bad.contains("internal-server-error") && bad.contains("incident"),
        "{bad}"
    );
    assert!(is_result(&it.supervisor.answer("good").await));
    it.door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_end_what_is_in_hand_is_answered_and_nothing_else() {
    let mut it = Setting::with_queue(64).await;
    it.supervisor.send(&look_up("in-hand", "7")).await;
    it.supervisor.ask_jobs_wanted("flush").await;
    it.door.begin_to_close();
    let mut last = String::new();
    for attempt in 0..100 {
        let id = format!("late-{attempt}");
        it.supervisor.send(&look_up(&id, "7")).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        if it.supervisor.has_arrived("busy").await {
            last = id;
            break;
        }
    }
    assert!(!last.is_empty(), "new requests are told that we are busy");
    it.store.let_through(100);
    assert!(is_result(&it.supervisor.answer("in-hand").await));
    it.door.end(Duration::from_secs(5)).await.unwrap();
    it.supervisor.send(&look_up("gone", "7")).await;
    assert!(
        it.supervisor
            .answer("gone")
            .await
            .contains("service-unavailable")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_hangs_does_not_keep_the_door_open() {
    let mut it = Setting::with_queue(64).await;
    it.supervisor.send(&look_up("held", "7")).await;
    it.supervisor.ask_jobs_wanted("flush").await;
    it.door.begin_to_close();
    let limit = Duration::from_secs(10);
    it.door.end(limit).await.unwrap();
    assert!(limit < BUFFER_TIMEOUT, "the store did not keep it open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_not_served() {
    let mut it = Setting::with_queue(64).await;
    let mut stranger = Raw::login(&it.server, STRANGER, "raw").await;
    stranger.send("<presence/>").await;
    let document = "<numJobsWanted xmlns='urn:windmill:executor:1'/>";
    stranger
        .send(&format!(
            "<message to='{EXECUTOR_JID}' id='m'>{document}</message>"
        ))
        .await;
    stranger
        .send(&format!(
            "<message to='{EXECUTOR_JID}'><body>&lt;numJobsWanted/></body></message>"
        ))
        .await;
    let refused = stranger.ask_jobs_wanted("iq").await;
    assert!(refused.contains("service-unavailable"), "{refused}");
    assert!(!refused.contains("numJobs"), "{refused}");
    stranger
        .send(&format!(
            "<iq type='get' id='ping' to='{EXECUTOR_JID}'><ping xmlns='urn:xmpp:ping'/></iq>"
        ))
        .await;
    assert!(is_result(&stranger.answer("ping").await));
    assert!(!stranger.has("<message"), "no message is answered");
    // A supervisor is told what is wrong.
    it.supervisor
        .send(&format!(
            "<iq type='get' id='odd' to='{EXECUTOR_JID}'><query xmlns='jabber:iq:private'/></iq>"
        ))
        .await;
    assert!(
        it.supervisor
            .answer("odd")
            .await
            .contains("service-unavailable")
    );
    it.door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_may_see_what_we_are_ready_for_and_a_stranger_may_not() {
    let it = Setting::with_queue(64).await;
    let executor = EXECUTOR_JID.split('/').next().unwrap();
    for (account, may) in [(SUPERVISOR, true), (STRANGER, false)] {
        let mut peer = Raw::login(&it.server, account, "watching").await;
        peer.send("<presence/>").await;
        peer.send(&format!("<presence type='subscribe' to='{executor}'/>"))
            .await;
        if may {
            peer.until("ready for 1000 jobs").await;
        } else {
            let refused = peer.ask_jobs_wanted("iq").await;
            assert!(refused.contains("service-unavailable"), "{refused}");
            assert!(!peer.has("ready for 1000 jobs"));
        }
    }
    it.door.close().await;
}
