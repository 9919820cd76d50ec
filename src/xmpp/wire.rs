//! The socket under a stream, and why there may be no stream on it.

use std::io;

use futures::StreamExt;
use tokio_xmpp::connect::AsyncReadAndWrite;
use tokio_xmpp::xmlstream::{FallibleStreamElement, ReadError, XmlStream, XmppStreamElement};

/// The socket, whatever it is made of.
pub(super) type Wire = Box<dyn AsyncReadAndWrite + Send + 'static>;

/// Why there is no stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Nobody there, or nobody who answers: worth another try soon.
    #[error("{0}")]
    Unreachable(String),
    /// Somebody is there, and one of us does not trust the other: somebody has to change a
    /// certificate or a configuration.
    #[error("{0}")]
    Refused(String),
    /// The account or its password is not accepted: trying again soon may get us banned.
    #[error("{0}")]
    Denied(String),
}

/// Reads the next element, whatever it is; soft time-outs are the caller's own limit's business.
pub(super) async fn next_element<Io>(
    stream: &mut XmlStream<Io, FallibleStreamElement>,
) -> Result<XmppStreamElement, ConnectError>
where
    Io: AsyncReadAndWrite,
{
    loop {
        match stream.next().await {
            Some(Ok(element)) => {
                return element
                    .into_read_error()
                    .map_err(|e| ConnectError::Unreachable(e.to_string()));
            }
            Some(Err(ReadError::SoftTimeout)) => {}
            Some(Err(e)) => return Err(ConnectError::Unreachable(e.to_string())),
            None => return Err(ConnectError::Unreachable("the server hung up".into())),
        }
    }
}

/// What a server that says something else than the protocol allows gets called.
pub(super) fn unexpected(element: &XmppStreamElement, during: &str) -> ConnectError {
    ConnectError::Unreachable(match element {
        XmppStreamElement::StreamError(error) => {
            format!("during {during} the server said: {error}")
        }
        XmppStreamElement::Starttls(_) => format!("the server refused during {during}"),
        _ => format!("the server said something unexpected during {during}"),
    })
}

/// An error of the socket.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn broken(error: io::Error) -> ConnectError {
    ConnectError::Unreachable(format!("the connection broke: {error}"))
}
