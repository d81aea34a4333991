//! exec and attach over WebSocket: standard input, output and error, what became of the process, and the terminal's size
//! each have a channel.

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tokio::io::AsyncWrite;

use super::messages::{self, Channels, Form};
use super::secure::StreamAuthority;
use super::{Wanted, upstream};
use crate::server::refuse;
use crate::server::spdy::{Receiver, Sender};

/// Of every age: kubectl names the first, browsers the last.
const FORMS: [&str; 5] = [
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
];
/// The error stream carries a Status in this version of the SPDY protocol.
const SPDY_PROTOCOL: &str = "v4.channel.k8s.io";

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;

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
    let upgrade = match WebSocketUpgrade::from_request(request, &()).await {
        Ok(upgrade) => upgrade.protocols(form.name),
        Err(rejection) => return rejection.into_response(),
    };
    let runtime = match upstream::connect(url, trusted, SPDY_PROTOCOL).await {
        Ok(runtime) => runtime,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    upgrade.on_upgrade(move |socket| async move {
        let (reader, writer) = tokio::io::split(runtime);
        let mut sender = Sender::new(writer);
        let outcome = match open(&mut sender, wanted, form).await {
            Ok(channels) => {
                // Tells the client that the connection is made.
                let first = if wanted.stdout {
                    STDOUT
                } else if wanted.stderr {
                    STDERR
                } else {
                    ERROR
                };
                let greeting = [(first, Vec::new())];
                messages::relay(
                    socket,
                    form,
                    &greeting,
                    (Receiver::new(reader), sender),
                    &channels,
                )
                .await
            }
            Err(error) => Err(error.into()),
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "stream ended");
        }
    })
}

async fn open<W: AsyncWrite + Unpin>(
    sender: &mut Sender<W>,
    wanted: Wanted,
    form: Form,
) -> std::io::Result<Channels> {
    let mut channels = Channels::default();
    let error = sender.open(&[("streamType", "error")]).await?;
    channels.outputs.push((error, ERROR));
    if !form.name.is_some_and(|name| name.starts_with('v')) {
        channels.told_as_text = Some(error);
    }
    if wanted.stdin {
        let stream = sender.open(&[("streamType", "stdin")]).await?;
        channels.inputs.push((STDIN, stream));
    }
    if wanted.stdout {
        let stream = sender.open(&[("streamType", "stdout")]).await?;
        channels.outputs.push((stream, STDOUT));
    }
    if wanted.stderr {
        let stream = sender.open(&[("streamType", "stderr")]).await?;
        channels.outputs.push((stream, STDERR));
    }
    if wanted.tty {
        let stream = sender.open(&[("streamType", "resize")]).await?;
        channels.inputs.push((RESIZE, stream));
    }
    Ok(channels)
}
