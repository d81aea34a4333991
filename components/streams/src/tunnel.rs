//! Port-forward over WebSocket (`SPDY/3.1+portforward.k8s.io`): the messages carry the bytes of a SPDY connection.

use futures::{SinkExt as _, StreamExt as _};
use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::websocket::{offered, part};

/// The subprotocol that kubectl names.
pub const PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";
/// What is spoken inside it.
pub const SPDY_PROTOCOL: &str = "portforward.k8s.io";
/// What a subprotocol begins with whose messages are the bytes of a SPDY connection.
pub const PREFIX: &str = "SPDY/3.1+";
const SUFFIX: &str = "k8s.io";
const BLOCK: usize = 32 << 10;

/// What a client wants to speak inside a tunnel, in its order; nothing when it wants none.
pub fn inner_protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    offered(headers)
        .filter(|name| name.ends_with(SUFFIX))
        .filter_map(|name| name.strip_prefix(PREFIX))
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}

/// Carries both directions until the server has said everything or the client has gone.
///
/// # Errors
///
/// The client's connection failed.
pub async fn carry<S>(
    socket: WebSocketStream<S>,
    server: impl AsyncRead + AsyncWrite + Unpin,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut reader, writer) = tokio::io::split(server);
    let (mut to_client, mut from_client) = socket.split();
    let outputs = async {
        let mut block = vec![0; BLOCK];
        loop {
            let length = match reader.read(&mut block).await {
                Ok(0) => return Ok::<(), Error>(()),
                Ok(length) => length,
                Err(error) => {
                    // One that drops a TLS connection has said everything it wanted to.
                    tracing::debug!(%error, "a tunnelled connection ended");
                    return Ok(());
                }
            };
            let message = Message::Binary(block[..length].to_vec().into());
            to_client.send(message).await?;
        }
    };
    let inputs = async {
        // Gone once the server reads no more; what it has said until then is still on its way to the client.
        let mut writer = Some(writer);
        while let Some(message) = from_client.next().await {
            let bytes = match message? {
                Message::Binary(bytes) => bytes,
                Message::Text(text) => text.into(),
                Message::Close(_) => break,
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            let Some(open) = &mut writer else { continue };
            if let Err(error) = write(open, &bytes).await {
                tracing::debug!(%error, "the server reads no more of a client");
                writer = None;
            }
        }
        Ok(())
    };
    tokio::select! {
        result = outputs => result?,
        result = inputs => return result,
    }
    part(&mut to_client, &mut from_client).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_tungstenite::tungstenite::protocol::Role;

    #[test]
    fn tunnels_are_told_from_channels() {
        for (offered, expected) in [
            ("SPDY/3.1+portforward.k8s.io", &["portforward.k8s.io"][..]),
            (
                "v4.channel.k8s.io, SPDY/3.1+v2.portforward.k8s.io,SPDY/3.1+portforward.k8s.io",
                &["v2.portforward.k8s.io", "portforward.k8s.io"],
            ),
            ("SPDY/3.1+portforward.example.com", &[]),
            ("portforward.k8s.io", &[]),
            ("", &[]),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("sec-websocket-protocol", offered.parse().unwrap());
            assert_eq!(
                inner_protocols(&headers).collect::<Vec<_>>(),
                expected,
                "{offered}"
            );
        }
    }

    #[tokio::test]
    async fn bytes_go_both_ways_until_the_server_ends() {
        let (client, near) = tokio::io::duplex(1024);
        let (far, mut server) = tokio::io::duplex(1024);
        let near = WebSocketStream::from_raw_socket(near, Role::Server, None).await;
        let carried = tokio::spawn(carry(near, far));
        let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        client
            .send(Message::Binary(b"question".as_slice().into()))
            .await
            .unwrap();
        let mut question = [0; 8];
        server.read_exact(&mut question).await.unwrap();
        assert_eq!(&question, b"question");
        server.write_all(b"answer").await.unwrap();
        drop(server);
        let answer = client.next().await.unwrap().unwrap();
        assert_eq!(answer, Message::Binary(b"answer".as_slice().into()));
        assert!(matches!(client.next().await, Some(Ok(Message::Close(_)))));
        assert!(client.next().await.is_none());
        carried.await.unwrap().unwrap();
    }
}
