//! exec and attach over WebSocket: standard input, output and error, what became of the process, and the terminal's size
//! each have a channel.

use axum::extract::Request;
use axum::response::Response;
use futures::SinkExt as _;
use http::StatusCode;
use streams::messages::Form;
use streams::relay::{End, relay};
use streams::remote_command::{FORMS, SPDY_PROTOCOL, Wanted};
use streams::spdy::{Receiver, Sender};
use streams::websocket::Socket;
use tokio::io::{AsyncRead, AsyncWrite};

use super::secure::StreamAuthority;
use super::{WebSocketRequest, upstream};
use crate::server::refuse;

pub(super) async fn serve(
    url: &str,
    trusted: &StreamAuthority,
    wanted: Wanted,
    request: Request,
) -> Response {
    let Some(form) = Form::chosen(request.headers(), &FORMS) else {
        return refuse(
            StatusCode::BAD_REQUEST,
            format!(
                "none of the WebSocket subprotocols is known; known are {}",
                FORMS.join(", ")
            ),
        );
    };
    let request = match WebSocketRequest::of(request) {
        Ok(request) => request,
        Err(response) => return response,
    };
    let runtime = match upstream::connect(url, trusted, SPDY_PROTOCOL).await {
        Ok(runtime) => runtime,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    request.accept(form.name, move |socket| async move {
        if let Err(error) = carry(socket, form, wanted, runtime).await {
            tracing::debug!(%error, "stream ended");
        }
    })
}

async fn carry(
    mut socket: Socket,
    form: Form,
    wanted: Wanted,
    runtime: impl AsyncRead + AsyncWrite,
) -> anyhow::Result<End> {
    let (reader, writer) = tokio::io::split(runtime);
    let mut sender = Sender::new(writer);
    let channels = wanted.open(&mut sender, form).await?;
    // Tells the client that the connection is made.
    socket.send(form.message(wanted.greeting(), &[])).await?;
    let runtime = (Receiver::new(reader), sender);
    Ok(relay(socket, form, runtime, &channels, None).await?)
}
