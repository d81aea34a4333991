//! Port-forward over WebSocket (`SPDY/3.1+portforward.k8s.io`): the messages carry the bytes of a SPDY
//! connection, which the runtime understands.

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use futures::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::secure::StreamAuthority;
use super::{messages, upstream};
use crate::server::refuse;

pub(super) const PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";
pub(super) const SPDY_PROTOCOL: &str = "portforward.k8s.io";
const BLOCK: usize = 32 << 10;

pub(super) async fn serve(url: &str, trusted: &StreamAuthority, request: Request) -> Response {
    let upgrade = match WebSocketUpgrade::from_request(request, &()).await {
        Ok(upgrade) => upgrade.protocols([PROTOCOL]),
        Err(rejection) => return rejection.into_response(),
    };
    let runtime = match upstream::connect(url, trusted, SPDY_PROTOCOL).await {
        Ok(runtime) => runtime,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    upgrade.on_upgrade(move |socket| async move {
        if let Err(error) = carry(socket, runtime).await {
            tracing::debug!(%error, "port-forward ended");
        }
    })
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}

async fn carry(socket: WebSocket, runtime: impl AsyncRead + AsyncWrite + Unpin) -> anyhow::Result<()> {
    let (mut reader, writer) = tokio::io::split(runtime);
    let (mut to_client, mut from_client) = socket.split();
    let outputs = async {
        let mut block = vec![0; BLOCK];
        loop {
            match reader.read(&mut block).await? {
                0 => return anyhow::Ok(()),
                length => {
                    to_client
                        .send(Message::Binary(block[..length].to_vec().into()))
                        .await?
                }
            }
        }
    };
    let inputs = async {
        // Gone once the runtime reads no more; what it has said until then is still on its way to the client.
        let mut writer = Some(writer);
        while let Some(message) = from_client.next().await {
            let bytes = match message? {
                Message::Binary(bytes) => bytes,
                Message::Text(text) => text.into(),
                Message::Close(_) => break,
                Message::Ping(_) | Message::Pong(_) => continue,
            };
            let Some(open) = &mut writer else { continue };
            if let Err(error) = write(open, &bytes).await {
                tracing::debug!(%error, "the runtime reads no more of a client");
                writer = None;
            }
        }
        anyhow::Ok(())
    };
    tokio::select! {
        result = outputs => result?,
        result = inputs => return result,
    }
    messages::part(&mut to_client, &mut from_client).await
}
