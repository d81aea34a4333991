//! Sending a request on and bringing its answer back, including connections that change protocol.

use super::abrupt::Abrupt;
use super::destination::Destination;
use super::egress::{Stream, Way};
use crate::authentication::websocket;
use crate::serving::body::{Body, Response};
use crate::serving::keepalive;
use crate::webhook::{explain, go_text};
use apimachinery::{ApiError, Reason};
use bytes::Bytes;
use futures::TryStreamExt;
use http::header::{CONNECTION, HOST, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, BodyStream, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes that wait in between where a connection has a pace.
const PACED: usize = 16 << 10;
/// Headers that are about one connection only, or that are the caller's secret.
const NOT_FORWARDED: [&str; 12] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "authorization",
    "content-length",
    "accept-encoding",
];

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// A request's body on its way to another server.
pub type OutgoingBody = UnsyncBoxBody<Bytes, BoxError>;

/// What is sent on.
#[derive(Debug)]
pub struct Outgoing {
    pub method: Method,
    /// Path and query.
    pub uri: String,
    pub headers: HeaderMap,
    pub body: OutgoingBody,
    /// What the other server is told that it is called; its address unless given.
    pub host: Option<String>,
    /// Bytes a second in each direction once the connection has changed its protocol; 0 is no limit.
    pub bytes_per_second: u64,
}

pub fn empty() -> OutgoingBody {
    Empty::<Bytes>::new()
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A client's body as it comes.
pub fn passed_on(body: Incoming) -> OutgoingBody {
    body.map_err(|error| Box::new(error) as BoxError).boxed_unsync()
}

/// With the answer to a request whose connection was joined with another: cancelled when they have ended.
#[derive(Clone, Debug)]
pub struct Joined(pub CancellationToken);

/// Why the other server gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No connection, or none that it may be trusted over.
    #[error("error dialing backend: {0}")]
    Dial(String),
    /// The backend's certificate is not one to believe.
    #[error("error dialing backend: {0}")]
    Untrusted(String),
    #[error("error sending request to backend: {0}")]
    Exchange(#[from] hyper::Error),
    #[error("the path can't be sent on")]
    Path,
    /// It neither changed the protocol nor said what is wrong. Handing such an answer on would let it send the client
    /// elsewhere, with the credentials for this server (CVE-2020-8559).
    #[error("invalid upgrade response: status code {0}")]
    NotUpgraded(u16),
}

/// An answer to a request for another protocol that is neither that nor an error.
pub fn check_upgrade(status: StatusCode) -> Result<(), Failure> {
    if status == StatusCode::SWITCHING_PROTOCOLS || status.as_u16() >= 400 {
        return Ok(());
    }
    Err(Failure::NotUpgraded(status.as_u16()))
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Path => Self::bad_request(failure.to_string()),
            Failure::NotUpgraded(_) => Self::new(500, Reason::Unknown, failure.to_string(), None),
            Failure::Dial(_) | Failure::Untrusted(_) | Failure::Exchange(_) => {
                Self::new(502, Reason::Unknown, failure.to_string(), None)
            }
        }
    }
}

async fn dial(destination: &Destination) -> Result<Box<dyn Stream>, Failure> {
    let stream = match &destination.way {
        Way::Direct => Box::new(connect(destination).await?),
        Way::Proxy(proxy) => proxy
            .dial(&destination.authority())
            .await
            .map_err(|error| Failure::Dial(error.to_string()))?,
    };
    secure(destination, stream).await
}

async fn connect(destination: &Destination) -> Result<TcpStream, Failure> {
    let unreachable = Failure::Dial;
    let connect = TcpStream::connect((destination.host.as_str(), destination.port));
    let tcp = match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
        Ok(Ok(tcp)) => tcp,
        Ok(Err(error)) => {
            return Err(unreachable(format!(
                "dial tcp {}: {}",
                destination.authority(),
                go_text(&error)
            )));
        }
        Err(_) => {
            return Err(unreachable(format!(
                "dial tcp {}: i/o timeout",
                destination.authority()
            )));
        }
    };
    tcp.set_nodelay(true)
        .and_then(|()| keepalive::set(&tcp))
        .map_err(|error| unreachable(error.to_string()))?;
    Ok(tcp)
}

/// The connection under TLS, if the destination has it.
async fn secure(destination: &Destination, stream: Box<dyn Stream>) -> Result<Box<dyn Stream>, Failure> {
    let unreachable = Failure::Dial;
    let Some(tls) = &destination.tls else {
        return Ok(stream);
    };
    let name =
        ServerName::try_from(destination.host.clone()).map_err(|error| unreachable(error.to_string()))?;
    let handshake = TlsConnector::from(std::sync::Arc::clone(tls)).connect(name, stream);
    match tokio::time::timeout(CONNECT_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => Ok(Box::new(Abrupt(stream))),
        Ok(Err(error)) => Err(match of_tls(&error) {
            Some(tls @ rustls::Error::InvalidCertificate(_)) => Failure::Untrusted(explain(tls)),
            Some(tls) => unreachable(explain(tls)),
            None => unreachable(error.to_string()),
        }),
        Err(_) => Err(unreachable("TLS handshake timeout".to_owned())),
    }
}

fn of_tls(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Headers fit for the next hop.
pub fn forwarded(headers: &HeaderMap, upgrading: bool) -> HeaderMap {
    let mut out = HeaderMap::new();
    for (name, value) in headers {
        let own = NOT_FORWARDED.contains(&name.as_str())
            || name.as_str().starts_with("impersonate-")
            || name.as_str().starts_with("x-remote-");
        if !own {
            out.append(name.clone(), value.clone());
        }
    }
    websocket::forget(&mut out);
    if upgrading {
        out.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Some(protocol) = headers.get(UPGRADE) {
            out.insert(UPGRADE, protocol.clone());
        }
    }
    out
}

/// Adds who has sent the request to those who passed it on.
pub fn forwarded_for(headers: &mut HeaderMap, address: &str) {
    let chain: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .chain(std::iter::once(address))
        .collect();
    if let Ok(value) = HeaderValue::from_str(&chain.join(", ")) {
        headers.insert(FORWARDED_FOR, value);
    }
}

/// Whether a request wants its connection to change protocol.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    let connection = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok());
    headers.contains_key(UPGRADE)
        && connection
            .flat_map(|value| value.split(','))
            .any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
}

/// Sends the request and gives the answer; after a 101 both connections are joined.
pub async fn send(
    destination: &Destination,
    outgoing: Outgoing,
    upgrade: Option<OnUpgrade>,
) -> Result<Response, Failure> {
    let upgrading = upgrade.is_some() && is_upgrade(&outgoing.headers);
    let bytes_per_second = outgoing.bytes_per_second;
    let (connection, request) = prepared(destination, outgoing, upgrading).await?;
    over(connection, request, upgrade, bytes_per_second).await
}

/// What another server says to a request for another protocol.
pub enum Switch {
    /// It is made; with the headers of the answer.
    Made(HeaderMap, OnUpgrade),
    /// Any other answer; not to be handed on before [`check_upgrade`].
    Refused(Response),
}

/// Asks for another protocol on behalf of this server, which then speaks it.
pub async fn switch(destination: &Destination, outgoing: Outgoing) -> Result<Switch, Failure> {
    let (connection, request) = prepared(destination, outgoing, true).await?;
    let (mut answer, sender) = exchange(connection, request).await?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let connection = hyper::upgrade::on(&mut answer);
        return Ok(Switch::Made(std::mem::take(answer.headers_mut()), connection));
    }
    Ok(Switch::Refused(answer_of(answer, sender)))
}

/// A connection, and the request for it.
async fn prepared(
    destination: &Destination,
    outgoing: Outgoing,
    upgrading: bool,
) -> Result<(TokioIo<Box<dyn Stream>>, http::Request<OutgoingBody>), Failure> {
    let stream = dial(destination).await?;
    let mut request = http::Request::new(outgoing.body);
    *request.method_mut() = outgoing.method;
    *request.uri_mut() = outgoing.uri.parse().map_err(|_| Failure::Path)?;
    *request.headers_mut() = forwarded(&outgoing.headers, upgrading);
    let host = outgoing.host.unwrap_or_else(|| destination.authority());
    if let Ok(host) = HeaderValue::from_str(&host) {
        request.headers_mut().insert(HOST, host);
    }
    Ok((TokioIo::new(stream), request))
}

/// The answer, and what keeps its connection.
async fn exchange<T, B>(
    connection: T,
    request: http::Request<B>,
) -> Result<(http::Response<Incoming>, http1::SendRequest<B>), Failure>
where
    T: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (mut sender, connection) = http1::handshake(connection).await?;
    // Owned by the connection itself: it ends when the answer has been read, or the joined streams have.
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a backend connection ended");
        }
    });
    Ok((sender.send_request(request).await?, sender))
}

/// One exchange over a connection that is used for nothing else; with `bytes_per_second` as in [`Outgoing`].
pub async fn over<T, B>(
    connection: T,
    request: http::Request<B>,
    upgrade: Option<OnUpgrade>,
    bytes_per_second: u64,
) -> Result<Response, Failure>
where
    T: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let asked = upgrade.is_some() && is_upgrade(request.headers());
    let (mut answer, sender) = exchange(connection, request).await?;
    if asked {
        check_upgrade(answer.status())?;
    }
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(client) = upgrade
    {
        let backend = hyper::upgrade::on(&mut answer);
        let headers = std::mem::take(answer.headers_mut());
        return Ok(switching(headers, join(client, backend, bytes_per_second)));
    }
    Ok(answer_of(answer, sender))
}

/// The answer with which the client's connection changes its protocol. `work` is all that happens on it then; the request has
/// ended when it has.
pub fn switching(headers: HeaderMap, work: impl Future<Output = ()> + Send + 'static) -> Response {
    let joined = CancellationToken::new();
    let ended = joined.clone().drop_guard();
    tokio::spawn(async move {
        work.await;
        drop(ended);
    });
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Joined(joined));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response
}

/// Has `work` done on another server's connection, with `bytes_per_second` as in [`Outgoing`].
pub async fn at_pace<F: Future>(
    connection: TokioIo<Upgraded>,
    bytes_per_second: u64,
    work: impl FnOnce(Box<dyn Stream>) -> F,
) -> F::Output {
    if bytes_per_second == 0 {
        return work(Box::new(connection)).await;
    }
    let (near, far) = tokio::io::duplex(PACED);
    let carried = async {
        daemon::joined::join_at(far, connection, bytes_per_second).await;
        // What was carried has still to be read.
        std::future::pending().await
    };
    tokio::select! {
        output = work(Box::new(near)) => output,
        never = carried => never,
    }
}

/// The other server's answer as this one's; `kept` lives for as long as the body is read.
pub fn answer_of(answer: http::Response<Incoming>, kept: impl Send + 'static) -> Response {
    let (parts, body) = answer.into_parts();
    let stream = TryStreamExt::map_err(BodyStream::new(body), std::io::Error::other)
        .try_filter_map(|frame| async move { Ok(frame.into_data().ok()) });
    let stream = stream.inspect_ok(move |_| {
        let _ = &kept;
    });
    let mut response = Response::new(Body::stream(stream));
    *response.status_mut() = parts.status;
    for (name, value) in &parts.headers {
        if !hop_by_hop(name) {
            response.headers_mut().append(name.clone(), value.clone());
        }
    }
    response
}

fn hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection" | "keep-alive" | "transfer-encoding" | "upgrade" | "te" | "trailer"
    )
}

async fn join(client: OnUpgrade, backend: OnUpgrade, bytes_per_second: u64) {
    let (client, backend) = match tokio::try_join!(client, backend) {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(%error, "a connection could not change protocol");
            return;
        }
    };
    daemon::joined::join_at(TokioIo::new(client), TokioIo::new(backend), bytes_per_second).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_of_a_request_is_told() {
        let mut headers = HeaderMap::new();
        forwarded_for(&mut headers, "10.0.0.1");
        forwarded_for(&mut headers, "10.0.0.2");
        assert_eq!(headers["x-forwarded-for"], "10.0.0.1, 10.0.0.2");
    }
}
