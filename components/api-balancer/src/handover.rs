//! A restart that no client notices: systemd keeps the sockets in the unit's descriptor store, the next process goes on
//! with them. The listener lies there from the start, so that a crash refuses no connection either; open connections
//! are put there when the process is asked to end.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::sync::{mpsc, watch};

const LISTENER: &str = "listener";
const CLIENT: &str = "client";
const SERVER: &str = "server";
/// Bytes that are on their way have this long to reach the other side; systemd waits longer for the process to end.
const LIMIT: Duration = Duration::from_secs(1);
/// Connections that have stopped wait here to be handed over; their tasks end one after the other.
const QUEUE: usize = 64;

/// An open connection with nothing on its way inside this process.
pub struct Pair {
    /// The backend's address as configured.
    pub backend: String,
    pub client: TcpStream,
    pub server: TcpStream,
}

/// What the process before left.
#[derive(Default)]
pub struct Inherited {
    pub listener: Option<TcpListener>,
    pub pairs: Vec<Pair>,
    /// What has to be taken out of the store.
    names: Vec<String>,
    /// The listener lies there already.
    kept: bool,
}

impl Inherited {
    /// Takes the descriptors that systemd passed. Call it before any thread is started: it changes the environment.
    pub fn from_environment() -> Inherited {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut descriptors = ListenFd::from_env();
        let mut found = Inherited::default();
        let mut halves: BTreeMap<String, (Option<TcpStream>, Option<(String, TcpStream)>)> = BTreeMap::new();
        for (index, name) in names.split(':').enumerate().take(descriptors.len()) {
            let mut parts = name.splitn(3, '.');
            let (kind, number) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let taken = match kind {
                LISTENER => descriptors
                    .take_tcp_listener(index)
                    .map(|listener| found.listener = listener),
                CLIENT | SERVER => stream(&mut descriptors, index).map(|stream| {
                    found.names.push(name.to_owned());
                    let (client, server) = halves.entry(number.to_owned()).or_default();
                    match kind {
                        CLIENT => *client = stream,
                        _ => {
                            *server = stream.map(|stream| (backend(parts.next().unwrap_or_default()), stream))
                        }
                    }
                }),
                _ => Ok(()),
            };
            if let Err(error) = taken {
                tracing::warn!(%error, name, "a descriptor of the process before is not usable");
            }
        }
        // systemd drops a socket whose peer has gone; what is left of such a pair ends here.
        found.pairs = halves
            .into_values()
            .filter_map(|halves| match halves {
                (Some(client), Some((backend, server))) => Some(Pair {
                    backend,
                    client,
                    server,
                }),
                _ => None,
            })
            .collect();
        found
    }

    /// The listener of the process before, unless this one is to listen elsewhere.
    pub fn take_listener(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let listener = self.listener.take()?;
        let same = listener.local_addr().is_ok_and(|bound| bound == address)
            && listener.set_nonblocking(true).is_ok();
        self.kept = same;
        if !same {
            self.names.push(LISTENER.to_owned());
        }
        same.then_some(listener)
    }

    /// Takes the connections out of the store: what lies there stays open whatever this process does. Says that the
    /// process is ready.
    pub fn accepted(&self, listener: &impl AsFd) {
        let mut done = Ok(());
        for name in &self.names {
            let forget = [NotifyState::FdStoreRemove, NotifyState::FdName(name)];
            done = done.and_then(|()| sd_notify::notify(&forget));
        }
        if !self.kept {
            done = done.and_then(|()| keep(LISTENER, listener.as_fd()));
        }
        if let Err(error) = done.and_then(|()| sd_notify::notify(&[NotifyState::Ready])) {
            tracing::warn!(%error, "cannot notify systemd");
        }
    }
}

fn stream(descriptors: &mut ListenFd, index: usize) -> std::io::Result<Option<TcpStream>> {
    // IPv4 stands for both families there.
    descriptors.take_custom(
        index,
        socket2::Domain::IPV4.into(),
        socket2::Type::STREAM.into(),
        "TCP connection",
    )
}

/// A descriptor's name may hold anything but a colon.
fn label(backend: &str) -> String {
    backend.replace(':', "/")
}

fn backend(label: &str) -> String {
    label.replace('/', ":")
}

fn keep(name: &str, descriptor: BorrowedFd<'_>) -> std::io::Result<()> {
    sd_notify::notify_with_fds(&[NotifyState::FdStore, NotifyState::FdName(name)], &[descriptor])
}

/// Tells connections to stop and collects them.
pub struct Handover {
    hold: watch::Sender<bool>,
    held: mpsc::Receiver<Pair>,
    /// Dropped first: the queue ends with the last connection.
    seat: Seat,
}

/// A connection's end of it.
#[derive(Clone)]
pub struct Seat {
    hold: watch::Receiver<bool>,
    held: mpsc::Sender<Pair>,
}

impl Handover {
    pub fn new() -> Handover {
        let (hold, holding) = watch::channel(false);
        let (sender, held) = mpsc::channel(QUEUE);
        Handover {
            hold,
            held,
            seat: Seat {
                hold: holding,
                held: sender,
            },
        }
    }

    pub fn seat(&self) -> Seat {
        self.seat.clone()
    }

    /// Gives all connections to systemd; those that do not come to rest in time are lost.
    pub async fn finish(self) {
        let Handover { hold, mut held, seat } = self;
        drop(seat);
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return;
        }
        hold.send_replace(true);
        let mut count = 0usize;
        let collect = async {
            while let Some(pair) = held.recv().await {
                count += 1;
                let kept = keep(&format!("{CLIENT}.{count}"), pair.client.as_fd()).and_then(|()| {
                    keep(
                        &format!("{SERVER}.{count}.{}", label(&pair.backend)),
                        pair.server.as_fd(),
                    )
                });
                if let Err(error) = kept {
                    tracing::warn!(%error, "cannot hand a connection over");
                }
            }
        };
        let all = tokio::time::timeout(LIMIT, collect).await.is_ok();
        tracing::info!(connections = count, all, "connections handed over");
        // The sockets close with this process; by then systemd must have taken them.
        match tokio::task::spawn_blocking(barrier).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "systemd may not have taken the connections"),
            Err(error) => tracing::warn!(%error, "systemd was not waited for"),
        }
    }
}

impl Default for Handover {
    fn default() -> Handover {
        Handover::new()
    }
}

impl Seat {
    /// Returns when the connection has to come to rest.
    pub async fn hold(&mut self) {
        if self.hold.wait_for(|hold| *hold).await.is_err() {
            // Nobody will collect it any more.
            std::future::pending().await
        }
    }

    pub async fn hand_over(&self, pair: Pair) {
        // Nobody collects any more: the process ends, and the connection with it.
        let _ = self.held.send(pair).await;
    }
}

/// Returns when systemd has read everything that was sent before: it closes the descriptor that came along.
fn barrier() -> std::io::Result<()> {
    let (mut reader, writer) = std::io::pipe()?;
    sd_notify::notify_with_fds(&[NotifyState::Custom("BARRIER=1")], &[writer.as_fd()])?;
    drop(writer);
    reader.read(&mut [0]).map(drop)
}
