//! Tells supervisors of changes unasked, as long as there is a line and nothing else to say on it.
//!
//! What is to be told stands in the store; here is never more than one lot of it for each owner.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::{Duration, sleep};
use xmpp_parsers::jid::Jid;

use crate::bridge::{Bridge, NEWS_LOT, News};
use crate::job::Owner;
use crate::vitals::Pulse;

use super::carrier::headline;
use super::settings::Settings;
use super::unasked::Mouthpiece;

/// Changes are gathered for so long.
const GATHER: Duration = Duration::from_millis(500);

/// A message is no longer than that, in bytes: an answer may have to wait behind one on a line
/// that takes 3 kB a second.
const MAX_BYTES: usize = 8 * 1024;

/// Who tells one owner's supervisors.
struct Teller {
    owner: Owner,
    /// All of them are told.
    to: Vec<Jid>,
    bridge: Arc<Bridge>,
    mouth: Mouthpiece,
}

/// Tells whoever wants to be told, for ever.
pub(super) fn start(
    settings: &Settings,
    bridge: &Arc<Bridge>,
    mouth: &Mouthpiece,
    pulse: &Pulse,
) -> JoinSet<()> {
    let mut by_owner = BTreeMap::<_, Vec<Jid>>::new();
    for peer in settings.supervisors.iter().filter(|peer| peer.notify) {
        by_owner
            .entry(peer.owner.clone())
            .or_default()
            .push(peer.jid.clone());
    }
    let max_bytes = MAX_BYTES.min(settings.max_stanza);
    let mut tellers = JoinSet::new();
    for (owner, to) in by_owner {
        let teller = Teller {
            owner,
            to,
            bridge: bridge.clone(),
            mouth: mouth.clone(),
        };
        let pulse = pulse.member();
        tellers.spawn(async move { pulse.while_waiting(teller.tell(max_bytes)).await });
    }
    tellers
}

impl Teller {
    async fn tell(mut self, max_bytes: usize) {
        let room = headline::room(&self.to, max_bytes);
        while self.mouth.online.wait_for(|online| *online).await.is_ok() {
            let news = self.bridge.news(&self.owner, room).await;
            let told: usize = news.iter().map(|news| news.jobs).sum();
            if !self.send(&news).await {
                return;
            }
            if told < NEWS_LOT {
                sleep(GATHER).await;
            }
        }
    }

    /// `false`: the line is closed for ever.
    async fn send(&self, news: &[News]) -> bool {
        for news in news {
            tracing::debug!(owner = %self.owner, document = news.document, "told unasked");
            for to in &self.to {
                if self
                    .mouth
                    .line
                    .send(headline::seal(to, news))
                    .await
                    .is_err()
                {
                    return false;
                }
            }
        }
        true
    }
}
