//! A stanza stream's wish for a connection, and how to be rid of it.
//!
//! The worker of a stream that is thrown away while it wants a connection ends only once it gets
//! one, and panics when the wish is dropped. So it is given one that is already closed.

use std::io::Cursor;

use futures::{FutureExt, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::unconstrained;
use tokio_xmpp::stanzastream::{Connection, StanzaStream, XmppStream};
use tokio_xmpp::xmlstream::{ReadError, StreamHeader, Timeouts, initiate_stream};
use xmpp_parsers::jid::BareJid;
use xmpp_parsers::ns;
use xmpp_parsers::stream_features::StreamFeatures;

use super::wire::Wire;

/// Where a stream takes its next connection from.
pub(super) type Wish = oneshot::Sender<Connection>;

/// What a server says that opens a stream, and then closes it.
const HEADER: &[u8] = b"<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' version='1.0' id='closed'>";
const FEATURES: &[u8] = b"<stream:features>\
    <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>";
const FOOTER: &[u8] = b"</stream:stream>";

/// Where a stream's wishes arrive; none of them is ever dropped.
pub(super) struct Wishes(mpsc::Receiver<Wish>);

impl Wishes {
    /// A new stream, and its wishes; the first one is there at once.
    pub(super) fn of_new_stream(queue_depth: usize) -> (StanzaStream, Self) {
        // A stream has one wish at a time.
        let (sender, wishes) = mpsc::channel(1);
        let connector = move |_location, wish| {
            if let Err(unheard) = sender.try_send(wish) {
                release(unheard.into_inner());
            }
        };
        let stream = StanzaStream::new(Box::new(connector), queue_depth);
        (stream, Self(wishes))
    }

    /// The next wish; `None` when the stream has ended.
    pub(super) async fn next(&mut self) -> Option<Wish> {
        self.0.recv().await
    }
}

impl Drop for Wishes {
    fn drop(&mut self) {
        self.0.close();
        while let Ok(wish) = self.0.try_recv() {
            release(wish);
        }
    }
}

/// Lets the worker of a stream that nobody holds any more come to its end.
pub(super) fn release(wish: Wish) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    runtime.spawn(async move {
        if let Some(connection) = closed_connection().await {
            let _ = wish.send(connection);
        }
    });
}

/// Why a stream's reader cannot read this, in its words; `None` where it can.
pub(super) fn why_unreadable(header: Option<&[u8]>, said: &[u8]) -> Option<String> {
    let read = async {
        let (_, mut stream) = stream_of(header.unwrap_or(HEADER), said).await?;
        loop {
            match stream.next().await? {
                Err(ReadError::HardError(error)) => return Some(error.to_string()),
                Err(ReadError::SoftTimeout | ReadError::StreamFooterReceived) => return None,
                Ok(_) | Err(ReadError::ParseError(_)) => {}
            }
        }
    };
    // All of it is in memory.
    unconstrained(read).now_or_never().flatten()
}

/// A stream on which the server said this and closed it.
async fn stream_of(header: &[u8], said: &[u8]) -> Option<(StreamFeatures, XmppStream)> {
    let said = Cursor::new([header, FEATURES, said, FOOTER].concat());
    let wire: Wire = Box::new(tokio::io::join(said, tokio::io::sink()));
    let header = StreamHeader::default();
    let pending = initiate_stream(wire, ns::JABBER_CLIENT, header, Timeouts::tight()).await;
    pending.ok()?.recv_features().await.ok()
}

async fn closed_connection() -> Option<Connection> {
    let (features, stream) = stream_of(HEADER, b"").await?;
    let identity = BareJid::new("closed.invalid").ok()?.into();
    Some(Connection {
        stream,
        features,
        identity,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_whose_wish_is_released_ends() {
        let (stream, mut wishes) = Wishes::of_new_stream(16);
        let wish = wishes.next().await.unwrap();
        drop(stream);
        release(wish);
        // The worker owns the sender of wishes.
        assert!(wishes.next().await.is_none());
    }

    #[tokio::test]
    async fn a_closed_connection_cannot_be_bound() {
        let mut connection = closed_connection().await.unwrap();
        assert!(connection.features.can_bind());
        assert!(matches!(connection.stream.next().await, Some(Err(_))));
    }

    #[tokio::test]
    async fn what_a_server_says_is_read_and_what_is_no_xml_is_told_why_not() {
        let header = b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xml:lang='en' \
            id='1' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' from='here'>";
        for said in [
            "",
            " ",
            "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
            "<a xmlns='urn:xmpp:sm:3' h='1'/>",
            "<iq type='result' id='1'/>",
            "<message><x xmlns='urn:x'/></message> <presence/>",
            "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
            "</stream:stream>",
        ] {
            assert_eq!(
                why_unreadable(Some(header), said.as_bytes()),
                None,
                "{said}"
            );
        }
        let said = b"<message><a></b></message>";
        for header in [None, Some(&header[..])] {
            assert!(why_unreadable(header, said).is_some());
        }
    }
}
