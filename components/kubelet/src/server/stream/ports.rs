//! Port-forward over WebSocket with channels (`v4.channel.k8s.io`), as the clients in other languages speak it: each
//! port has a channel for its data and, next to it, one for an error; the first message on each names the port.

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, StatusCode, header};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::secure::StreamAuthority;
use super::{tunnel, upstream};
use crate::server::refuse;
use crate::server::spdy::{Event, Receiver, Sender};

const PROTOCOL: &str = "v4.channel.k8s.io";
/// A channel's number is one byte, and each port has two.
const MOST_PORTS: usize = 127;
/// Pings that wait for an answer; the runtime sends few, if any.
const PINGS: usize = 8;

/// Whether a client asks for channels and not for a tunnel.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let offered: Vec<&str> = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    offered.contains(&PROTOCOL) && !offered.contains(&tunnel::PROTOCOL)
}

/// The ports of a request, each in its range.
pub(super) fn checked(ports: &[i32]) -> Result<Vec<u16>, String> {
    if ports.is_empty() {
        return Err("query parameter \"port\" is required".to_owned());
    }
    if ports.len() > MOST_PORTS {
        return Err(format!("at most {MOST_PORTS} ports are forwarded at once"));
    }
    let port = |port: &i32| {
        let found = u16::try_from(*port).ok().filter(|port| *port > 0);
        found.ok_or_else(|| format!("port \"{port}\" must be between 1 and 65535"))
    };
    ports.iter().map(port).collect()
}

pub(super) async fn serve(
    url: &str,
    trusted: &StreamAuthority,
    ports: Vec<u16>,
    request: Request,
) -> Response {
    let upgrade = match WebSocketUpgrade::from_request(request, &()).await {
        Ok(upgrade) => upgrade.protocols([PROTOCOL]),
        Err(rejection) => return rejection.into_response(),
    };
    let runtime = match upstream::connect(url, trusted, tunnel::SPDY_PROTOCOL).await {
        Ok(runtime) => runtime,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    upgrade.on_upgrade(move |socket| async move {
        if let Err(error) = translate(socket, runtime, &ports).await {
            tracing::debug!(%error, "port-forward ended");
        }
    })
}

/// The SPDY streams in the order of their channels: data, error, data, error.
struct Streams(Vec<u32>);

impl Streams {
    async fn open<W: AsyncWrite + Unpin>(sender: &mut Sender<W>, ports: &[u16]) -> std::io::Result<Self> {
        let mut streams = Vec::with_capacity(ports.len() * 2);
        for (index, port) in ports.iter().enumerate() {
            let (port, request) = (port.to_string(), index.to_string());
            let headers = |kind: &'static str| {
                [
                    ("streamType", kind),
                    ("port", port.as_str()),
                    ("requestID", request.as_str()),
                ]
            };
            // The runtime wants the error stream first, and nothing is sent on it from here.
            let error = sender.open(&headers("error")).await?;
            sender.finish(error).await?;
            let data = sender.open(&headers("data")).await?;
            streams.extend([data, error]);
        }
        Ok(Self(streams))
    }

    fn channel(&self, stream: u32) -> Option<u8> {
        let index = self.0.iter().position(|own| *own == stream)?;
        u8::try_from(index).ok()
    }

    /// The stream that a client may write to by this channel.
    fn input(&self, channel: u8) -> Option<u32> {
        self.0
            .get(usize::from(channel))
            .copied()
            .filter(|_| channel.is_multiple_of(2))
    }
}

async fn translate(
    socket: WebSocket,
    runtime: impl AsyncRead + AsyncWrite + Unpin,
    ports: &[u16],
) -> anyhow::Result<()> {
    let (reader, writer) = tokio::io::split(runtime);
    let mut sender = Sender::new(writer);
    let streams = Streams::open(&mut sender, ports).await?;
    let (mut to_client, from_client) = socket.split();
    for (channel, port) in (0u8..).zip(ports.iter().flat_map(|port| [port, port])) {
        let [low, high] = port.to_le_bytes();
        to_client
            .send(Message::Binary(vec![channel, low, high].into()))
            .await?;
    }
    let (pings, pinged) = mpsc::channel(PINGS);
    tokio::select! {
        result = outputs(Receiver::new(reader), &streams, &mut to_client, pings) => result?,
        // The client has gone: closing the connection ends the streams in the runtime.
        result = inputs(from_client, sender, &streams, pinged) => return result,
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
    streams: &Streams,
    to_client: &mut SplitSink<WebSocket, Message>,
    pings: mpsc::Sender<u32>,
) -> anyhow::Result<()> {
    let mut open = streams.0.clone();
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
            Some(Event::Finished { stream }) => open.retain(|own| *own != stream),
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
    streams: &Streams,
    mut pinged: mpsc::Receiver<u32>,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            Some(id) = pinged.recv() => sender.ping(id).await?,
            message = from_client.next() => match message {
                Some(Ok(Message::Binary(message))) => {
                    if let Some((channel, bytes)) = message.split_first()
                        && let Some(stream) = streams.input(*channel)
                        && !bytes.is_empty()
                    {
                        sender.data(stream, bytes).await?;
                    }
                }
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tunnel_is_preferred_where_both_are_offered() {
        for (offered, expected) in [
            (vec!["v4.channel.k8s.io"], true),
            (vec!["SPDY/3.1+portforward.k8s.io", "v4.channel.k8s.io"], false),
            (vec!["v4.channel.k8s.io, SPDY/3.1+portforward.k8s.io"], false),
            (vec!["other"], false),
            (vec![], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in &offered {
                headers.append(header::SEC_WEBSOCKET_PROTOCOL, value.parse().unwrap());
            }
            assert_eq!(is_wanted(&headers), expected, "{offered:?}");
        }
    }

    #[test]
    fn ports_are_checked() {
        assert_eq!(checked(&[80, 65535]), Ok(vec![80, 65535]));
        for wrong in [&[][..], &[0], &[-1], &[70000], &[1; 200]] {
            assert!(checked(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn only_data_channels_are_written_to() {
        let streams = Streams(vec![3, 1, 7, 5]);
        assert_eq!(
            [0, 1, 2, 3, 4].map(|channel| streams.input(channel)),
            [Some(3), None, Some(7), None, None]
        );
        assert_eq!(
            [3, 1, 7, 9].map(|stream| streams.channel(stream)),
            [Some(0), Some(1), Some(2), None]
        );
    }
}
