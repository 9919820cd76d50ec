//! What a daemon of ours never sends: the runner stays up, and answers the next good one.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use gristmill::job::Verdict;
use gristmill::runner::RunState;
use gristmill::runner::remote::{Link, Settings, probe};
use gristmill::runner::socket::{MAX_FRAME_BYTES, PROTOCOL, Users};
use serde_json::{Value, json};

use super::stage::{PATIENCE, Stage, Way, order, spec};

/// A peer that writes what it likes.
struct Peer(UnixStream);

impl Peer {
    fn connect(stage: &Stage) -> Self {
        let stream = UnixStream::connect(stage.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// One that is served.
    fn served(stage: &Stage) -> Self {
        let mut peer = Self::connect(stage);
        peer.say(&json!({"protocol": PROTOCOL}));
        assert_eq!(peer.hear().unwrap()["served"]["holder"], stage.holder());
        peer
    }

    fn write(&mut self, bytes: &[u8]) {
        // The runner may have hung up, as it should.
        let _ = self.0.write_all(bytes);
    }

    fn frame(&mut self, content: &[u8]) {
        let length = u32::try_from(content.len()).unwrap();
        self.write(&length.to_be_bytes());
        self.write(content);
    }

    fn say(&mut self, value: &Value) {
        self.frame(value.to_string().as_bytes());
    }

    fn hear(&mut self) -> Option<Value> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).ok()?;
        let mut content = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut content).unwrap();
        Some(serde_json::from_slice(&content).unwrap())
    }

    fn ask(&mut self, id: u64, question: &Value) -> Value {
        self.say(&json!({"id": id, "question": question}));
        let answer = self.hear().unwrap();
        assert_eq!(answer["id"], id);
        answer["answer"].clone()
    }

    /// The runner hangs up, and says nothing before.
    fn assert_hung_up(&mut self) {
        match self.0.read(&mut [0; 1]) {
            Ok(0) => (),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => (),
            other => panic!("{other:?}"),
        }
    }
}

/// A runner behind a socket that nobody is connected to.
async fn stage() -> Stage {
    let mut stage = Stage::new(Way::Socket).await;
    stage.disconnect();
    stage
}

/// Another process's part of a test must not hold up the runner's, which is in this one.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

async fn assert_well(stage: &mut Stage) {
    stage.disconnect();
    stage.connect().await;
    let report = stage.run("exit 0").await;
    assert_eq!(report.verdict, Verdict::Succeeded);
    stage
        .runner()
        .forget(super::stage::key(1, 1), false)
        .await
        .unwrap();
}

fn nested() -> Vec<u8> {
    let mut text = br#"{"id":1,"question":"#.to_vec();
    text.extend(std::iter::repeat_n(b'[', 1_000_000));
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_greeting_ends_the_connection() {
    let mut stage = stage().await;
    let greetings: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 64],
        &[0, 0, 0, 3, b'{', b'{', b'{'],
        &[0, 0, 0, 0],
        // Longer than a greeting is.
        &[0, 1, 0, 0],
        &[0, 0, 0, 2, b'{', b'}'],
        &[0, 0, 0, 8, b'[', b'[', b'[', b'[', b'[', b'[', b'[', b'['],
    ];
    for greeting in greetings {
        let (mut peer, greeting) = (Peer::connect(&stage), greeting.to_vec());
        aside(move || {
            peer.write(&greeting);
            peer.assert_hung_up();
        })
        .await;
    }
    assert_well(&mut stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_question_ends_the_connection() {
    let mut stage = stage().await;
    let too_long = u32::try_from(MAX_FRAME_BYTES + 1).unwrap();
    let frames = [
        b"garbage".to_vec(),
        Vec::new(),
        nested(),
        br#"{"id":1,"question":"shut_down"}"#.to_vec(),
        br#"{"id":-1,"question":"runs"}"#.to_vec(),
        br#"{"id":1,"question":{"renew":{"run":{"record":1,"token":1},"lease_until":{"secs":18446744073709551615,"nanos":4000000000}}}}"#.to_vec(),
    ];
    for frame in frames {
        let mut peer = Peer::served(&stage);
        aside(move || {
            peer.frame(&frame);
            peer.assert_hung_up();
        })
        .await;
    }
    let mut peer = Peer::served(&stage);
    aside(move || {
        peer.write(&too_long.to_be_bytes());
        peer.assert_hung_up();
    })
    .await;
    // One that breaks off in the middle.
    let mut peer = Peer::served(&stage);
    peer.write(&[0, 0, 1, 0, b'{']);
    drop(peer);
    assert_well(&mut stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_content_does_no_harm() {
    let mut stage = stage().await;
    stage.script("job", "exit 0");
    let start = |record: u64, change: fn(&mut Value)| {
        let file = |name: &str| json!({"name": name, "dataset": null, "destination": null});
        let mut order = json!({
            "run": {"record": record, "token": 1}, "number": 1, "lease_until": null,
            "spec": {
                "job_id": "1", "attempt": 1, "name": null, "execution_id": null, "task_id": null,
                "priority": 0, "parameters": "", "inputs": [], "outputs": [file("ok")],
                "program": {"uses": null, "home": null, "path": "job", "parameters": null},
                "needs": {"uses": null, "cpu": null, "disk": null, "ram": null, "ip_connectivity": null},
                "stdout": null, "stderr": null,
            },
        });
        change(&mut order);
        json!({ "start": order })
    };
    let orders: [fn(&mut Value); 11] = [
        |order| order["spec"]["program"]["path"] = json!("../../../bin/sh"),
        |order| order["spec"]["program"]["path"] = json!("/bin/sh"),
        |order| order["spec"]["program"]["path"] = json!("job\0"),
        |order| order["spec"]["parameters"] = json!("a\0b"),
        |order| order["spec"]["job_id"] = json!("a\0b"),
        |order| order["spec"]["attempt"] = json!(0),
        |order| order["spec"]["outputs"][0]["name"] = json!("../../escaped"),
        |order| order["spec"]["outputs"][0]["name"] = json!("a\0b"),
        |order| {
            order["spec"]["stdout"] =
                json!({"name": "/etc/cron.d/x", "dataset": null, "destination": null});
        },
        |order| order["run"]["record"] = json!(0),
        |order| order["run"]["record"] = json!(u64::MAX),
    ];
    let mut peer = Peer::served(&stage);
    let questions: Vec<_> = (1..)
        .zip(orders)
        .map(|(record, change)| start(record, change))
        .collect();
    let mut with_nul = start(99, |_| ());
    with_nul["start"]["spec"]["program"]["home"] = json!("a\0b");
    let peer = aside(move || {
        for (id, question) in (1..).zip(&questions) {
            let answer = peer.ask(id, question);
            assert!(
                answer["failed"]["permanent"].is_string(),
                "{question}: {answer}"
            );
        }
        let answer = peer.ask(50, &with_nul);
        assert!(answer["failed"].is_object(), "{answer}");
        for (id, run) in [(60, 0), (61, u64::MAX)] {
            let answer = peer.ask(
                id,
                &json!({"forget": {"run": {"record": run, "token": 1}, "failed": false}}),
            );
            assert!(answer["failed"].is_object(), "{answer}");
        }
        assert_eq!(peer.ask(70, &json!("runs")), json!({"runs": []}));
        peer
    })
    .await;
    drop(peer);
    assert_well(&mut stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_is_told_so() {
    let mut stage = stage().await;
    let mut peer = Peer::connect(&stage);
    peer.say(&json!({"protocol": PROTOCOL + 1, "news": ["of", "later"]}));
    let answer = aside(move || peer.hear().unwrap()).await;
    assert_eq!(answer["protocol"]["spoken"], PROTOCOL);
    assert_well(&mut stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_daemon_is_served_at_a_time_and_the_next_one_afterwards() {
    let mut stage = stage().await;
    let first = Peer::served(&stage);
    let settings = Settings {
        socket: stage.socket(),
        users: Users::ourselves(),
    };
    let mut second = Peer::connect(&stage);
    second.say(&json!({"protocol": PROTOCOL}));
    let answer = aside(move || second.hear().unwrap()).await;
    assert_eq!(answer, json!("busy"));
    // Who only wants to know who is there disturbs nobody.
    assert_eq!(probe(&settings).await.unwrap(), stage.holder());
    let link = Link::start(settings);
    assert!(link.runner_now().is_none());
    drop(first);
    tokio::time::timeout(PATIENCE, link.runner()).await.unwrap();
    drop(link);
    assert_well(&mut stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_nothing_and_who_comes_in_crowds_holds_up_nobody_for_long() {
    let mut stage = stage().await;
    let crowd: Vec<_> = (0..1000)
        .filter_map(|_| UnixStream::connect(stage.socket()).ok())
        .collect();
    assert!(crowd.len() > 500, "{}", crowd.len());
    // A greeting that comes byte by byte, and never ends.
    let mut slow = Peer::connect(&stage);
    let dripping = tokio::task::spawn_blocking(move || {
        let start = Instant::now();
        while slow.0.write_all(&[0]).is_ok() {
            assert!(start.elapsed() < PATIENCE, "it may drip for ever");
            std::thread::sleep(Duration::from_millis(500));
        }
    });
    assert_well(&mut stage).await;
    dripping.await.unwrap();
    drop(crowd);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_questions_at_once_are_answered_while_ends_are_waited_for() {
    let mut stage = stage().await;
    stage.connect().await;
    let run = stage.start("while [ ! -e go ]; do sleep 0.05; done").await;
    let waits = (0..2000).map(|_| stage.runner().ended(run));
    let waits = futures::future::join_all(waits);
    let looks = (0..2000).map(|_| stage.runner().look_up(run));
    let looks = async {
        let looks = futures::future::join_all(looks).await;
        std::fs::write(stage.work(run).join("go"), "").unwrap();
        looks
    };
    let both = tokio::time::timeout(PATIENCE, futures::future::join(waits, looks)).await;
    let (ends, looks) = both.unwrap();
    assert!(ends.into_iter().all(|end| end.is_ok()));
    assert!(
        looks
            .into_iter()
            .all(|state| matches!(state, Ok(RunState::Alive)))
    );
}

/// What is too long for a frame never will fit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_fits_into_no_frame_is_permanent() {
    let mut stage = stage().await;
    stage.connect().await;
    let long = order(1, spec("job", &"x".repeat(MAX_FRAME_BYTES)));
    let started = stage.runner().start(&long).await;
    assert!(
        matches!(&started, Err(gristmill::runner::RunError::Permanent(why)) if why.contains("frame")),
        "{started:?}"
    );
    assert_well(&mut stage).await;
}
