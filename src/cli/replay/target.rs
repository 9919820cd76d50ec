//! Where replayed documents go.

use std::sync::Arc;

use tempfile::TempDir;
use tokio::time::Instant;
use xmpp_parsers::jid::Jid;

use crate::bridge::{Bridge, Origin, ReplyRoom};
use crate::buffer::{self, StoreUrl};
use crate::config::{self, Config, FileChoice, Sources};
use crate::daemon::{self, SystemClock};
use crate::error::{Kind, Report};
use crate::job::Owner;

use super::super::args::{ConfigSource, Replay, Via};
use super::documents::Document;

/// Whose requests are replayed to a bridge when nobody is named.
const NOBODY: &str = "supervisor@localhost";

/// Where replayed documents go.
pub(super) enum Target {
    Bridge(Local),
}

/// A bridge in this process.
pub(super) struct Local {
    bridge: Bridge,
    owner: Owner,
    /// The folder of a store that is not to last.
    _folder: Option<TempDir>,
}

impl Target {
    pub(super) async fn open(arguments: &Replay) -> Result<Self, Report> {
        match arguments.via {
            Via::Bridge => Local::open(arguments).await.map(Self::Bridge),
        }
    }

    /// The reply, where there is to be one.
    pub(super) async fn send(&mut self, document: &Document) -> Result<Option<String>, Report> {
        match self {
            Self::Bridge(local) => Ok(Some(local.send(document).await)),
        }
    }
}

impl Local {
    async fn open(arguments: &Replay) -> Result<Self, Report> {
        let (config, folder) = if is_configured(&arguments.source) {
            (arguments.source.load()?.config, None)
        } else {
            let folder = TempDir::new().map_err(|error| {
                Report::new(Kind::Failed, "no room for a temporary store").because(error)
            })?;
            (passing_config(&folder)?, Some(folder))
        };
        let url = &config.buffer.url;
        let opened = buffer::open(url, &daemon::store_options(&config.buffer)?).await;
        let store = opened.map_err(|error| daemon::store_report(url, &error))?;
        let settings = daemon::bridge_settings(&config);
        Ok(Self {
            bridge: Bridge::new(store, Arc::new(SystemClock), settings),
            owner: owner(&config, arguments.supervisor.as_ref())?,
            _folder: folder,
        })
    }

    async fn send(&self, document: &Document) -> String {
        let origin = Origin {
            owner: self.owner.clone(),
            arrived: Instant::now(),
            sent_at: None,
            stanza_id: None,
            room: ReplyRoom::ENDLESS,
        };
        let reply = match self.bridge.read(&document.text, &origin) {
            Ok(request) => self.bridge.answer(request, &origin).await,
            Err(reply) => reply,
        };
        self.bridge.write(&reply)
    }
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
    let invalid = |error| Report::new(Kind::Usage, format!("--as: {error}"));
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
