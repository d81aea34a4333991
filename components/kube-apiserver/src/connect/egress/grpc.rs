//! Ways through konnectivity-server by its gRPC protocol. Each connection has a tunnel of its own, as upstream's
//! single-use tunnels: a Unix socket, one stream of packets each way.

mod message;

use super::Stream;
use super::metrics::Stage;
use futures::StreamExt;
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use message::{Packet, Payload};
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex, split};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Streaming;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

/// Longest wait until the proxy's agent has connected; upstream's.
const DIAL_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for the end of a connection to be acknowledged; upstream's.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of one packet, and most that wait for a reader on this side.
const BLOCK: usize = 32 << 10;
/// Packets that may wait to be sent: more would only hide from the sender that the proxy is slow.
const WAITING: usize = 2;
/// What the proxy may send before somebody reads, bytes.
const WINDOW: u32 = 256 << 10;

/// A proxy behind a Unix socket.
#[derive(Debug)]
pub struct Proxy {
    pub socket: PathBuf,
}

/// The proxy's end of a connection.
struct Tunnel {
    connection: i64,
    out: mpsc::Sender<Packet>,
    come: Streaming<Packet>,
}

/// This side's end. The protocol has no end of one direction only: the connection ends when this is dropped.
struct Near {
    stream: DuplexStream,
    _dropped: DropGuard,
}

impl Proxy {
    /// A connection to `authority`, which an agent of the proxy makes.
    pub async fn dial(&self, authority: &str, stage: &mut Stage) -> io::Result<Box<dyn Stream>> {
        let dial = tokio::time::timeout(DIAL_TIMEOUT, self.tunnel(authority, stage));
        let tunnel = match dial.await {
            Ok(tunnel) => tunnel?,
            Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "dial timeout, backstop")),
        };
        let (near, far) = duplex(BLOCK);
        let dropped = CancellationToken::new();
        let near = Near {
            stream: near,
            _dropped: dropped.clone().drop_guard(),
        };
        // Ends with the connection: when `near` is dropped, or the proxy says so.
        tokio::spawn(tunnel.carry(far, dropped));
        Ok(Box::new(near))
    }

    async fn channel(&self) -> io::Result<Channel> {
        let name = self.socket.display();
        let socket = UnixStream::connect(&self.socket).await;
        let socket =
            socket.map_err(|error| io::Error::new(error.kind(), format!("dial unix {name}: {error}")))?;
        let mut socket = Some(TokioIo::new(socket));
        // A tunnel that has broken is not put up again: its connection is gone.
        let once = tower::service_fn(move |_: http::Uri| {
            let socket = socket.take();
            async move { socket.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
        });
        // The name is nobody's: the socket is.
        Endpoint::from_static("http://localhost")
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .connect_with_connector(once)
            .await
            .map_err(io::Error::other)
    }

    async fn tunnel(&self, authority: &str, stage: &mut Stage) -> io::Result<Tunnel> {
        let mut grpc = Grpc::new(self.channel().await?);
        grpc.ready().await.map_err(io::Error::other)?;
        *stage = Stage::Proxy;
        let (out, mut waiting) = mpsc::channel(WAITING);
        let random = rand::random_range(1..i64::MAX);
        let closed = || io::Error::new(io::ErrorKind::ConnectionAborted, "tunnel closed");
        out.send(Packet::dial(authority, random))
            .await
            .map_err(|_| closed())?;
        let packets = futures::stream::poll_fn(move |context| waiting.poll_recv(context));
        let path = PathAndQuery::from_static("/ProxyService/Proxy");
        let answer = grpc.streaming(tonic::Request::new(packets), path, ProstCodec::default());
        // The first packet may come with the answer's head only.
        let mut come: Streaming<Packet> = answer.await.map_err(|status| refused(&status))?.into_inner();
        while let Some(packet) = come.message().await.map_err(|status| refused(&status))? {
            match packet.payload {
                Some(Payload::DialResponse(answer)) if answer.random == random => {
                    if !answer.error.is_empty() {
                        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, answer.error));
                    }
                    return Ok(Tunnel {
                        connection: answer.connection,
                        out,
                        come,
                    });
                }
                Some(Payload::DialClose(close)) if close.random == random => {
                    return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "dial closed"));
                }
                _ => tracing::debug!(kind = packet.kind, "an egress proxy's packet is of no connection"),
            }
        }
        Err(closed())
    }
}

fn refused(status: &tonic::Status) -> io::Error {
    io::Error::other(format!(
        "rpc error: code = {:?} desc = {}",
        status.code(),
        status.message()
    ))
}

impl Tunnel {
    async fn carry(self, far: DuplexStream, dropped: CancellationToken) {
        let Self {
            connection,
            out,
            mut come,
        } = self;
        let (read, write) = split(far);
        let closing = async {
            send(connection, read, &out).await;
            dropped.cancelled().await;
            if out.send(Packet::close(connection)).await.is_ok() {
                tokio::time::sleep(CLOSE_TIMEOUT).await;
                tracing::debug!(connection, "an egress proxy doesn't acknowledge an end");
            }
        };
        tokio::select! {
            () = closing => {}
            () = receive(connection, &mut come, write) => {}
        }
    }
}

/// Sends what this side writes, until it writes no more or the proxy takes no more.
async fn send(connection: i64, mut read: impl AsyncRead + Unpin, out: &mpsc::Sender<Packet>) {
    let mut block = vec![0; BLOCK];
    while let Ok(length @ 1..) = read.read(&mut block).await {
        let packet = Packet::data(connection, block[..length].to_vec());
        if out.send(packet).await.is_err() {
            return;
        }
    }
}

/// Hands on what comes, until the proxy says that the connection has ended, or is gone. While nobody reads nothing is taken
/// from the proxy.
async fn receive(connection: i64, come: &mut Streaming<Packet>, write: impl AsyncWrite + Unpin) {
    let mut write = Some(write);
    while let Some(packet) = come.next().await {
        match packet {
            Ok(Packet {
                payload: Some(Payload::Data(data)),
                ..
            }) if data.connection == connection => {
                if let Some(open) = &mut write
                    && open.write_all(&data.data).await.is_err()
                {
                    // Dropped on this side; the acknowledgement is still to come.
                    write = None;
                }
            }
            Ok(Packet {
                payload: Some(Payload::CloseResponse(end)),
                ..
            }) if end.connection == connection => {
                if !end.error.is_empty() {
                    tracing::debug!(error = end.error, "a connection by an egress proxy ended");
                }
                return;
            }
            Ok(Packet { kind, .. }) => {
                tracing::debug!(kind, "an egress proxy's packet is of no connection");
            }
            Err(status) => {
                tracing::debug!(%status, "a tunnel of an egress proxy ended");
                return;
            }
        }
    }
}

impl AsyncRead for Near {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Near {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
