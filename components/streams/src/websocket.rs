//! How a WebSocket begins (RFC 6455, section 4.2), for servers that hold the request and the connection that it came on.

use futures::{SinkExt as _, Stream, StreamExt as _};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};

/// Longest message of a client, bytes: that of upstream's server of channels.
const LONGEST_MESSAGE: usize = 32 << 20;
/// What is read of a client at once, bytes: kubectl's messages have no more.
const READ_AT_ONCE: usize = 32 << 10;
/// A client that was told that all is said has this long to close; what it still sends is read and dropped.
const PARTING: Duration = Duration::from_secs(5);

/// A WebSocket with a client.
pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Why a request can't have a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("a WebSocket is asked for with GET")]
    Method,
    #[error("the request asks for no WebSocket")]
    Upgrade,
    #[error("sec-websocket-version must be 13")]
    Version,
    #[error("sec-websocket-key is missing")]
    Key,
}

impl Refused {
    /// Of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Upgrade | Self::Version | Self::Key => StatusCode::BAD_REQUEST,
        }
    }
}

/// A request that may have a WebSocket.
#[derive(Clone, Debug)]
pub struct Handshake {
    accept: HeaderValue,
}

impl Handshake {
    /// # Errors
    ///
    /// The request is none for a WebSocket of the only version that there is.
    pub fn check(method: &Method, headers: &HeaderMap) -> Result<Self, Refused> {
        if method != Method::GET {
            return Err(Refused::Method);
        }
        if !is_requested(headers) {
            return Err(Refused::Upgrade);
        }
        if headers.get(SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes) != Some(b"13") {
            return Err(Refused::Version);
        }
        let key = headers.get(SEC_WEBSOCKET_KEY).ok_or(Refused::Key)?;
        let accept = derive_accept_key(key.as_bytes());
        let accept = HeaderValue::try_from(accept).map_err(|_| Refused::Key)?;
        Ok(Self { accept })
    }

    /// The headers of the answer 101, with the subprotocol that was chosen.
    pub fn answer(self, protocol: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        if let Some(Ok(protocol)) = protocol.map(HeaderValue::from_str) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        headers
    }
}

/// Whether a request asks for its connection to become a WebSocket.
pub fn is_requested(headers: &HeaderMap) -> bool {
    let is_websocket = headers
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let connection = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok());
    is_websocket
        && connection
            .flat_map(|value| value.split(','))
            .any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
}

/// The subprotocols that a client names, in its order.
pub fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
}

/// The WebSocket, once the answer 101 is on its way.
///
/// # Errors
///
/// The connection ended before.
pub async fn open(upgrade: OnUpgrade) -> Result<Socket, hyper::Error> {
    let limits = WebSocketConfig::default()
        .read_buffer_size(READ_AT_ONCE)
        .max_message_size(Some(LONGEST_MESSAGE))
        .max_frame_size(Some(LONGEST_MESSAGE));
    let connection = TokioIo::new(upgrade.await?);
    Ok(WebSocketStream::from_raw_socket(connection, Role::Server, Some(limits)).await)
}

/// Tells the client that all is said, and waits until it has closed.
///
/// # Errors
///
/// The client could not be told any more.
pub async fn part(
    to_client: &mut (impl futures::Sink<Message, Error = tungstenite::Error> + Unpin),
    from_client: &mut (impl Stream<Item = Result<Message, tungstenite::Error>> + Unpin),
) -> Result<(), tungstenite::Error> {
    let normal = CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    };
    to_client.send(Message::Close(Some(normal))).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(change: impl FnOnce(&mut HeaderMap)) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        change(&mut headers);
        headers
    }

    #[test]
    fn a_request_must_be_whole() {
        let without = |name: &'static str| {
            asking(|headers| {
                headers.remove(name);
            })
        };
        for (method, headers, expected) in [
            (Method::GET, asking(|_| {}), None),
            (Method::POST, asking(|_| {}), Some(Refused::Method)),
            (Method::GET, without("connection"), Some(Refused::Upgrade)),
            (Method::GET, without("upgrade"), Some(Refused::Upgrade)),
            (
                Method::GET,
                without("sec-websocket-version"),
                Some(Refused::Version),
            ),
            (Method::GET, without("sec-websocket-key"), Some(Refused::Key)),
        ] {
            assert_eq!(
                Handshake::check(&method, &headers).err(),
                expected,
                "{method} {headers:?}"
            );
        }
    }

    #[test]
    fn the_answer_is_that_of_the_rfc() {
        let handshake = Handshake::check(&Method::GET, &asking(|_| {})).unwrap();
        let answer = handshake.clone().answer(Some("v5.channel.k8s.io"));
        assert_eq!(answer["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(answer["sec-websocket-protocol"], "v5.channel.k8s.io");
        assert!(!handshake.answer(None).contains_key("sec-websocket-protocol"));
    }

    #[test]
    fn subprotocols_may_stand_in_several_headers() {
        let headers = asking(|headers| {
            for value in ["a, b", "", "c"] {
                headers.append("sec-websocket-protocol", HeaderValue::from_static(value));
            }
        });
        assert_eq!(offered(&headers).collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
