//! Connections to the runtime's streaming server.

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio_util::either::Either;

use super::secure::StreamAuthority;
use crate::server::refuse;

/// The runtime's streaming server cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpstreamError {
    #[error("streaming URL {0:?} of the runtime cannot be used")]
    Url(String),
    #[error("cannot connect to the runtime's streaming server: {0}")]
    Connect(#[from] std::io::Error),
    #[error("the runtime's streaming server cannot be verified: {0}")]
    Authority(String),
    #[error("the runtime's streaming server failed: {0}")]
    Http(#[from] hyper::Error),
    #[error("request for the runtime's streaming server: {0}")]
    Request(#[from] http::Error),
}

const PROTOCOL_VERSION: &str = "x-stream-protocol-version";

/// Sends an upgrade request; the answer may refuse it.
async fn request(
    url: &str,
    trusted: &StreamAuthority,
    protocols: impl Iterator<Item = HeaderValue>,
) -> Result<http::Response<Incoming>, UpstreamError> {
    let bad = || UpstreamError::Url(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| bad())?;
    let authority = uri.authority().ok_or_else(bad)?;
    let (secure, usual_port) = match uri.scheme_str() {
        Some("http") => (false, 80),
        Some("https") => (true, 443),
        _ => return Err(bad()),
    };
    let port = authority.port_u16().unwrap_or(usual_port);
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = tokio::net::TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let stream = if secure {
        Either::Left(trusted.secure(stream, host).await?)
    } else {
        Either::Right(stream)
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the connection, whose life is that of the upgraded stream.
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "connection to the runtime's streaming server ended");
        }
    });
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = http::Request::post(path)
        .header(header::HOST, authority.as_str())
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "SPDY/3.1")
        .body(Empty::<bytes::Bytes>::new())?;
    for protocol in protocols {
        request.headers_mut().append(PROTOCOL_VERSION, protocol);
    }
    Ok(sender.send_request(request).await?)
}

/// A SPDY connection of the given protocol.
pub(super) async fn connect(
    url: &str,
    trusted: &StreamAuthority,
    protocol: &'static str,
) -> Result<TokioIo<hyper::upgrade::Upgraded>, UpstreamError> {
    let response = request(url, trusted, std::iter::once(HeaderValue::from_static(protocol))).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(UpstreamError::Connect(std::io::Error::other(format!(
            "it answered {}",
            response.status()
        ))));
    }
    Ok(TokioIo::new(hyper::upgrade::on(response).await?))
}

/// Connects a SPDY client with the runtime.
pub(super) async fn pass_through(url: &str, trusted: &StreamAuthority, mut client: Request) -> Response {
    let protocols: Vec<HeaderValue> = client
        .headers()
        .get_all(PROTOCOL_VERSION)
        .iter()
        .cloned()
        .collect();
    let response = match request(url, trusted, protocols.into_iter()).await {
        Ok(response) => response,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    let status = response.status();
    let mut headers = HeaderMap::new();
    for name in [header::CONNECTION, header::UPGRADE, header::CONTENT_TYPE] {
        if let Some(value) = response.headers().get(&name) {
            headers.insert(name, value.clone());
        }
    }
    for value in response.headers().get_all(PROTOCOL_VERSION) {
        headers.append(PROTOCOL_VERSION, value.clone());
    }
    if status != StatusCode::SWITCHING_PROTOCOLS {
        return (status, headers, Body::new(response.into_body())).into_response();
    }
    let upgraded = hyper::upgrade::on(&mut client);
    // Lives as long as both sides do.
    tokio::spawn(async move {
        match tokio::try_join!(upgraded, hyper::upgrade::on(response)) {
            Ok((client, runtime)) => {
                daemon::joined::join(TokioIo::new(client), TokioIo::new(runtime)).await;
            }
            Err(error) => tracing::debug!(%error, "upgrade failed"),
        }
    });
    (status, headers).into_response()
}
