//! Carries what comes on the channels of a WebSocket to the streams of a SPDY connection, and back.

use apimachinery::ApiError;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::messages::{Form, Heard};
use crate::spdy::{Event, Receiver, Sender};
use crate::websocket::part;

/// Pings that wait for an answer; servers send few, if any.
const PINGS: usize = 8;
/// Bytes of a Status that are kept to be looked at; the client gets all of it.
const STATUS_LIMIT: usize = 64 << 10;
/// Where nothing is to be sent regularly, a timer that is not looked at still needs a period.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

/// The SPDY streams behind the channels.
#[derive(Clone, Debug, Default)]
pub struct Channels {
    /// Streams on which the server sends.
    pub outputs: Vec<(u32, u8)>,
    /// Streams that a client may write to.
    pub inputs: Vec<(u8, u32)>,
    /// The one of the outputs that tells how all ended.
    pub status: Option<StatusStream>,
}

/// A stream with a Status.
#[derive(Clone, Copy, Debug)]
pub struct StatusStream {
    pub stream: u32,
    pub told: Told,
}

/// How the client is told a Status.
#[derive(Clone, Copy, Debug)]
pub enum Told {
    AsItComes,
    /// Clients that know no Status are told its message, and nothing of a success.
    AsText,
    /// What is made of it, when everything else has been said.
    Reworded(fn(&[u8]) -> Vec<u8>),
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

    /// How a stream is told, if it is the one with the Status.
    fn told(&self, stream: u32) -> Option<Told> {
        self.status
            .filter(|status| status.stream == stream)
            .map(|status| status.told)
    }

    fn tells_as_text(&self, stream: u32) -> bool {
        matches!(self.told(stream), Some(Told::AsText))
    }
}

/// What came of a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The server has said everything; with its Status, empty where it sent none.
    Said(Vec<u8>),
    /// The server's connection ended before it had told how all ended. The client was told that.
    Lost,
    /// The client has gone.
    Gone,
}

/// Carries both directions at once, until the server has said everything or the client has gone: a client that only sends must
/// not keep the output from flowing, or both would wait for each other. Pings the server that often, if at all.
///
/// # Errors
///
/// The client's connection failed.
pub async fn relay<S, R, W>(
    socket: WebSocketStream<S>,
    form: Form,
    server: (Receiver<R>, Sender<W>),
    channels: &Channels,
    ping_every: Option<Duration>,
) -> Result<End, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (receiver, sender) = server;
    let (mut to_client, mut from_client) = socket.split();
    let (pings, pinged) = mpsc::channel(PINGS);
    let end = tokio::select! {
        result = outputs(receiver, form, channels, &mut to_client, pings) => result?,
        // The client has gone: closing the connection ends the streams of the process.
        result = inputs(&mut from_client, form, sender, channels, pinged, ping_every) => {
            result?;
            return Ok(End::Gone);
        }
    };
    part(&mut to_client, &mut from_client).await?;
    Ok(end)
}

type ToClient<S> = SplitSink<WebSocketStream<S>, Message>;

async fn outputs<S: AsyncRead + AsyncWrite + Unpin, R: AsyncRead + Unpin>(
    mut receiver: Receiver<R>,
    form: Form,
    channels: &Channels,
    to_client: &mut ToClient<S>,
    pings: mpsc::Sender<u32>,
) -> Result<End, Error> {
    let mut open: Vec<u32> = channels.outputs.iter().map(|(stream, _)| *stream).collect();
    let mut status = Vec::new();
    while !open.is_empty() {
        let event = receiver.next().await.unwrap_or_else(|error| {
            // One that drops a TLS connection has said everything it wanted to.
            tracing::debug!(%error, "a connection with streams ended");
            None
        });
        match event {
            Some(Event::Data { stream, bytes }) => {
                if channels.status.is_some_and(|status| status.stream == stream) {
                    let room = STATUS_LIMIT - status.len();
                    status.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
                let as_it_comes = matches!(channels.told(stream), None | Some(Told::AsItComes));
                if let (Some(channel), true) = (channels.channel(stream), as_it_comes) {
                    to_client.send(form.message(channel, &bytes)).await?;
                }
            }
            Some(Event::Finished { stream }) => {
                if let (true, Some(failure)) = (channels.tells_as_text(stream), failure(&status)) {
                    tell(to_client, form, channels, failure.as_bytes()).await?;
                }
                open.retain(|output| *output != stream);
            }
            // An answer that cannot be queued is one of many.
            Some(Event::Ping(id)) => drop(pings.try_send(id)),
            None => break,
        }
    }
    let waited_for = channels.status.map(|status| status.stream);
    if !status.is_empty() || !waited_for.is_some_and(|stream| open.contains(&stream)) {
        if let Some(StatusStream {
            told: Told::Reworded(reword),
            ..
        }) = channels.status
        {
            tell(to_client, form, channels, &reword(&status)).await?;
        }
        return Ok(End::Said(status));
    }
    let lost = ApiError::internal("the connection ended before it was known how the process did");
    if waited_for.is_some_and(|stream| channels.tells_as_text(stream)) {
        tell(to_client, form, channels, lost.message().as_bytes()).await?;
    } else {
        tell(to_client, form, channels, lost.to_status().to_string().as_bytes()).await?;
    }
    Ok(End::Lost)
}

/// Tells the client how all ended.
async fn tell<S: AsyncRead + AsyncWrite + Unpin>(
    to_client: &mut ToClient<S>,
    form: Form,
    channels: &Channels,
    bytes: &[u8],
) -> Result<(), Error> {
    match channels.status.and_then(|status| channels.channel(status.stream)) {
        Some(channel) => to_client.send(form.message(channel, bytes)).await,
        None => Ok(()),
    }
}

/// What went wrong, of a Status.
fn failure(status: &[u8]) -> Option<String> {
    let status: serde_json::Value = serde_json::from_slice(status).ok()?;
    let failed = status["status"] != "Success";
    failed.then(|| status["message"].as_str().unwrap_or_default().to_owned())
}

async fn inputs<S: AsyncRead + AsyncWrite + Unpin, W: AsyncWrite + Unpin>(
    from_client: &mut SplitStream<WebSocketStream<S>>,
    form: Form,
    sender: Sender<W>,
    channels: &Channels,
    mut pinged: mpsc::Receiver<u32>,
    ping_every: Option<Duration>,
) -> Result<(), Error> {
    // Gone once the server reads no more; what it has said until then is still on its way to the client.
    let mut sender = Some(sender);
    let period = ping_every.unwrap_or(NEVER);
    let mut timer = interval_at(Instant::now() + period, period);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let sent = tokio::select! {
            Some(id) = pinged.recv() => match &mut sender {
                Some(sender) => sender.pong(id).await,
                None => Ok(()),
            },
            _ = timer.tick(), if ping_every.is_some() => match &mut sender {
                Some(sender) => sender.ping().await,
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
            tracing::debug!(%error, "the server reads no more of a client");
            sender = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote_command::{V5, Wanted};
    use crate::spdy::frame;
    use tokio::io::{AsyncWriteExt as _, DuplexStream, ReadHalf, duplex, split};
    use tokio_tungstenite::tungstenite::protocol::Role;

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

    /// What a server says on the streams 1 (error) and 3 (stdout), and what the client hears until it is told the end.
    async fn heard(name: Option<&'static str>, said: &[(u32, &[u8], bool)]) -> (Vec<(u8, Vec<u8>)>, End) {
        heard_told(name, said, None).await
    }

    async fn heard_told(
        name: Option<&'static str>,
        said: &[(u32, &[u8], bool)],
        told: Option<Told>,
    ) -> (Vec<(u8, Vec<u8>)>, End) {
        let (client, near) = duplex(4096);
        let (far, mut server) = duplex(4096);
        let form = name.map_or_else(
            || Form::chosen(&http::HeaderMap::new(), &[]).unwrap(),
            Form::named,
        );
        let (reader, writer): (ReadHalf<DuplexStream>, _) = split(far);
        let mut sender = Sender::new(writer);
        let wanted = Wanted {
            stdout: true,
            ..Wanted::default()
        };
        let mut channels = wanted.open(&mut sender, form).await.unwrap();
        if let (Some(status), Some(told)) = (&mut channels.status, told) {
            status.told = told;
        }
        let near = WebSocketStream::from_raw_socket(near, Role::Server, None).await;
        let relayed =
            tokio::spawn(
                async move { relay(near, form, (Receiver::new(reader), sender), &channels, None).await },
            );
        for (stream, bytes, last) in said {
            let head = frame::data_head(*stream, bytes.len(), *last);
            server.write_all(&[&head, *bytes].concat()).await.unwrap();
        }
        drop(server);
        let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        let mut messages = Vec::new();
        while let Some(Ok(message)) = client.next().await {
            if let Heard::Data(channel, bytes) = form.read(message) {
                messages.push((channel, bytes.to_vec()));
            }
        }
        (messages, relayed.await.unwrap().unwrap())
    }

    #[tokio::test]
    async fn everything_is_said_before_the_end() {
        let status = br#"{"status":"Failure","message":"no"}"#;
        let said = [(3, b"out".as_slice(), true), (1, status.as_slice(), true)];
        let told = (heard(Some(V5), &said).await, heard(None, &said).await);
        let end = End::Said(status.to_vec());
        assert_eq!(
            told.0,
            (vec![(1, b"out".to_vec()), (3, status.to_vec())], end.clone())
        );
        // The oldest form knows no Status.
        assert_eq!(told.1, (vec![(1, b"out".to_vec()), (3, b"no".to_vec())], end));
        let success = [(1, br#"{"status":"Success"}"#.as_slice(), true), (3, b"", true)];
        assert!(heard(None, &success).await.0.is_empty());
    }

    #[tokio::test]
    async fn a_status_is_told_in_other_words_when_all_is_said() {
        let said = [
            (1, b"bad".as_slice(), true),
            (3, b"out".as_slice(), false),
            (3, b"", true),
        ];
        let reworded = Told::Reworded(|status| [b"so ", status].concat());
        let (messages, end) = heard_told(Some(V5), &said, Some(reworded)).await;
        assert_eq!(messages, [(1, b"out".to_vec()), (3, b"so bad".to_vec())]);
        assert_eq!(end, End::Said(b"bad".to_vec()));
    }

    /// Regression: a connection that ended early looked like a success.
    #[tokio::test]
    async fn a_lost_connection_is_no_success() {
        let said = [(3, b"out".as_slice(), true)];
        let (messages, end) = heard(Some(V5), &said).await;
        let status: serde_json::Value = serde_json::from_slice(&messages[1].1).unwrap();
        assert_eq!((messages[1].0, end), (3, End::Lost));
        assert_eq!(
            (&status["status"], &status["reason"]),
            (&"Failure".into(), &"InternalError".into())
        );
        let (messages, end) = heard(None, &said).await;
        assert!(messages[1].1.starts_with(b"Internal error"), "{messages:?}");
        assert_eq!(end, End::Lost);
    }

    #[tokio::test(start_paused = true)]
    async fn the_server_is_pinged_and_answers_are_left_alone() {
        let (client, near) = duplex(4096);
        let (far, server) = duplex(4096);
        let (reader, writer) = split(far);
        let near = WebSocketStream::from_raw_socket(near, Role::Server, None).await;
        let channels = Channels {
            outputs: vec![(1, 3)],
            ..Channels::default()
        };
        let relayed = tokio::spawn(async move {
            let server = (Receiver::new(reader), Sender::new(writer));
            let every = Some(Duration::from_secs(5));
            relay(near, Form::named(V5), server, &channels, every).await
        });
        // Seen from the other end a ping of ours is odd and a server's is even.
        let mut frames = bytes::BytesMut::new();
        let (mut reader, mut writer) = split(server);
        let mut next = async || loop {
            if let Some(frame) = frame::take(&mut frames).unwrap() {
                break frame;
            }
            tokio::io::AsyncReadExt::read_buf(&mut reader, &mut frames)
                .await
                .unwrap();
        };
        assert_eq!(next().await, frame::Frame::Ping(1));
        writer.write_all(&frame::ping(1)).await.unwrap();
        writer.write_all(&frame::ping(2)).await.unwrap();
        assert_eq!(next().await, frame::Frame::Ping(2));
        assert_eq!(next().await, frame::Frame::Ping(3));
        drop(client);
        let end = relayed.await.unwrap();
        assert!(matches!(end, Ok(End::Gone) | Err(_)), "{end:?}");
    }
}
