//! A bridge in this process, for documents that come by the command line.

use std::sync::Arc;

use tokio::time::Instant;

use crate::bridge::{Bridge, Origin, ReplyRoom};
use crate::buffer::TaskBuffer;
use crate::config::Config;
use crate::daemon::{self, SystemClock};
use crate::job::Owner;
use crate::windmill::{Reply, Request};

/// A bridge over an open store, for one owner's requests.
pub(super) struct Local {
    bridge: Bridge,
    owner: Owner,
}

impl Local {
    pub(super) fn new(store: Arc<dyn TaskBuffer>, config: &Config, owner: Owner) -> Self {
        let settings = daemon::bridge_settings(config);
        Self {
            bridge: Bridge::new(store, Arc::new(SystemClock), settings),
            owner,
        }
    }

    /// The request that a document is, or the reply that says why it is none.
    pub(super) async fn read(&self, document: &[u8]) -> Result<Request, Reply> {
        self.bridge.read(document, &self.origin()).await
    }

    pub(super) async fn answer(&self, request: Request) -> Reply {
        self.bridge.answer(request, &self.origin()).await
    }

    pub(super) fn write(&self, reply: &Reply) -> String {
        self.bridge.write(reply)
    }

    fn origin(&self) -> Origin {
        Origin {
            owner: self.owner.clone(),
            arrived: Instant::now(),
            sent_at: None,
            line_empty_at: None,
            stanza_id: None,
            room: ReplyRoom::ENDLESS,
        }
    }
}
