//! The supervisor's side against the door, both on the small server that the demo runs on.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use gristmill::job::Owner;
use gristmill::windmill::{Answer, FaultCode, Reply, read_reply};
use gristmill::xmpp::loopback::{Account, Loopback};
use gristmill::xmpp::peer::{Carrier, Peer, PeerError};
use gristmill::xmpp::{Security, Settings, Supervisor, TimeLimits};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::door::Door;

const PATIENCE: Duration = Duration::from_secs(30);
const EXECUTOR: &str = "executor@demo/panda";
const SUPERVISOR: &str = "supervisor@demo/replay";
const CARRIERS: [Carrier; 3] = [Carrier::Iq, Carrier::Message, Carrier::Body];

struct Setting {
    settings: Settings,
    door: Door,
    _server: DropGuard,
}

impl Setting {
    async fn new() -> Self {
        let names = ["executor", "supervisor", "stranger"];
        let accounts = names.map(|name| Account {
            jid: format!("{name}@demo").parse().unwrap(),
            password: name.to_owned().into(),
        });
        let server = Loopback::bind(accounts, (Ipv4Addr::LOCALHOST, 0).into())
            .await
            .unwrap();
        let settings = Settings {
            jid: EXECUTOR.parse().unwrap(),
            password: "executor".to_owned().into(),
            server: Some(server.address().to_string().parse().unwrap()),
            security: Security::Plaintext,
            ca_file: None::<PathBuf>,
            allow_plain: true,
            max_stanza: 256 * 1024,
            max_request: 4 << 20,
            supervisors: vec![Supervisor {
                jid: "supervisor@demo".parse().unwrap(),
                owner: Owner::new("prodsys").unwrap(),
                notify: false,
            }],
            queue: 64,
            limits: TimeLimits::default(),
        };
        let shutdown = CancellationToken::new();
        tokio::spawn(server.run(shutdown.clone()));
        Self {
            door: Door::open(settings.clone()).await,
            settings,
            _server: shutdown.drop_guard(),
        }
    }

    fn settings_of(&self, jid: &str) -> Settings {
        let name = jid.split('@').next().unwrap().to_owned();
        Settings {
            jid: jid.parse().unwrap(),
            password: name.into(),
            ..self.settings.clone()
        }
    }

    async fn peer(&self, jid: &str) -> Peer {
        let executor = EXECUTOR.parse().unwrap();
        let peer = Peer::connect(self.settings_of(jid), executor, PATIENCE)
            .await
            .unwrap();
        // The door comes up beside us.
        while let Err(error) = peer.ask(Carrier::Iq, "<numJobsWanted/>", PATIENCE).await {
            assert_eq!(error, PeerError::Refused("service-unavailable".into()));
            if jid != SUPERVISOR {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        peer
    }
}

async fn reply(peer: &Peer, carrier: Carrier, document: &str) -> Reply {
    let answer = peer.ask(carrier, document, PATIENCE).await.unwrap();
    read_reply(&answer).unwrap()
}

fn job(id: u32) -> String {
    format!(
        "<job jobID='{id}'><transformation><transPath>a/b</transPath></transformation><jobPars/></job>"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_is_answered_by_each_carrier() {
    let it = Setting::new().await;
    let peer = it.peer(SUPERVISOR).await;
    for (carrier, number) in CARRIERS.into_iter().zip(1..) {
        let wanted = reply(&peer, carrier, "<numJobsWanted id='w'/>").await;
        assert_eq!(wanted.content, Ok(Answer::NumJobs(1000)));
        assert_eq!(wanted.in_reply_to.as_deref(), Some("w"));
        let execute = format!("<executeJobs>{}</executeJobs>", job(number));
        let stored = reply(&peer, carrier, &execute).await;
        let Ok(Answer::Receipts(receipts)) = stored.content else {
            panic!("{stored:?}");
        };
        assert_eq!(receipts.len(), 1);
        let unknown = reply(&peer, carrier, "<makeCoffee/>").await;
        assert_eq!(
            unknown.content.unwrap_err().code,
            FaultCode::UnsupportedCall
        );
    }
    peer.close().await;
    it.door.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_questions_at_once_get_their_own_answers() {
    let it = Setting::new().await;
    let peer = it.peer(SUPERVISOR).await;
    let asked = (0..200_usize).map(|number| {
        let (peer, carrier) = (&peer, CARRIERS[number % 3]);
        async move {
            let document =
                format!("<getExecutorData id='n-{number}'><job jobID='7'/></getExecutorData>");
            loop {
                let reply = reply(peer, carrier, &document).await;
                assert_eq!(reply.in_reply_to, Some(format!("n-{number}")));
                match reply.content {
                    Err(fault) => assert_eq!(fault.code, FaultCode::Busy),
                    Ok(_) => return,
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    });
    futures::future::join_all(asked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_of_thousands_of_elements_and_its_reply_travel() {
    let it = Setting::new().await;
    let peer = it.peer(SUPERVISOR).await;
    let jobs: String = (0..1000).map(job).collect();
    let execute = format!("<executeJobs>{jobs}</executeJobs>");
    for carrier in CARRIERS {
        let stored = reply(&peer, carrier, &execute).await;
        let Ok(Answer::Receipts(receipts)) = stored.content else {
            panic!("{stored:?}");
        };
        assert_eq!(receipts.len(), 1000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_get_an_error_or_nothing() {
    let it = Setting::new().await;
    let supervisor = it.peer(SUPERVISOR).await;
    let stranger = it.peer("stranger@demo/x").await;
    let refused = stranger
        .ask(Carrier::Iq, "<numJobsWanted/>", PATIENCE)
        .await;
    assert_eq!(
        refused,
        Err(PeerError::Refused("service-unavailable".into()))
    );
    let brief = Duration::from_millis(300);
    for carrier in [Carrier::Message, Carrier::Body] {
        let ignored = stranger.ask(carrier, "<numJobsWanted/>", brief).await;
        assert_eq!(ignored, Err(PeerError::NoAnswer(brief)));
    }
    reply(&supervisor, Carrier::Body, "<numJobsWanted/>").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_log_in_learns_why() {
    let it = Setting::new().await;
    let mut settings = it.settings_of(SUPERVISOR);
    settings.password = "wrong".to_owned().into();
    let refused = Peer::connect(settings.clone(), EXECUTOR.parse().unwrap(), PATIENCE).await;
    assert!(matches!(refused, Err(PeerError::Offline(_))));

    let closed = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    settings.server = Some(closed.local_addr().unwrap().to_string().parse().unwrap());
    drop(closed);
    let limit = Duration::from_millis(500);
    let offline = Peer::connect(settings, EXECUTOR.parse().unwrap(), limit).await;
    let why = offline.unwrap_err().to_string();
    assert!(why.contains("cannot be reached"), "{why}");
}
