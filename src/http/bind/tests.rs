use std::os::unix::net::UnixListener as StdListener;

use axum::serve::Listener as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::*;

fn socket_in(folder: &tempfile::TempDir) -> (PathBuf, Listen) {
    let path = folder.path().join("http.sock");
    (path.clone(), Listen::Unix(path))
}

#[tokio::test]
async fn a_socket_that_a_dead_daemon_left_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (path, listen) = socket_in(&folder);
    drop(StdListener::bind(&path).unwrap());
    let mut listener = Listener::bind(&listen).await.unwrap().unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, SOCKET_MODE);
    let (accepted, connected) = tokio::join!(listener.accept(), UnixStream::connect(&path));
    drop((accepted, connected.unwrap()));
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_of_a_living_process_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (path, listen) = socket_in(&folder);
    let other = StdListener::bind(&path).unwrap();
    let error = Listener::bind(&listen).await.err().unwrap();
    assert!(error.is_taken(), "{error}");
    assert!(path.exists());
    drop(other);
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (path, listen) = socket_in(&folder);
    fs::write(&path, "precious").unwrap();
    assert!(Listener::bind(&listen).await.is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

async fn on_tcp() -> (Listener, std::net::SocketAddr) {
    let listen = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(&listen).await.unwrap().unwrap();
    let Place::Tcp(tcp) = &listener.place else {
        panic!("no TCP");
    };
    let address = tcp.local_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn connections_above_the_limit_wait() {
    let (mut listener, address) = on_tcp().await;
    let mut held = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        held.push((
            TcpStream::connect(address).await.unwrap(),
            listener.accept().await,
        ));
    }
    let _one_more = TcpStream::connect(address).await.unwrap();
    let moment = Duration::from_millis(200);
    assert!(timeout(moment, listener.accept()).await.is_err());
    held.pop();
    listener.accept().await;
}

/// Whoever says nothing, or says it slowly, is not waited for.
#[tokio::test]
async fn a_connection_ends_by_itself() {
    let (mut listener, address) = on_tcp().await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let (mut connection, ()) = listener.accept().await;
    client.write_all(b"G").await.unwrap();
    assert_eq!(connection.read_u8().await.unwrap(), b'G');
    tokio::time::pause();
    let error = connection.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let error = connection.write_u8(0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}
