//! What fuzzers feed, and what must hold whatever they feed. Each target takes bytes from outside;
//! the tests replay the corpora on the same functions.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gristmill::config::{FileChoice, Sources, load};
use gristmill::error::Kind;
use gristmill::job::{RecordId, RunKey, RunOrder, RunReport, StoreId, Token};
use gristmill::runner::remote::{Link, Settings};
use gristmill::runner::socket::{Service, Users, listen, serve};
use gristmill::runner::{Heard, News, RunError, RunState, Runner};
use gristmill::vitals::Pulse;
use gristmill::windmill::{Limits, read_call, read_job, read_reply, write_call};
use gristmill::xmpp::guard::{Guard, GuardLimits, GuardReport};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use xmpp_parsers::minidom::rxml::error::EndOrError;
use xmpp_parsers::minidom::rxml::{Parse, Parser};

/// No answer takes longer, on a machine that is busy with others.
const PATIENCE: Duration = Duration::from_secs(30);

/// A supervisor's document: an error has a place, and what was read can be written and read again.
pub fn reader(bytes: &[u8]) {
    let limits = |max_bytes| Limits {
        max_bytes,
        max_jobs: 100,
    };
    match read_call(bytes, &limits(1 << 16)) {
        Ok(request) => {
            let written = write_call(&request);
            let again = read_call(written.as_bytes(), &limits(1 << 24));
            let again = again.unwrap_or_else(|error| panic!("{error}: {written}"));
            assert_eq!(again.call.kind(), request.call.kind());
            assert_eq!(again.call.job_count(), request.call.job_count());
        }
        Err(error) => assert!(error.line > 0 && error.column > 0, "{error:?}"),
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = read_job(text);
        let _ = read_reply(text);
    }
}

/// The begin of a stream from an XMPP server.
const HEADER: &[u8] = b"<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

/// A stream from an XMPP server: what goes out does not depend on the pieces in which it came, and
/// is not much longer; after the log-in the parser reads all of it.
pub fn guard(bytes: &[u8]) {
    let limits = GuardLimits {
        depth: 5,
        attribute_bytes: 30,
        name_bytes: 20,
        tag_bytes: 120,
        elements: 12,
        stanza_bytes: 400,
    };
    let filtered = |bytes: &[u8], size: usize| {
        let (mut guard, mut out) = (Guard::new(limits, GuardReport::default()), Vec::new());
        for piece in bytes.chunks(size) {
            guard.feed(piece, &mut out);
        }
        out
    };
    let whole = filtered(bytes, bytes.len().max(1));
    assert_eq!(whole, filtered(bytes, 1));
    assert_eq!(whole, filtered(bytes, 7));
    // A marker for each stanza that is cut, and what it closes.
    assert!(whole.len() <= 64 * (bytes.len() + 16), "{}", whole.len());
    // A stream begins anew after the log-in, and its parser with it.
    let in_stream = filtered(&[HEADER, HEADER, bytes].concat(), 7);
    let (_, mut rest) = in_stream.split_at(HEADER.len());
    let mut parser = Parser::default();
    loop {
        match parser.parse(&mut rest, false) {
            Ok(Some(_)) => {}
            Ok(None) | Err(EndOrError::NeedMoreData) => break,
            Err(error) => panic!("{error:?} in {:?}", String::from_utf8_lossy(&in_stream)),
        }
    }
}

/// A configuration file: what is wrong is a mistake that is explained, and never a bug.
pub fn configuration(bytes: &[u8]) {
    thread_local! {
        static FOLDER: TempDir = tempfile::tempdir().expect("a folder");
    }
    let file = FOLDER.with(|folder| folder.path().join("gristmill.toml"));
    fs::write(&file, bytes).expect("a file");
    let loaded = load(&Sources {
        file: FileChoice::Named(file),
        ..Sources::default()
    });
    if let Err(report) = loaded {
        assert_eq!(report.kind(), Kind::Configuration, "{report}");
    }
}

/// What a daemon says to a runner: the runner ends the conversation and serves the next daemon.
pub fn runner_socket(bytes: &[u8]) {
    thread_local! {
        static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
    }
    PLACE.with_borrow_mut(|place| place.get_or_insert_with(Place::open).hear(bytes));
}

/// A runner that listens.
struct Place {
    runtime: Runtime,
    socket: PathBuf,
    _folder: TempDir,
}

impl Place {
    fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("runner.sock");
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        let service = Service {
            runner: Arc::new(Idle),
            holder: "fuzzed".to_owned(),
            folder: None,
            users: Users::ourselves(),
        };
        runtime.block_on(async {
            let listener = listen(&socket).expect("a listener");
            let pulse = Pulse::new("runner", Duration::MAX);
            tokio::spawn(serve(listener, service, pulse, CancellationToken::new()));
        });
        Self {
            runtime,
            socket,
            _folder: folder,
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        let conversation = async {
            let mut stream = UnixStream::connect(&self.socket).await.expect("it listens");
            // It may have heard enough before the end.
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
            let mut answers = Vec::new();
            let _ = stream.read_to_end(&mut answers).await;
        };
        let limited = async { timeout(PATIENCE, conversation).await };
        self.runtime.block_on(limited).expect("an end");
    }
}

/// What a runner says to its daemon: first its welcome, and the rest once it has heard everything.
/// Whoever has asked is told how it ended, and so is who asks afterwards.
pub fn runner_answers(bytes: &[u8]) {
    thread_local! {
        static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
    }
    STAGE.with_borrow_mut(|stage| stage.get_or_insert_with(Stage::new).tell(bytes));
}

/// Where a daemon looks for its runner.
struct Stage {
    runtime: Runtime,
    folder: TempDir,
    order: RunOrder,
}

/// Questions of a daemon's that a runner hears before it answers, with the greeting and a ping.
const HEARD: usize = 12;

impl Stage {
    fn new() -> Self {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let xml = "<job jobID='1'><transformation><transPath>run</transPath></transformation>\
                   <jobPars/></job>";
        Self {
            runtime: runtime.enable_all().build().expect("a runtime"),
            folder: tempfile::tempdir().expect("a folder"),
            order: RunOrder {
                key: RUN,
                number: 1,
                spec: read_job(xml).expect("a job"),
                lease_until: None,
            },
        }
    }

    fn tell(&mut self, bytes: &[u8]) {
        let socket = self.folder.path().join("runner.sock");
        let _ = fs::remove_file(&socket);
        let conversation = async {
            let listener = UnixListener::bind(&socket).expect("a listener");
            let link = Link::start(Settings {
                socket: socket.clone(),
                users: Users::ourselves(),
            });
            let (stream, _) = listener.accept().await.expect("a daemon");
            drop(listener);
            tokio::join!(play(stream, bytes), self.ask(&link));
        };
        let limited = async { timeout(PATIENCE, conversation).await };
        self.runtime.block_on(limited).expect("an end");
    }

    /// Asks everything, where the runner is taken for one.
    async fn ask(&self, link: &Link) {
        // A runner that is not taken for one is tried again, and has gone by then.
        let Ok(runner) = timeout(TAKEN_WITHIN, link.runner()).await else {
            return;
        };
        let store = StoreId::new("store".to_owned()).expect("a name");
        let _ = tokio::join!(
            runner.serve(&store),
            runner.start(&self.order),
            runner.look_up(RUN),
            runner.ended(RUN),
            runner.renew(RUN, None),
            runner.stop(RUN),
            runner.collect(RUN),
            runner.news(RUN, None),
            runner.runs(),
            runner.forget(RUN, true),
        );
        assert!(runner.look_up(RUN).await.is_err(), "nobody is there");
    }
}

/// A run that nobody knows.
const RUN: RunKey = RunKey {
    record: RecordId::MAX,
    token: Token(1),
};

/// A welcome is taken, or not, at once.
const TAKEN_WITHIN: Duration = Duration::from_millis(50);

/// Says what it has to say, and hears the rest.
async fn play(mut stream: UnixStream, bytes: &[u8]) {
    let (welcome, answers) = bytes.split_at(first_frame(bytes));
    let _ = stream.write_all(welcome).await;
    let mut heard = 0;
    // Where it is not taken for a runner, nothing comes.
    while heard < HEARD && hear(&mut stream).await.is_some() {
        heard += 1;
    }
    let _ = stream.write_all(answers).await;
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// The length of the first frame, or of all.
fn first_frame(bytes: &[u8]) -> usize {
    let length = bytes
        .first_chunk()
        .map(|length| u32::from_be_bytes(*length));
    let length = length.and_then(|length| usize::try_from(length).ok());
    length.map_or(bytes.len(), |length| {
        length.saturating_add(4).min(bytes.len())
    })
}

/// The next frame, if one comes.
async fn hear(stream: &mut UnixStream) -> Option<()> {
    let length = timeout(TAKEN_WITHIN, stream.read_u32()).await.ok()?.ok()?;
    let mut frame = vec![0; usize::try_from(length).ok()?];
    stream.read_exact(&mut frame).await.ok().map(drop)
}

/// Starts nothing.
struct Idle;

fn nothing<T>() -> Result<T, RunError> {
    Err(RunError::Permanent("nothing runs here".to_owned()))
}

#[async_trait]
impl Runner for Idle {
    async fn serve(&self, _: &StoreId) -> Result<(), RunError> {
        Ok(())
    }

    async fn ready(&self) -> Result<(), RunError> {
        Ok(())
    }

    async fn start(&self, _: &RunOrder) -> Result<(), RunError> {
        nothing()
    }

    async fn look_up(&self, _: RunKey) -> Result<RunState, RunError> {
        Ok(RunState::NeverStarted)
    }

    async fn ended(&self, _: RunKey) -> Result<(), RunError> {
        Ok(())
    }

    async fn renew(&self, _: RunKey, _: Option<Duration>) -> Result<(), RunError> {
        Ok(())
    }

    async fn stop(&self, _: RunKey) -> Result<(), RunError> {
        Ok(())
    }

    async fn collect(&self, _: RunKey) -> Result<RunReport, RunError> {
        nothing()
    }

    async fn news(&self, _: RunKey, _: Option<Heard>) -> Result<News, RunError> {
        Ok(News::default())
    }

    async fn runs(&self) -> Result<Vec<RunKey>, RunError> {
        Ok(Vec::new())
    }

    async fn forget(&self, _: RunKey, _: bool) -> Result<(), RunError> {
        Ok(())
    }
}
