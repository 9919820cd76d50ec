//! Frames: JSON with its length before it.

use std::io;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;
use tokio_util::bytes::Bytes;
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use super::{MAX_FRAME_BYTES, MAX_GREETING_BYTES, WRITE_LIMIT};

/// Why no frame came or went.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other side is gone.
    #[error("the connection ended")]
    Ended,
    /// The connection broke, or a frame announces to be too long.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// What came is not what was expected. Its own words may quote a job.
    #[error("what came cannot be read ({:?} error at byte {})", .0.classify(), .0.column())]
    Unreadable(#[from] serde_json::Error),
    /// The other side does nothing.
    #[error("nothing came or went for {0:?}")]
    Late(Duration),
    /// What is to be sent does not fit.
    #[error("{0} bytes are more than fit into one frame ({MAX_FRAME_BYTES})")]
    TooLong(usize),
}

/// Where frames come from.
pub struct Receiver(FramedRead<OwnedReadHalf, LengthDelimitedCodec>);

/// Where frames go.
pub struct Sender(FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>);

/// Both ends of a connection, for its greeting.
pub fn halves(stream: UnixStream) -> (Receiver, Sender) {
    let (read, write) = stream.into_split();
    let codec = |most| {
        LengthDelimitedCodec::builder()
            .max_frame_length(most)
            .new_codec()
    };
    (
        Receiver(FramedRead::new(read, codec(MAX_GREETING_BYTES))),
        Sender(FramedWrite::new(write, codec(MAX_FRAME_BYTES))),
    )
}

impl Receiver {
    /// The greeting is over: frames may be long from here on.
    pub fn expect_questions(&mut self) {
        self.0.decoder_mut().set_max_frame_length(MAX_FRAME_BYTES);
    }

    /// The next frame. What came of one is kept when this is cancelled.
    pub async fn next<T: DeserializeOwned>(&mut self, limit: Duration) -> Result<T, FrameError> {
        let frame = timeout(limit, self.0.next()).await;
        let frame = frame.map_err(|_| FrameError::Late(limit))?;
        Ok(serde_json::from_slice(&frame.ok_or(FrameError::Ended)??)?)
    }
}

impl Sender {
    /// Sends what [`encode`] made.
    pub async fn send(&mut self, frame: Vec<u8>) -> Result<(), FrameError> {
        let sent = timeout(WRITE_LIMIT, self.0.send(Bytes::from(frame))).await;
        Ok(sent.map_err(|_| FrameError::Late(WRITE_LIMIT))??)
    }
}

/// The content of a frame.
pub fn encode(value: &impl Serialize) -> Result<Vec<u8>, FrameError> {
    let frame = serde_json::to_vec(value)?;
    if frame.len() > MAX_FRAME_BYTES {
        return Err(FrameError::TooLong(frame.len()));
    }
    Ok(frame)
}
