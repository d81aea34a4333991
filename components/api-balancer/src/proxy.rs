//! Accepts connections and passes bytes.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::backend::{Backends, Connection};
use crate::handover::{Pair, Seat};

/// Unacknowledged bytes are given up after this time: a host without power sends no FIN.
const USER_TIMEOUT: Duration = Duration::from_secs(3);
const BUFFER: usize = 16 * 1024;

/// Accepts clients until the future is dropped.
pub async fn serve(
    listener: TcpListener,
    backends: watch::Receiver<Arc<Backends>>,
    connect_timeout: Duration,
    seat: Seat,
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
        let seat = seat.clone();
        // A connection has no state that outlives it; it ends with its sockets, with the process or in its seat.
        tokio::spawn(async move {
            tracing::debug!(%peer, "connection accepted");
            let ended = match connect(&backends, seed, connect_timeout).await {
                Some((server, open)) => carry(client, server, open, seat).await,
                None => {
                    tracing::warn!(backends = backends.list.len(), "no backend accepts connections");
                    reset(&client);
                    Err(Ended::NoBackend)
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%peer, %error, "connection ended");
            }
        });
    }
}

/// Goes on with the connections of the process before; those to backends that are no longer there end.
pub fn resume(pairs: Vec<Pair>, backends: &Backends, seat: &Seat) {
    for pair in pairs {
        let known = backends
            .list
            .iter()
            .find(|backend| backend.address == pair.backend);
        let streams = pair
            .client
            .set_nonblocking(true)
            .and_then(|()| pair.server.set_nonblocking(true))
            .and_then(|()| {
                Ok((
                    TcpStream::from_std(pair.client)?,
                    TcpStream::from_std(pair.server)?,
                ))
            });
        match (known, streams) {
            (Some(backend), Ok((client, server))) => {
                let (open, seat) = (backend.open(), seat.clone());
                tokio::spawn(async move {
                    if let Err(error) = carry(client, server, open, seat).await {
                        tracing::debug!(%error, "connection ended");
                    }
                });
            }
            (None, Ok((client, server))) => {
                tracing::info!(backend = %pair.backend, "its connection ends: the backend was removed");
                reset(&client);
                reset(&server);
            }
            (_, Err(error)) => tracing::warn!(%error, "a connection of the process before is not usable"),
        }
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

/// Passes bytes both ways until both sides have ended, the backend falls out or the connection is handed over.
async fn carry(
    mut client: TcpStream,
    mut server: TcpStream,
    mut open: Connection,
    seat: Seat,
) -> Result<(), Ended> {
    let address = open.backend().address.clone();
    // Failing to set an option costs latency or a slower failover, not the connection.
    for stream in [&client, &server] {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
    }
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let both = async {
        tokio::try_join!(
            pass(from_client, to_server, seat.clone()),
            pass(from_server, to_client, seat.clone())
        )
    };
    let ended = tokio::select! {
        passed = both => match passed {
            Ok((Rest::Ended, Rest::Ended)) => return Ok(()),
            Ok(_) => {
                if let (Ok(client), Ok(server)) = (client.into_std(), server.into_std()) {
                    seat.hand_over(Pair { backend: address, client, server }).await;
                }
                return Ok(());
            }
            Err(error) => Ended::Broken(address, error),
        },
        () = open.cut() => Ended::Cut(address),
    };
    // A reset, so that both sides notice at once instead of waiting for an answer.
    reset(&client);
    reset(&server);
    Err(ended)
}

/// Why no more bytes pass in one direction.
enum Rest {
    /// The sender has ended, and the receiver was told.
    Ended,
    /// Everything that was read has been written, and the next process reads on.
    Held,
}

async fn pass(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut seat: Seat) -> std::io::Result<Rest> {
    let mut buffer = vec![0; BUFFER];
    loop {
        // Only between a write and the next read nothing is in the buffer.
        let count = tokio::select! {
            read = from.read(&mut buffer) => read?,
            () = seat.hold() => return Ok(Rest::Held),
        };
        if count == 0 {
            to.shutdown().await?;
            return Ok(Rest::Ended);
        }
        to.write_all(&buffer[..count]).await?;
    }
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
