//! Where replayed documents go.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use xmpp_parsers::jid::{FullJid, Jid};

use crate::buffer::{self, Gate, Store, StoreUrl};
use crate::config::{self, Config, FileChoice, Sources};
use crate::daemon;
use crate::error::{Code, Report};
use crate::job::Owner;
use crate::xmpp::peer::{Carrier, Peer};

use super::super::args::{CarrierName, ConfigSource, Replay, Via};
use super::super::local::Local;

/// Whose requests are replayed to a bridge when nobody is named.
const NOBODY: &str = "supervisor@localhost";

/// How long an executor may take to let us in, and to answer one request.
const LIMIT: Duration = Duration::from_mins(1);

/// Where replayed documents go.
pub(super) enum Target {
    /// To a bridge in this process.
    Bridge(InProcess),
    /// To a daemon.
    Xmpp(Line),
}

/// A bridge in this process.
pub(super) struct InProcess {
    local: Local,
    /// The folder of a store that is not to last.
    _folder: Option<TempDir>,
}

impl Target {
    pub(super) async fn open(arguments: &Replay) -> Result<Self, Report> {
        match arguments.via {
            Via::Bridge => InProcess::open(arguments).await.map(Self::Bridge),
            Via::Xmpp => Line::open(arguments).await.map(Self::Xmpp),
        }
    }

    /// The reply to a document.
    pub(super) async fn send(&self, name: &str, document: &[u8]) -> Result<String, Report> {
        match self {
            Self::Bridge(bridge) => Ok(bridge.send(document).await),
            Self::Xmpp(line) => line.send(name, document).await,
        }
    }

    /// Says goodbye.
    pub(super) async fn close(self) {
        if let Self::Xmpp(line) = self {
            line.peer.close().await;
        }
    }
}

impl InProcess {
    async fn open(arguments: &Replay) -> Result<Self, Report> {
        let (config, folder) = if is_configured(&arguments.source) {
            (arguments.source.load()?.config, None)
        } else {
            let folder = TempDir::new().map_err(|error| {
                Report::new(Code::NoTemporaryRoom, "no room for a temporary store").because(error)
            })?;
            (passing_config(&folder)?, Some(folder))
        };
        let url = &config.buffer.url;
        let opened = buffer::open(url, &daemon::store_options(&config.buffer)?).await;
        let store = opened.map_err(|error| daemon::store_report(url, &error))?;
        let owner = owner(&config, arguments.supervisor.as_ref())?;
        Ok(Self {
            local: Local::new(gated(store, &config).await, &config, owner),
            _folder: folder,
        })
    }

    async fn send(&self, document: &[u8]) -> String {
        let reply = match self.local.read(document).await {
            Ok(request) => self.local.answer(request).await,
            Err(reply) => reply,
        };
        self.local.write(&reply)
    }
}

/// A store that answers in time, and never `rejected` for what is still in flight.
async fn gated(store: Arc<dyn Store>, config: &Config) -> Arc<Gate> {
    let open = move || {
        let store = store.clone();
        async { Ok(store) }
    };
    let gate = Gate::start(open, config.buffer.timeout, CancellationToken::new());
    // What is open already does not fail to open.
    let _ = gate.opened().await;
    gate
}

/// A supervisor's line to a daemon.
pub(super) struct Line {
    peer: Peer,
    carrier: Carrier,
}

impl Line {
    async fn open(arguments: &Replay) -> Result<Self, Report> {
        let config = arguments.source.load()?.config;
        let (jid, password) = account(arguments)?;
        let settings = daemon::client_settings(&config, jid, password);
        let executor = arguments.to.clone().unwrap_or(config.xmpp.jid);
        let online = Peer::connect(settings, executor.into(), LIMIT).await;
        let peer = online.map_err(|error| {
            Report::new(Code::SupervisorOffline, "the supervisor cannot go online").because(error)
        })?;
        let carrier = match arguments.carrier {
            CarrierName::Iq => Carrier::Iq,
            CarrierName::Message => Carrier::Message,
            CarrierName::Body => Carrier::Body,
        };
        Ok(Self { peer, carrier })
    }

    async fn send(&self, name: &str, document: &[u8]) -> Result<String, Report> {
        let text = str::from_utf8(document).map_err(|error| {
            let what = format!("{name}: XMPP carries UTF-8 only; --via bridge takes any bytes");
            Report::new(Code::NotUtf8, what).because(error)
        })?;
        let answer = self.peer.ask(self.carrier, text, LIMIT).await;
        answer.map_err(|error| {
            Report::new(Code::NoReply, format!("{name}: no answer")).because(error)
        })
    }
}

/// Who logs in as the supervisor; with a resource of our own unless one is named.
fn account(arguments: &Replay) -> Result<(FullJid, SecretString), Report> {
    let (Some(jid), Some(password_file)) = (&arguments.supervisor, &arguments.password_file) else {
        let what = "--via xmpp needs an account: --as JID and --password-file FILE";
        return Err(Report::new(Code::AccountMissing, what));
    };
    let jid = match jid.try_as_full() {
        Ok(full) => full.clone(),
        Err(bare) => bare
            .with_resource_str("gristmill-replay")
            .map_err(|error| {
                Report::new(Code::Internal, "the resource is invalid").because(error)
            })?,
    };
    Ok((jid, config::secrets::read(password_file)?))
}

fn is_configured(source: &ConfigSource) -> bool {
    source.config.is_some() || !source.set.is_empty()
}

/// The defaults, over a store that is gone afterwards.
fn passing_config(folder: &TempDir) -> Result<Config, Report> {
    let store = StoreUrl::Sqlite(folder.path().join("buffer.db"));
    let flags = [
        ("xmpp.jid", "executor@localhost/replay"),
        ("supervisor", &format!("[{{ jid = \"{NOBODY}\" }}]")),
        ("buffer.url", &store.to_string()),
    ];
    let loaded = config::load(&Sources {
        file: FileChoice::Without,
        flags: flags
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        environment: Vec::new(),
    });
    loaded.map(|loaded| loaded.config)
}

/// The configured supervisor's owner, else the bare JID.
fn owner(config: &Config, supervisor: Option<&Jid>) -> Result<Owner, Report> {
    let invalid = |error| Report::new(Code::SenderInvalid, format!("--as: {error}"));
    let Some(jid) = supervisor else {
        return match config.supervisor.first() {
            Some(first) => first.owner().map_err(invalid),
            None => Owner::new(NOBODY).map_err(invalid),
        };
    };
    let configured = config
        .supervisor
        .iter()
        .find(|one| one.jid.to_bare() == jid.to_bare());
    match configured {
        Some(one) => one.owner().map_err(invalid),
        None => Owner::new(jid.to_bare().to_string()).map_err(invalid),
    }
}
