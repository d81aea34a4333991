//! Port-forward over WebSocket (`SPDY/3.1+portforward.k8s.io`): the messages carry the bytes of a SPDY
//! connection, which the runtime understands.

use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;
use streams::tunnel::{self, PROTOCOL, SPDY_PROTOCOL};
use streams::websocket;

use super::secure::StreamAuthority;
use super::{WebSocketRequest, upstream};
use crate::server::refuse;

pub(super) async fn serve(url: &str, trusted: &StreamAuthority, request: Request) -> Response {
    // The only subprotocol that there is, if the client names it.
    let protocol = websocket::offered(request.headers())
        .any(|name| name == PROTOCOL)
        .then_some(PROTOCOL);
    let request = match WebSocketRequest::of(request) {
        Ok(request) => request,
        Err(response) => return response,
    };
    let runtime = match upstream::connect(url, trusted, SPDY_PROTOCOL).await {
        Ok(runtime) => runtime,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    request.accept(protocol, move |socket| async move {
        if let Err(error) = tunnel::carry(socket, runtime).await {
            tracing::debug!(%error, "port-forward ended");
        }
    })
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::any;
    use futures::{SinkExt as _, StreamExt as _};
    use http::{Request, header};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_tungstenite::tungstenite::Message;

    use super::*;

    /// Upgrades one connection and sends back what it gets.
    async fn runtime(listener: TcpListener) -> std::io::Result<()> {
        let (mut stream, _) = listener.accept().await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n";
        stream.write_all(answer).await?;
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer).await.map(|_| ())
    }

    #[tokio::test]
    async fn a_websocket_of_a_client_reaches_the_runtime() {
        let listen = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (spdy, http) = (listen().await, listen().await);
        let url = format!("http://{}/portforward/token", spdy.local_addr().unwrap());
        let address = http.local_addr().unwrap();
        tokio::spawn(runtime(spdy));
        let handler = any(async move |request: axum::extract::Request| {
            serve(&url, &StreamAuthority::new(None), request).await
        });
        tokio::spawn(async move { axum::serve(http, Router::new().route("/", handler)).await });
        let asking = |key: Option<&str>| {
            let request = Request::get(format!("ws://{address}/"))
                .header(header::HOST, "k")
                .header(header::CONNECTION, "Upgrade")
                .header(header::UPGRADE, "websocket")
                .header(header::SEC_WEBSOCKET_VERSION, key.map_or("12", |_| "13"))
                .header(
                    header::SEC_WEBSOCKET_KEY,
                    key.unwrap_or("AAAAAAAAAAAAAAAAAAAAAA=="),
                )
                .header(header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL);
            request.body(()).unwrap()
        };
        let connect = async || TcpStream::connect(address).await.unwrap();
        // No version of WebSockets that there is: refused before the runtime is asked.
        let refused = tokio_tungstenite::client_async(asking(None), connect().await).await;
        assert!(refused.unwrap_err().to_string().contains("400"));
        let asked = asking(Some("dGhlIHNhbXBsZSBub25jZQ=="));
        let (mut socket, answer) = tokio_tungstenite::client_async(asked, connect().await)
            .await
            .unwrap();
        assert_eq!(answer.headers()[header::SEC_WEBSOCKET_PROTOCOL], PROTOCOL);
        let message = Message::Binary(b"hello".as_slice().into());
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
}
