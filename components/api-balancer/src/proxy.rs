//! Accepts connections and passes bytes.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::backend::{Backends, Connection};

/// Unacknowledged bytes are given up after this time: a host without power sends no FIN.
const USER_TIMEOUT: Duration = Duration::from_secs(3);

/// Accepts clients until the future is dropped.
pub async fn serve(
    listener: TcpListener,
    backends: watch::Receiver<Arc<Backends>>,
    connect_timeout: Duration,
) {
    let random = RandomState::new();
    let mut count = 0u64;
    loop {
        let (client, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors or memory: nothing to do but to let others finish.
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        count = count.wrapping_add(1);
        let seed = random.hash_one(count);
        let backends = backends.borrow().clone();
        // A connection has no state that outlives it; it ends with its sockets or with the process.
        tokio::spawn(async move {
            tracing::debug!(%peer, "connection accepted");
            if let Err(error) = connection(client, &backends, seed, connect_timeout).await {
                tracing::debug!(%peer, %error, "connection ended");
            }
        });
    }
}

#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("no backend accepts connections")]
    NoBackend,
    #[error("backend {0} fell out")]
    Cut(String),
    #[error("backend {0}: {1}")]
    Broken(String, std::io::Error),
}

async fn connection(
    mut client: TcpStream,
    backends: &Backends,
    seed: u64,
    connect_timeout: Duration,
) -> Result<(), Ended> {
    let Some((mut server, mut open)) = connect(backends, seed, connect_timeout).await else {
        tracing::warn!(backends = backends.list.len(), "no backend accepts connections");
        reset(&client);
        return Err(Ended::NoBackend);
    };
    let address = open.backend().address.clone();
    // Failing to set an option costs latency or a slower failover, not the connection.
    for stream in [&client, &server] {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
    }
    let ended = tokio::select! {
        copied = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut server, 16 * 1024, 16 * 1024) => match copied {
            Ok(_) => return Ok(()),
            Err(error) => Ended::Broken(address, error),
        },
        () = open.cut() => Ended::Cut(address),
    };
    // A reset, so that both sides notice at once instead of waiting for an answer.
    reset(&client);
    reset(&server);
    Err(ended)
}

/// Connects to the first backend that accepts. No byte has been read from the client so far, so none is lost.
async fn connect(
    backends: &Backends,
    seed: u64,
    connect_timeout: Duration,
) -> Option<(TcpStream, Connection)> {
    for backend in backends.in_order(seed) {
        // Counted and subscribed before the connect, so that no cut is missed.
        let open = backend.open();
        match timeout(
            connect_timeout,
            TcpStream::connect((backend.host.as_str(), backend.port)),
        )
        .await
        {
            Ok(Ok(stream)) => {
                watch_peer(&stream);
                return Some((stream, open));
            }
            Ok(Err(error)) => tracing::debug!(backend = %backend.address, %error, "connect failed"),
            Err(_) => tracing::debug!(backend = %backend.address, "connect timed out"),
        }
        // A probe decides whether it is out; it is not taken on one client's word.
        backend.probe_now.notify_one();
    }
    None
}

fn watch_peer(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(2))
        .with_retries(3);
    let set = socket
        .set_tcp_user_timeout(Some(USER_TIMEOUT))
        .and_then(|()| socket.set_tcp_keepalive(&keepalive));
    if let Err(error) = set {
        tracing::debug!(%error, "cannot set TCP timeouts");
    }
}

/// Makes the coming close a reset.
fn reset(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "cannot set SO_LINGER");
    }
}
