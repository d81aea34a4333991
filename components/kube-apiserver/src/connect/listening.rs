//! Answers that go out over a WebSocket on which the client only listens: browsers can ask for logs and watches in no other
//! way.

use super::relay;
use crate::answer;
use crate::request::ApiRequest;
use crate::serving::body::Response;
use bytes::Bytes;
use futures::Stream;
use http::header::SEC_WEBSOCKET_VERSION;
use http::{HeaderValue, StatusCode};
use hyper::upgrade::OnUpgrade;
use streams::listening::{self, Form};
use streams::websocket::{self, Handshake, Refused};

/// A client that asked for a WebSocket.
pub struct Listener(OnUpgrade);

impl Listener {
    /// The client, if the request asks for a WebSocket on a connection that may become one.
    pub fn of(request: &ApiRequest, upgrade: Option<OnUpgrade>) -> Option<Self> {
        upgrade
            .filter(|_| websocket::is_requested(&request.headers))
            .map(Self)
    }

    /// The answer, after which each item is a message to the client.
    pub fn answer(
        self,
        request: &ApiRequest,
        protocol: Option<&str>,
        form: Form,
        said: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Response {
        let handshake = match Handshake::check(&request.method, &request.headers) {
            Ok(handshake) => handshake,
            Err(refused) => return refusal(refused),
        };
        let speaking = async move {
            let outcome = match websocket::open(self.0).await {
                Ok(socket) => listening::speak(socket, form, said)
                    .await
                    .map_err(anyhow::Error::from),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = outcome {
                tracing::debug!(%error, "a client that listens on a WebSocket was lost");
            }
        };
        relay::switching(handshake.answer(protocol), speaking)
    }
}

/// No Status: the library that answers upstream knows of none.
fn refusal(refused: Refused) -> Response {
    let mut answer = answer::text(refused.status(), refused.to_string());
    if refused == Refused::Version {
        let headers = answer.headers_mut();
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    answer
}

/// The answer to a client that wants none of what there is.
pub fn unwanted(code: StatusCode) -> Response {
    answer::text(code, "")
}
