//! The messages of several channels on one WebSocket, in the forms that clients speak.
//!
//! The forms are those of upstream's k8s.io/apimachinery/pkg/util/httpstream/wsstream: the first byte of a message is its
//! channel, or, where everything is text, the channel's digit before base64.

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, header};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use crate::server::spdy::{Event, Receiver, Sender};

/// Since version 5: the next byte is a channel on which nothing more will come.
const CLOSE: u8 = 255;
/// Pings that wait for an answer; the runtime sends few, if any.
const PINGS: usize = 8;
/// A client that was told that all is said has this long to close; what it still sends is read and dropped.
const PARTING: Duration = Duration::from_secs(5);

/// One of the forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// The subprotocol; none for clients that name none.
    pub name: Option<&'static str>,
    pub is_text: bool,
    tells_closing: bool,
}

impl Form {
    fn named(name: &'static str) -> Self {
        Self {
            name: Some(name),
            is_text: name.contains("base64"),
            tells_closing: name.starts_with("v5."),
        }
    }

    /// The first form a client names of those that are `known`; a client that names none gets the oldest. `None` if it
    /// names others only.
    pub(super) fn chosen(headers: &HeaderMap, known: &[&'static str]) -> Option<Self> {
        let mut offered = offered(headers).peekable();
        if offered.peek().is_none() {
            return Some(Self {
                name: None,
                is_text: false,
                tells_closing: false,
            });
        }
        offered
            .find_map(|offer| known.iter().find(|name| **name == offer))
            .map(|name| Self::named(name))
    }

    fn message(self, channel: u8, bytes: &[u8]) -> Message {
        if self.is_text {
            let mut text = String::with_capacity(1 + bytes.len().div_ceil(3) * 4);
            text.push(char::from(b'0' + channel));
            STANDARD.encode_string(bytes, &mut text);
            return Message::Text(text.into());
        }
        let mut message = Vec::with_capacity(bytes.len() + 1);
        message.push(channel);
        message.extend_from_slice(bytes);
        Message::Binary(message.into())
    }

    fn read(self, message: Message) -> Heard {
        // Whether bytes come in a frame for text is up to the client: the official one for Python sends strings so.
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => text.into(),
            Message::Close(_) => return Heard::Gone,
            Message::Ping(_) | Message::Pong(_) => return Heard::Nothing,
        };
        let Some(first) = bytes.first().copied() else {
            return Heard::Nothing;
        };
        if self.is_text {
            let data = STANDARD.decode(&bytes[1..]);
            return match (first.checked_sub(b'0').filter(|channel| *channel < 10), data) {
                (Some(channel), Ok(data)) => Heard::Data(channel, data.into()),
                _ => Heard::Nothing,
            };
        }
        match (first, bytes.get(1)) {
            (CLOSE, Some(channel)) if self.tells_closing => Heard::Closed(*channel),
            _ => Heard::Data(first, bytes.slice(1..)),
        }
    }
}

/// The subprotocols that a client names, in its order.
pub(super) fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
}

/// What a client's message says.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Data(u8, Bytes),
    /// Nothing more will come on this channel.
    Closed(u8),
    Nothing,
    Gone,
}

/// The SPDY streams behind the channels.
#[derive(Clone, Debug, Default)]
pub(super) struct Channels {
    /// Streams on which the runtime sends.
    pub outputs: Vec<(u32, u8)>,
    /// Streams that a client may write to.
    pub inputs: Vec<(u8, u32)>,
    /// A stream whose Status is told as text, for clients that know no Status.
    pub told_as_text: Option<u32>,
}

impl Channels {
    fn channel(&self, stream: u32) -> Option<u8> {
        let found = self.outputs.iter().find(|(own, _)| *own == stream)?;
        Some(found.1)
    }

    fn input(&self, channel: u8) -> Option<u32> {
        let found = self.inputs.iter().find(|(own, _)| *own == channel)?;
        Some(found.1)
    }
}

/// Carries both directions at once, until the runtime has said everything or the client has gone: a client that only sends
/// must not keep the output from flowing, or both would wait for each other. `greeting` is sent first.
pub(super) async fn relay<R, W>(
    socket: WebSocket,
    form: Form,
    greeting: &[(u8, Vec<u8>)],
    runtime: (Receiver<R>, Sender<W>),
    channels: &Channels,
) -> anyhow::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (receiver, sender) = runtime;
    let (mut to_client, mut from_client) = socket.split();
    for (channel, bytes) in greeting {
        to_client.send(form.message(*channel, bytes)).await?;
    }
    let (pings, pinged) = mpsc::channel(PINGS);
    tokio::select! {
        result = outputs(receiver, form, channels, &mut to_client, pings) => result?,
        // The client has gone: closing the connection ends the streams of the process.
        result = inputs(&mut from_client, form, sender, channels, pinged) => return result,
    }
    part(&mut to_client, &mut from_client).await
}

/// Tells the client that all is said, and waits until it has closed.
pub(super) async fn part(
    to_client: &mut SplitSink<WebSocket, Message>,
    from_client: &mut SplitStream<WebSocket>,
) -> anyhow::Result<()> {
    to_client
        .send(Message::Close(Some(CloseFrame {
            code: close_code::NORMAL,
            reason: "".into(),
        })))
        .await?;
    // Closing a connection with something unread in it takes from the other side what it has not read yet.
    let parting = async {
        while let Some(Ok(message)) = from_client.next().await {
            if matches!(message, Message::Close(_)) {
                break;
            }
        }
    };
    drop(tokio::time::timeout(PARTING, parting).await);
    Ok(())
}

async fn outputs<R: AsyncRead + Unpin>(
    mut receiver: Receiver<R>,
    form: Form,
    channels: &Channels,
    to_client: &mut SplitSink<WebSocket, Message>,
    pings: mpsc::Sender<u32>,
) -> anyhow::Result<()> {
    let mut open: Vec<u32> = channels.outputs.iter().map(|(stream, _)| *stream).collect();
    let mut status = Vec::new();
    while !open.is_empty() {
        match receiver.next().await? {
            Some(Event::Data { stream, bytes }) if channels.told_as_text == Some(stream) => {
                status.extend_from_slice(&bytes);
            }
            Some(Event::Data { stream, bytes }) => {
                if let Some(channel) = channels.channel(stream) {
                    to_client.send(form.message(channel, &bytes)).await?;
                }
            }
            Some(Event::Finished { stream }) => {
                if let (Some(channel), Some(failure)) = (channels.channel(stream), failure(&status))
                    && channels.told_as_text == Some(stream)
                {
                    to_client.send(form.message(channel, failure.as_bytes())).await?;
                }
                open.retain(|output| *output != stream);
            }
            // An answer that cannot be queued is one of many.
            Some(Event::Ping(id)) => drop(pings.try_send(id)),
            None => break,
        }
    }
    Ok(())
}

/// What went wrong, of a Status.
fn failure(status: &[u8]) -> Option<String> {
    let status: serde_json::Value = serde_json::from_slice(status).ok()?;
    let failed = status["status"] != "Success";
    failed.then(|| status["message"].as_str().unwrap_or_default().to_owned())
}

async fn inputs<W: AsyncWrite + Unpin>(
    from_client: &mut SplitStream<WebSocket>,
    form: Form,
    sender: Sender<W>,
    channels: &Channels,
    mut pinged: mpsc::Receiver<u32>,
) -> anyhow::Result<()> {
    // Gone once the runtime reads no more; what it has said until then is still on its way to the client.
    let mut sender = Some(sender);
    loop {
        let sent = tokio::select! {
            Some(id) = pinged.recv() => match &mut sender {
                Some(sender) => sender.ping(id).await,
                None => Ok(()),
            },
            message = from_client.next() => {
                let heard = message.map_or(Ok(Heard::Gone), |message| message.map(|message| form.read(message)))?;
                let (channel, bytes) = match heard {
                    Heard::Gone => return Ok(()),
                    Heard::Nothing => continue,
                    Heard::Closed(channel) => (channel, None),
                    Heard::Data(channel, bytes) => (channel, Some(bytes)),
                };
                match (&mut sender, channels.input(channel), bytes) {
                    (Some(sender), Some(stream), None) => sender.finish(stream).await,
                    (Some(sender), Some(stream), Some(bytes)) if !bytes.is_empty() => {
                        sender.data(stream, &bytes).await
                    }
                    _ => Ok(()),
                }
            }
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "the runtime reads no more of a client");
            sender = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 3] = ["v5.channel.k8s.io", "v4.channel.k8s.io", "base64.channel.k8s.io"];

    #[test]
    fn the_first_known_form_of_a_client_is_taken() {
        for (offered, chosen) in [
            (
                vec!["v4.channel.k8s.io", "v5.channel.k8s.io"],
                Some(Some(KNOWN[1])),
            ),
            (vec!["other, v5.channel.k8s.io"], Some(Some(KNOWN[0]))),
            (vec![], Some(None)),
            (vec!["other"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in &offered {
                headers.append(header::SEC_WEBSOCKET_PROTOCOL, value.parse().unwrap());
            }
            let found = Form::chosen(&headers, &KNOWN).map(|form| form.name);
            assert_eq!(found, chosen, "{offered:?}");
        }
    }

    #[test]
    fn messages_are_read_in_every_form() {
        let [v5, v4, text] = KNOWN.map(Form::named);
        let data = |channel: u8, bytes: &'static [u8]| Heard::Data(channel, Bytes::from_static(bytes));
        for (form, message, heard) in [
            (v5, Message::Binary(vec![0, b'a'].into()), data(0, b"a")),
            // Regression: the official client for Python sends strings as text.
            (v4, Message::Text("\0a".into()), data(0, b"a")),
            (v5, Message::Binary(vec![CLOSE, 0].into()), Heard::Closed(0)),
            (v4, Message::Binary(vec![4, b'{'].into()), data(4, b"{")),
            (text, Message::Text("0YQ==".into()), data(0, b"a")),
            (text, Message::Text("0!".into()), Heard::Nothing),
            (text, Message::Text("aYQ==".into()), Heard::Nothing),
            (v5, Message::Binary(Bytes::new()), Heard::Nothing),
            (v5, Message::Close(None), Heard::Gone),
        ] {
            assert_eq!(form.read(message.clone()), heard, "{form:?} {message:?}");
        }
        assert_eq!(v4.message(1, b"a"), Message::Binary(vec![1, b'a'].into()));
        assert_eq!(text.message(3, b"a"), Message::Text("3YQ==".into()));
    }

    #[test]
    fn a_failure_is_told_without_its_status() {
        let of = |text: &str| failure(text.as_bytes());
        assert_eq!(of(r#"{"status":"Success"}"#), None);
        assert_eq!(
            of(r#"{"status":"Failure","message":"no"}"#).as_deref(),
            Some("no")
        );
        assert_eq!(of(""), None);
    }
}
