//! A service on a real socket, and a client that can be as rude as it likes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use server::app::AppState;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running service.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Tells it to end.
    pub stop: oneshot::Sender<()>,
    /// Its end.
    pub ended: JoinHandle<anyhow::Result<()>>,
}

/// Starts a service on a free port.
///
/// # Panics
/// When the system gives no port.
pub async fn start(state: AppState, grace: Duration) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let (stop, stopped) = oneshot::channel();
    let shutdown = async move {
        let _ = stopped.await; // A dropped sender ends the service too.
        Duration::ZERO
    };
    let ended = tokio::spawn(server::serve::run(listener, state, shutdown, grace));
    Running {
        address,
        stop,
        ended,
    }
}

/// Sends raw bytes, and gives everything that comes back until the connection ends.
///
/// # Panics
/// When nobody listens.
pub fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("the service listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a timeout");
    let _ = stream.write_all(bytes); // A service that had enough may close; what it said is still there.
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// A whole JSON request, the connection to be closed after it.
pub fn raw_post(body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST /extract HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}
