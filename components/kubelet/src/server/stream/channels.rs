//! exec and attach over WebSocket (`v5.channel.k8s.io`, `v4.channel.k8s.io`): the first byte of a message is
//! its channel.

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::secure::StreamAuthority;
use super::{Wanted, upstream};
use crate::server::refuse;
use crate::server::spdy::{Event, Receiver, Sender};

const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
/// The error stream carries a Status in this version of the SPDY protocol.
const SPDY_PROTOCOL: &str = "v4.channel.k8s.io";

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// Version 5: the next byte is a channel on which nothing more will come.
const CLOSE: u8 = 255;
/// Pings that wait for an answer; the runtime sends few, if any.
const PINGS: usize = 8;

pub(super) async fn serve(
    url: &str,
    trusted: &StreamAuthority,
    wanted: Wanted,
    request: Request,
) -> Response {
    let upgrade = match WebSocketUpgrade::from_request(request, &()).await {
        Ok(upgrade) => upgrade.protocols(PROTOCOLS),
        Err(rejection) => return rejection.into_response(),
    };
    let runtime = match upstream::connect(url, trusted, SPDY_PROTOCOL).await {
        Ok(runtime) => runtime,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    upgrade.on_upgrade(move |socket| async move {
        if let Err(error) = translate(socket, runtime, wanted).await {
            tracing::debug!(%error, "stream ended");
        }
    })
}

/// The SPDY streams by channel.
#[derive(Clone, Copy, Debug, Default)]
struct Streams {
    stdin: Option<u32>,
    stdout: Option<u32>,
    stderr: Option<u32>,
    error: u32,
    resize: Option<u32>,
}

impl Streams {
    async fn open<W: AsyncWrite + Unpin>(sender: &mut Sender<W>, wanted: Wanted) -> std::io::Result<Self> {
        let mut streams = Streams {
            error: sender.open(&[("streamType", "error")]).await?,
            ..Streams::default()
        };
        if wanted.stdin {
            streams.stdin = Some(sender.open(&[("streamType", "stdin")]).await?);
        }
        if wanted.stdout {
            streams.stdout = Some(sender.open(&[("streamType", "stdout")]).await?);
        }
        if wanted.stderr {
            streams.stderr = Some(sender.open(&[("streamType", "stderr")]).await?);
        }
        if wanted.tty {
            streams.resize = Some(sender.open(&[("streamType", "resize")]).await?);
        }
        Ok(streams)
    }

    /// The stream that a client may write to by this channel.
    fn input(&self, channel: u8) -> Option<u32> {
        match channel {
            STDIN => self.stdin,
            RESIZE => self.resize,
            _ => None,
        }
    }

    fn channel(&self, stream: u32) -> Option<u8> {
        [
            (Some(self.error), ERROR),
            (self.stdout, STDOUT),
            (self.stderr, STDERR),
        ]
        .into_iter()
        .find(|(own, _)| *own == Some(stream))
        .map(|(_, channel)| channel)
    }

    /// The streams on which the runtime sends.
    fn outputs(&self) -> Vec<u32> {
        [Some(self.error), self.stdout, self.stderr]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// Both directions at once: a client that only sends must not keep the output from flowing, or both would
/// wait for each other.
async fn translate(
    socket: WebSocket,
    runtime: impl AsyncRead + AsyncWrite + Unpin,
    wanted: Wanted,
) -> anyhow::Result<()> {
    let (reader, writer) = tokio::io::split(runtime);
    let mut sender = Sender::new(writer);
    let streams = Streams::open(&mut sender, wanted).await?;
    let (mut to_client, from_client) = socket.split();
    // Tells the client that the connection is made.
    let first = if wanted.stdout {
        STDOUT
    } else if wanted.stderr {
        STDERR
    } else {
        ERROR
    };
    to_client.send(Message::Binary(vec![first].into())).await?;
    let (pings, pinged) = mpsc::channel(PINGS);
    tokio::select! {
        result = outputs(Receiver::new(reader), streams, &mut to_client, pings) => result?,
        // The client has gone: closing the connection ends the streams of the process.
        result = inputs(from_client, sender, streams, pinged) => return result,
    }
    to_client
        .send(Message::Close(Some(CloseFrame {
            code: close_code::NORMAL,
            reason: "".into(),
        })))
        .await?;
    Ok(())
}

async fn outputs<R: AsyncRead + Unpin>(
    mut receiver: Receiver<R>,
    streams: Streams,
    to_client: &mut SplitSink<WebSocket, Message>,
    pings: mpsc::Sender<u32>,
) -> anyhow::Result<()> {
    let mut open = streams.outputs();
    while !open.is_empty() {
        match receiver.next().await? {
            Some(Event::Data { stream, bytes }) => {
                if let Some(channel) = streams.channel(stream) {
                    let mut message = Vec::with_capacity(bytes.len() + 1);
                    message.push(channel);
                    message.extend_from_slice(&bytes);
                    to_client.send(Message::Binary(message.into())).await?;
                }
            }
            Some(Event::Finished { stream }) => open.retain(|output| *output != stream),
            // An answer that cannot be queued is one of many.
            Some(Event::Ping(id)) => drop(pings.try_send(id)),
            None => break,
        }
    }
    Ok(())
}

async fn inputs<W: AsyncWrite + Unpin>(
    mut from_client: SplitStream<WebSocket>,
    mut sender: Sender<W>,
    streams: Streams,
    mut pinged: mpsc::Receiver<u32>,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            Some(id) = pinged.recv() => sender.ping(id).await?,
            message = from_client.next() => match message {
                Some(Ok(Message::Binary(message))) => match message.split_first() {
                    Some((&CLOSE, rest)) => {
                        if let Some(stream) = rest.first().and_then(|channel| streams.input(*channel)) {
                            sender.finish(stream).await?;
                        }
                    }
                    Some((channel, bytes)) if !bytes.is_empty() => {
                        if let Some(stream) = streams.input(*channel) {
                            sender.data(stream, bytes).await?;
                        }
                    }
                    _ => {}
                },
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
            },
        }
    }
}
