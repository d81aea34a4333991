//! Watches over a WebSocket, by the rules of golang.org/x/net/websocket, which answers upstream: a browser says where its
//! page is from, and names one sub-protocol at most.

use super::Frames;
use crate::connect::listening::{Listener, unwanted};
use crate::media::Encoding;
use crate::request::ApiRequest;
use crate::serving::body::Response;
use apimachinery::go_url::Url;
use bytes::Bytes;
use futures::{Stream, stream};
use http::header::ORIGIN;
use http::{HeaderMap, StatusCode};
use streams::listening::Form;
use streams::websocket::offered;

/// The length of a frame of protobuf stands before it; messages have one of their own.
const LENGTH: usize = 4;

/// A message for each event.
pub(super) fn answer(listener: Listener, request: &ApiRequest, frames: Frames) -> Response {
    let encoding = frames.encoding;
    let events = stream::unfold(Some(frames), |state| async move {
        let mut frames = state?;
        let (frame, more) = frames.single().await?;
        Some((frame, more.then_some(frames)))
    });
    told(listener, request, encoding, events)
}

/// One event, and the end.
pub(super) fn once(listener: Listener, request: &ApiRequest, encoding: Encoding, frame: Bytes) -> Response {
    let event = stream::once(std::future::ready(frame));
    told(listener, request, encoding, event)
}

/// No event, but the end.
pub(super) fn none(listener: Listener, request: &ApiRequest, encoding: Encoding) -> Response {
    told(listener, request, encoding, stream::empty())
}

fn told(
    listener: Listener,
    request: &ApiRequest,
    encoding: Encoding,
    frames: impl Stream<Item = Bytes> + Send + 'static,
) -> Response {
    let protocol = match protocol(&request.headers) {
        Ok(protocol) => protocol,
        Err(code) => return unwanted(code),
    };
    match encoding {
        Encoding::Protobuf => {
            let messages = futures::StreamExt::map(frames, |frame| frame.slice(LENGTH.min(frame.len())..));
            listener.answer(request, protocol, Form::Bytes, messages)
        }
        Encoding::Json | Encoding::Yaml => listener.answer(request, protocol, Form::Text, frames),
    }
}

/// The sub-protocol that the client named, or the code with which it is refused.
fn protocol(headers: &HeaderMap) -> Result<Option<&str>, StatusCode> {
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    if origin.is_none_or(|origin| Url::check_request(origin).is_err()) {
        return Err(StatusCode::FORBIDDEN);
    }
    let mut protocols = offered(headers);
    let first = protocols.next();
    match protocols.next() {
        Some(_) => Err(StatusCode::BAD_REQUEST),
        None => Ok(first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_tells_its_page_may_name_one_protocol() {
        for (origin, protocols, expected) in [
            (Some("https://ui.example"), "", Ok(None)),
            (
                Some("/page"),
                "base64.binary.k8s.io",
                Ok(Some("base64.binary.k8s.io")),
            ),
            (Some("https://ui.example"), "a, b", Err(StatusCode::BAD_REQUEST)),
            (Some("null"), "", Err(StatusCode::FORBIDDEN)),
            (None, "", Err(StatusCode::FORBIDDEN)),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [("origin", origin), ("sec-websocket-protocol", Some(protocols))] {
                if let Some(value) = value {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            assert_eq!(protocol(&headers), expected, "{origin:?} {protocols}");
        }
    }
}
