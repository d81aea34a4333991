//! exec and attach of clients that speak WebSocket, by kubelets that speak SPDY.
//!
//! As upstream's server does it: the WebSocket is accepted first, and what the kubelet has against it is told as a Status on
//! the channel for errors.

use super::super::container::text;
use super::super::destination::Destination;
use super::super::relay::{self, Outgoing, Switch};
use super::{PROTOCOL_VERSION, asking_for_spdy, handshake, speaks_spdy};
use crate::metrics::streams::StreamMetrics;
use crate::serving::body::Response;
use apimachinery::ApiError;
use futures::{SinkExt, StreamExt};
use http::{HeaderMap, Method};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::time::Duration;
use streams::messages::Form;
use streams::relay::End;
use streams::remote_command::{ERROR, SPDY_PROTOCOL, V5, Wanted};
use streams::spdy::{Receiver, Sender};
use streams::websocket::{self, Socket};
use tokio::io::{AsyncRead, AsyncWrite};

/// Upstream's: what stands between here and the kubelet must not take a silent stream for a dead one.
const PING_EVERY: Duration = Duration::from_secs(5);
/// Longest wait until a client has taken an error.
const ERROR_TIMEOUT: Duration = Duration::from_secs(10);

/// Accepts the WebSocket, and speaks SPDY with the kubelet as long as it lasts.
pub(super) fn answer(
    metrics: &StreamMetrics,
    destination: Destination,
    outgoing: Outgoing,
    wanted: Wanted,
    upgrade: OnUpgrade,
) -> Result<Response, ApiError> {
    let handshake = handshake(&outgoing).inspect_err(|error| metrics.translated(error.code()))?;
    let outgoing = Outgoing {
        method: Method::POST,
        headers: asking_for_spdy(HeaderMap::new(), std::iter::once(SPDY_PROTOCOL)),
        ..outgoing
    };
    let metrics = metrics.clone();
    let work = async move {
        let code = carry(upgrade, &destination, outgoing, wanted).await;
        metrics.translated(code);
    };
    Ok(relay::switching(handshake.answer(Some(V5)), work))
}

/// How it ended, as a code of HTTP.
async fn carry(client: OnUpgrade, destination: &Destination, outgoing: Outgoing, wanted: Wanted) -> u16 {
    let form = Form::named(V5);
    let socket = async {
        let mut socket = websocket::open(client).await?;
        // Tells the client that the connection is made.
        socket.send(form.message(wanted.greeting(), &[])).await?;
        anyhow::Ok(socket)
    };
    let socket = match socket.await {
        Ok(socket) => socket,
        Err(error) => {
            tracing::debug!(%error, "a connection could not change protocol");
            return 400;
        }
    };
    let pace = outgoing.bytes_per_second;
    let kubelet = match connect(destination, outgoing).await {
        Ok(kubelet) => kubelet,
        Err(error) => {
            let told = tell(socket, form, &error);
            if !matches!(tokio::time::timeout(ERROR_TIMEOUT, told).await, Ok(Ok(()))) {
                tracing::debug!("a client could not be told an error");
            }
            return error.code();
        }
    };
    let work = |kubelet| relayed(socket, form, wanted, kubelet);
    match relay::at_pace(kubelet, pace, work).await {
        Ok(End::Said(status)) => code(&status),
        Ok(End::Gone) => 200,
        Ok(End::Lost) => 500,
        Err(error) => {
            tracing::debug!(%error, "a translated stream ended");
            500
        }
    }
}

async fn relayed(
    socket: Socket,
    form: Form,
    wanted: Wanted,
    kubelet: impl AsyncRead + AsyncWrite,
) -> anyhow::Result<End> {
    let (reader, writer) = tokio::io::split(kubelet);
    let mut sender = Sender::new(writer);
    let channels = wanted.open(&mut sender, form).await?;
    let kubelet = (Receiver::new(reader), sender);
    Ok(streams::relay::relay(socket, form, kubelet, &channels, Some(PING_EVERY)).await?)
}

async fn connect(destination: &Destination, outgoing: Outgoing) -> Result<TokioIo<Upgraded>, ApiError> {
    let not_made = |why: &str| ApiError::internal(format!("unable to upgrade connection: {why}"));
    match relay::switch(destination, outgoing).await {
        Err(failure) => Err(ApiError::internal(failure)),
        Ok(Switch::Refused(answer)) => {
            let text = text(answer.into_body()).await;
            let status = serde_json::from_str(&text).ok();
            Err(status
                .and_then(|status| ApiError::from_status(&status))
                .unwrap_or_else(|| not_made(&text)))
        }
        Ok(Switch::Made(headers, connection)) => {
            let spoken = headers.get(PROTOCOL_VERSION);
            if !speaks_spdy(&headers) || spoken.is_none_or(|spoken| spoken != SPDY_PROTOCOL) {
                return Err(not_made("the kubelet chose another protocol"));
            }
            let connection = connection.await;
            connection.map(TokioIo::new).map_err(ApiError::internal)
        }
    }
}

/// Tells the client why there is no stream.
async fn tell(socket: Socket, form: Form, error: &ApiError) -> anyhow::Result<()> {
    let (mut to_client, mut from_client) = socket.split();
    let status = error.to_status().to_string();
    to_client.send(form.message(ERROR, status.as_bytes())).await?;
    Ok(websocket::part(&mut to_client, &mut from_client).await?)
}

/// Of the Status with which a kubelet has told how all ended. That a process failed is no error of the stream.
fn code(status: &[u8]) -> u16 {
    if status.is_empty() {
        return 200;
    }
    let status: Value = serde_json::from_slice(status).unwrap_or_default();
    if status["status"] == "Success" || status["reason"] == "NonZeroExitCode" {
        200
    } else {
        500
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_failed_is_no_error_of_the_stream() {
        for (status, expected) in [
            (r#"{"status":"Success"}"#, 200),
            (r#"{"status":"Failure","reason":"NonZeroExitCode"}"#, 200),
            (r#"{"status":"Failure","reason":"InternalError","code":500}"#, 500),
            ("no Status", 500),
            ("", 200),
        ] {
            assert_eq!(code(status.as_bytes()), expected, "{status}");
        }
    }
}
