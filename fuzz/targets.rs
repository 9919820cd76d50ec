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
use gristmill::job::{RunKey, RunOrder, RunReport, StoreId};
use gristmill::runner::socket::{Service, Users, listen, serve};
use gristmill::runner::{News, RunError, RunState, Runner};
use gristmill::windmill::{Limits, read_call, read_job, read_reply, write_call};
use gristmill::xmpp::guard::{Guard, GuardLimits, GuardReport};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

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

/// A stream from an XMPP server: what goes out does not depend on the pieces in which it came, and
/// is not much longer.
pub fn guard(bytes: &[u8]) {
    let limits = GuardLimits {
        depth: 5,
        attribute_bytes: 30,
        name_bytes: 20,
        tag_bytes: 120,
        elements: 12,
        stanza_bytes: 400,
    };
    let filtered = |size: usize| {
        let (mut guard, mut out) = (Guard::new(limits, GuardReport::default()), Vec::new());
        for piece in bytes.chunks(size) {
            guard.feed(piece, &mut out);
        }
        out
    };
    let whole = filtered(bytes.len().max(1));
    assert_eq!(whole, filtered(1));
    assert_eq!(whole, filtered(7));
    // A marker for each stanza that is cut, and what it closes.
    assert!(whole.len() <= 64 * (bytes.len() + 16), "{}", whole.len());
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
            users: Users::ourselves(),
        };
        runtime.block_on(async {
            let listener = listen(&socket).expect("a listener");
            tokio::spawn(serve(listener, service, CancellationToken::new()));
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

    async fn news(&self, _: RunKey, _: Option<u64>) -> Result<News, RunError> {
        Ok(News::default())
    }

    async fn runs(&self) -> Result<Vec<RunKey>, RunError> {
        Ok(Vec::new())
    }

    async fn forget(&self, _: RunKey, _: bool) -> Result<(), RunError> {
        Ok(())
    }
}
