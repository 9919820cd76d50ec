//! Waits for what may not be there: then for ever.

use tokio::time::{Instant, sleep_until};
use tokio_xmpp::stanzastream::{StanzaStage, StanzaToken};

use super::super::connector::Established;
use super::super::wire::ConnectError;
use super::Dialling;

pub(super) async fn arrival(dialling: &mut Option<Dialling>) -> Result<Established, ConnectError> {
    match dialling {
        Some(dialling) => dialling.await,
        None => std::future::pending().await,
    }
}

pub(super) async fn written(token: Option<&mut StanzaToken>) {
    match token {
        Some(token) => drop(token.wait_for(StanzaStage::Sent).await),
        None => std::future::pending().await,
    }
}

pub(super) async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
