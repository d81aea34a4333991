//! exec and attach of clients that speak WebSocket, by kubelets that speak SPDY.
//!
//! As upstream's server does it: the WebSocket is accepted first, and what the kubelet has against it is told as a Status on
//! the channel for errors.

use super::super::container::text;
use super::super::destination::Destination;
use super::super::relay::{self, Failure, Outgoing, Switch};
use super::{PROTOCOL_VERSION, asking_for_spdy, handshake, speaks_spdy};
use crate::metrics::streams::StreamMetrics;
use crate::serving::body::Response;
use apimachinery::field::quote;
use apimachinery::{ApiError, json};
use futures::{SinkExt, StreamExt};
use http::header::LOCATION;
use http::{HeaderMap, Method, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::time::Duration;
use streams::messages::Form;
use streams::relay::{End, Told};
use streams::remote_command::{ERROR, SPDY_PROTOCOL, V5, Wanted};
use streams::spdy::{Receiver, Sender};
use streams::websocket::{self, Socket};
use tokio::io::{AsyncRead, AsyncWrite};
use url::Url;

/// Upstream's: what stands between here and the kubelet must not take a silent stream for a dead one.
const PING_EVERY: Duration = Duration::from_secs(5);
/// Why a process failed, and the cause that says with which code.
const NON_ZERO_EXIT: &str = "NonZeroExitCode";
const EXIT_CODE: &str = "ExitCode";
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
        host: None,
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
    let mut channels = wanted.open(&mut sender, form).await?;
    if let Some(status) = &mut channels.status {
        status.told = Told::Reworded(reworded);
    }
    let kubelet = (Receiver::new(reader), sender);
    Ok(streams::relay::relay(socket, form, kubelet, &channels, Some(PING_EVERY)).await?)
}

async fn connect(destination: &Destination, outgoing: Outgoing) -> Result<TokioIo<Upgraded>, ApiError> {
    let url = format!("https://{}{}", destination.authority(), outgoing.uri);
    let not_sent = |url: &str, why: &str| {
        let to = quote(url);
        ApiError::internal(format!("error sending request: Post {to}: {why}"))
    };
    let not_made = |why: &str| ApiError::internal(format!("unable to upgrade connection: {why}"));
    match relay::switch(destination, outgoing).await {
        Err(Failure::Dial(why) | Failure::Untrusted(why)) => Err(not_sent(&url, &why)),
        Err(failure) => Err(not_sent(&url, &failure.to_string())),
        // Nobody goes there with this server's credentials.
        Ok(Switch::Refused(answer)) => Err(match redirect(&url, answer.status(), answer.headers()) {
            Some(elsewhere) => not_sent(&elsewhere, "redirect not allowed"),
            None => not_made(&refusal(&text(answer.into_body()).await)),
        }),
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

/// Where a kubelet sends who has asked it for `url`.
fn redirect(url: &str, status: StatusCode, headers: &HeaderMap) -> Option<String> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = headers.get(LOCATION)?.to_str().ok()?;
    let elsewhere = Url::parse(url).and_then(|url| url.join(location));
    Some(elsewhere.map_or_else(|_| location.to_owned(), String::from))
}

/// What a kubelet's answer says against the connection.
fn refusal(text: &str) -> String {
    let status: Value = serde_json::from_str(text).unwrap_or_default();
    let told = ["message", "error"].map(|field| status[field].as_str().unwrap_or_default().trim());
    let told = told.into_iter().chain([text.trim()]);
    let mut told = told.filter(|text| !text.is_empty());
    told.next().unwrap_or("empty server response").to_owned()
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
    match ended(status) {
        Ok(_) => 200,
        Err(_) => 500,
    }
}

/// The Status as a client is told it.
fn reworded(status: &[u8]) -> Vec<u8> {
    let told = match ended(status) {
        Ok(None) => json!({ "metadata": {}, "status": "Success" }),
        Ok(Some(code)) => json!({
            "metadata": {},
            "status": "Failure",
            "message": format!("command terminated with non-zero exit code: command terminated with exit code {code}"),
            "reason": NON_ZERO_EXIT,
            "details": { "causes": [{ "reason": EXIT_CODE, "message": code.to_string() }] },
        }),
        Err(why) => ApiError::internal(why).to_status(),
    };
    told.to_string().into_bytes()
}

/// How a process ended: with the code that it exited with, if that wasn't zero. The errors are upstream's.
fn ended(status: &[u8]) -> Result<Option<u8>, String> {
    if status.is_empty() {
        return Ok(None);
    }
    let broken = |why: String| format!("error stream protocol error: {why}");
    let document = json::parse(status).map_err(|error| {
        let text = String::from_utf8_lossy(status);
        broken(format!("{error} in {}", quote(&text)))
    })?;
    let status = document.value;
    match status["status"].as_str() {
        Some("Success") => return Ok(None),
        Some("Failure") => {}
        _ => return Err(broken("unknown error".to_owned())),
    }
    if status["reason"] != NON_ZERO_EXIT {
        return Err(status["message"].as_str().unwrap_or_default().to_owned());
    }
    if !status["details"].is_object() {
        return Err(broken("details must be set".to_owned()));
    }
    let causes = status["details"]["causes"].as_array();
    let mut causes = causes.into_iter().flatten();
    let Some(cause) = causes.find(|cause| cause["reason"] == EXIT_CODE) else {
        return Err(broken(format!("no {EXIT_CODE} cause given")));
    };
    let code = cause["message"].as_str().unwrap_or_default();
    match code.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(broken(format!("invalid exit code value {}", quote(code)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_failed_is_no_error_of_the_stream() {
        for (status, expected) in [
            (r#"{"status":"Success"}"#, 200),
            (
                r#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}"#,
                200,
            ),
            (r#"{"status":"Failure","reason":"NonZeroExitCode"}"#, 500),
            (r#"{"status":"Failure","reason":"InternalError","code":500}"#, 500),
            ("no Status", 500),
            ("", 200),
        ] {
            assert_eq!(code(status.as_bytes()), expected, "{status}");
        }
    }

    #[test]
    fn a_status_is_told_as_upstreams_server_tells_it() {
        let cause = |cause: &str| {
            format!(r#"{{"status":"Failure","reason":"NonZeroExitCode","details":{{"causes":[{cause}]}}}}"#)
        };
        for (status, message) in [
            (
                r#"{"status":"Failure","message":"container not running (x)"}"#.to_owned(),
                "Internal error occurred: container not running (x)",
            ),
            (
                "garbage".to_owned(),
                "Internal error occurred: error stream protocol error: invalid character 'g' looking for beginning of value in \"garbage\"",
            ),
            (
                cause(""),
                "Internal error occurred: error stream protocol error: no ExitCode cause given",
            ),
            (
                cause(r#"{"reason":"ExitCode","message":"256"}"#),
                "Internal error occurred: error stream protocol error: invalid exit code value \"256\"",
            ),
            (
                cause(r#"{"reason":"ExitCode","message":"7"}"#),
                "command terminated with non-zero exit code: command terminated with exit code 7",
            ),
        ] {
            let told: Value = serde_json::from_slice(&reworded(status.as_bytes())).unwrap();
            assert_eq!(told["message"], message, "{status}");
        }
        let told: Value = serde_json::from_slice(&reworded(b"")).unwrap();
        assert_eq!(told, json!({"metadata": {}, "status": "Success"}));
    }

    #[test]
    fn a_refusal_is_what_the_answer_says() {
        for (text, expected) in [
            (r#"{"kind":"Status","message":" nope "}"#, "nope"),
            (r#"{"error":"no"}"#, "no"),
            (r#"{"message":""}"#, r#"{"message":""}"#),
            ("fine\n", "fine"),
            (" ", "empty server response"),
        ] {
            assert_eq!(refusal(text), expected, "{text}");
        }
    }
}
