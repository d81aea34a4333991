//! Port-forward over WebSocket with channels (`v4.channel.k8s.io`), as the clients in other languages speak it: each
//! port has a channel for its data and, next to it, one for an error; the first message on each names the port.

use axum::extract::Request;
use axum::response::Response;
use futures::SinkExt as _;
use http::{HeaderMap, StatusCode};
use streams::messages::Form;
use streams::relay::{Channels, End, relay};
use streams::spdy::{Receiver, Sender};
use streams::tunnel;
use streams::websocket::{Socket, offered};
use tokio::io::{AsyncRead, AsyncWrite};

use super::secure::StreamAuthority;
use super::{WebSocketRequest, upstream};
use crate::server::refuse;

const FORMS: [&str; 2] = ["v4.channel.k8s.io", "v4.base64.channel.k8s.io"];
/// A channel's number is one byte, and each port has two.
const MOST_PORTS: usize = 127;
/// A channel's number is one digit where everything is text.
const MOST_PORTS_OF_TEXT: usize = 5;

/// Whether a client asks for channels and not for a tunnel.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    offered(headers).all(|name| name != tunnel::PROTOCOL)
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
    let Some(form) = Form::chosen(request.headers(), &FORMS) else {
        return refuse(
            StatusCode::BAD_REQUEST,
            format!(
                "none of the WebSocket subprotocols is known; known are {} and {}",
                tunnel::PROTOCOL,
                FORMS.join(", ")
            ),
        );
    };
    if form.is_text && ports.len() > MOST_PORTS_OF_TEXT {
        return refuse(
            StatusCode::BAD_REQUEST,
            format!("at most {MOST_PORTS_OF_TEXT} ports are forwarded at once as text"),
        );
    }
    let request = match WebSocketRequest::of(request) {
        Ok(request) => request,
        Err(response) => return response,
    };
    let runtime = match upstream::connect(url, trusted, tunnel::SPDY_PROTOCOL).await {
        Ok(runtime) => runtime,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    request.accept(form.name, move |socket| async move {
        if let Err(error) = carry(socket, form, &ports, runtime).await {
            tracing::debug!(%error, "port-forward ended");
        }
    })
}

async fn carry(
    mut socket: Socket,
    form: Form,
    ports: &[u16],
    runtime: impl AsyncRead + AsyncWrite,
) -> anyhow::Result<End> {
    let (reader, writer) = tokio::io::split(runtime);
    let mut sender = Sender::new(writer);
    let channels = open(&mut sender, ports).await?;
    // Each channel's first message names its port.
    let both = ports.iter().flat_map(|port| [port, port]);
    for (channel, port) in (0u8..).zip(both) {
        socket.send(form.message(channel, &port.to_le_bytes())).await?;
    }
    let runtime = (Receiver::new(reader), sender);
    Ok(relay(socket, form, runtime, &channels, None).await?)
}

/// The streams in the order of their channels: data, error, data, error.
async fn open<W: AsyncWrite + Unpin>(sender: &mut Sender<W>, ports: &[u16]) -> std::io::Result<Channels> {
    let mut channels = Channels::default();
    for (index, (port, channel)) in ports.iter().zip((0u8..).step_by(2)).enumerate() {
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
        channels.outputs.extend([(data, channel), (error, channel + 1)]);
        channels.inputs.push((channel, data));
    }
    Ok(channels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header;

    #[test]
    fn the_tunnel_is_preferred_where_both_are_offered() {
        for (offered, expected) in [
            (vec!["v4.channel.k8s.io"], true),
            (vec!["SPDY/3.1+portforward.k8s.io", "v4.channel.k8s.io"], false),
            (vec!["v4.channel.k8s.io, SPDY/3.1+portforward.k8s.io"], false),
            (vec!["v4.base64.channel.k8s.io"], true),
            (vec![], true),
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

    #[tokio::test]
    async fn only_data_channels_are_written_to() {
        let mut sender = Sender::new(Vec::new());
        let channels = open(&mut sender, &[80, 81]).await.unwrap();
        assert_eq!(channels.inputs, [(0, 3), (2, 7)]);
        assert_eq!(channels.outputs, [(3, 0), (1, 1), (7, 2), (5, 3)]);
    }
}
