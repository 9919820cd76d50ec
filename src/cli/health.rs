//! What a running daemon tells of itself: a client of its health and metrics.

use std::io::{Error, ErrorKind};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::http::Listen;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(5);

/// The longest answer that is read, in bytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Asks the daemon once; `None`: its door is off.
pub(super) async fn get(listen: &Listen, path: &str) -> Result<Option<Answer>, Error> {
    let asked = async {
        match listen {
            Listen::Off => Ok(None),
            Listen::Tcp(address) => ask(TcpStream::connect(address).await?, path)
                .await
                .map(Some),
            Listen::Unix(socket) => ask(UnixStream::connect(socket).await?, path)
                .await
                .map(Some),
        }
    };
    timeout(LIMIT, asked).await.unwrap_or_else(|_| {
        let why = format!("no answer within {} s", LIMIT.as_secs());
        Err(Error::new(ErrorKind::TimedOut, why))
    })
}

/// A connection is for one answer and ends with it, so its length need not be known.
async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> Result<Answer, Error> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.take(MAX_BYTES).read_to_string(&mut text).await?;
    read(&text).ok_or_else(|| Error::new(ErrorKind::InvalidData, "this is no answer in HTTP"))
}

fn read(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    Some(Answer {
        status: status.parse().ok()?,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_code_and_its_body() {
        let answer = read("HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\n{}\n").unwrap();
        assert_eq!((answer.status, &*answer.body), (503, "{}\n"));
        for nonsense in [
            "",
            "HTTP/1.1 200 OK",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 x\r\n\r\n",
        ] {
            assert_eq!(read(nonsense), None, "{nonsense:?}");
        }
    }
}
