//! One HTTP/2 connection to a member, and gRPC calls on it.
//!
//! A write is one message there and one back, thousands of times a second, so it is spoken directly: a general client
//! hands each call through several tasks, which costs more than the call itself (docs/decisions.md).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Ping, PingPong, RecvStream, SendStream};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header};
use prost::Message;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::Code;

use super::acknowledgements::Acknowledging;
use super::failure::CallError;
use crate::spans;

const CONNECT: Duration = Duration::from_secs(1);
/// The same where others make the connection, who may have to make one of their own first.
const CONNECT_BY_OTHERS: Duration = Duration::from_secs(5);
/// etcd refuses clients that ask more often than every five seconds, or while they have nothing under way.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(5);
/// What may arrive before it is read: a page of a list, or a burst of events.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// Larger frames than the least allowed, so that an object comes in one.
const FRAME: u32 = 256 * 1024;
/// A flag and the length stand before each message.
const PREFIX: usize = 5;

/// A method of etcd, as its path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rpc(&'static str);

impl Rpc {
    /// Service and method.
    pub(super) fn name(self) -> &'static str {
        self.0.trim_start_matches('/')
    }
}

pub(super) const RANGE: Rpc = Rpc("/etcdserverpb.KV/Range");
pub(super) const TXN: Rpc = Rpc("/etcdserverpb.KV/Txn");
pub(super) const COMPACT: Rpc = Rpc("/etcdserverpb.KV/Compact");
pub(super) const LEASE_GRANT: Rpc = Rpc("/etcdserverpb.Lease/LeaseGrant");
pub(super) const STATUS: Rpc = Rpc("/etcdserverpb.Maintenance/Status");
pub(super) const WATCH: Rpc = Rpc("/etcdserverpb.Watch/Watch");

/// A connection of any kind.
pub trait EtcdStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> EtcdStream for T {}

/// Makes connections to members, such as through a proxy.
#[async_trait]
pub trait EtcdDialer: Send + Sync {
    /// Connects to `host:port`.
    async fn dial(&self, authority: &str) -> io::Result<Box<dyn EtcdStream>>;
}

/// How a member is reached.
pub(super) struct Address {
    pub scheme: Scheme,
    pub authority: Authority,
    pub host: String,
    pub port: u16,
}

/// An open connection; cheap to clone.
#[derive(Clone)]
pub(super) struct Connection {
    sender: SendRequest<Bytes>,
    scheme: Scheme,
    authority: Authority,
    /// Calls under way.
    calls: Arc<AtomicUsize>,
}

/// Counts a call for as long as it lasts.
struct Call(Arc<AtomicUsize>);

impl Call {
    fn count(calls: &Arc<AtomicUsize>) -> Self {
        calls.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(calls))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    pub(super) async fn open(
        address: &Address,
        tls: Option<TlsConnector>,
        dialer: Option<&dyn EtcdDialer>,
    ) -> Result<Self, CallError> {
        let patience = if dialer.is_some() {
            CONNECT_BY_OTHERS
        } else {
            CONNECT
        };
        match timeout(patience, Self::connect(address, tls, dialer)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(CallError::NoConnection),
        }
    }

    async fn connect(
        address: &Address,
        tls: Option<TlsConnector>,
        dialer: Option<&dyn EtcdDialer>,
    ) -> Result<Self, CallError> {
        if let Some(dialer) = dialer {
            let authority = match address.host.contains(':') {
                true => format!("[{}]:{}", address.host, address.port),
                false => format!("{}:{}", address.host, address.port),
            };
            let stream = dialer.dial(&authority).await.map_err(CallError::connecting)?;
            return Self::over(stream, address, tls).await;
        }
        let stream = TcpStream::connect((address.host.as_str(), address.port))
            .await
            .map_err(CallError::connecting)?;
        stream.set_nodelay(true).map_err(CallError::connecting)?;
        Self::over(stream, address, tls).await
    }

    async fn over<S>(stream: S, address: &Address, tls: Option<TlsConnector>) -> Result<Self, CallError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match tls {
            None => Self::handshake(address, stream).await,
            Some(tls) => {
                let name = ServerName::try_from(address.host.clone()).map_err(CallError::connecting)?;
                let stream = tls.connect(name, stream).await.map_err(CallError::connecting)?;
                Self::handshake(address, stream).await
            }
        }
    }

    async fn handshake<S>(address: &Address, stream: S) -> Result<Self, CallError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, mut connection) = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME)
            .handshake::<_, Bytes>(Acknowledging::new(stream))
            .await
            .map_err(CallError::connecting)?;
        let calls = Arc::new(AtomicUsize::new(0));
        let alive = connection
            .ping_pong()
            .map(|pings| keep_alive(pings, Arc::clone(&calls)));
        // Ends with the last sender, with an error, or when the member is silent; those who wait get the error.
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "the connection to etcd ended");
                    }
                }
                () = async { match alive { Some(alive) => alive.await, None => std::future::pending().await } } => {
                    tracing::debug!("the connection to etcd is dead");
                }
            }
        });
        Ok(Self {
            sender,
            scheme: address.scheme.clone(),
            authority: address.authority.clone(),
            calls,
        })
    }

    /// Waits until another call can be made; an error means that the connection is no longer usable.
    pub(super) async fn ready(mut self) -> Result<Self, CallError> {
        self.sender = self.sender.ready().await.map_err(CallError::before_sending)?;
        Ok(self)
    }

    fn begin(&mut self, rpc: Rpc) -> Result<(ResponseFuture, SendStream<Bytes>), CallError> {
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(PathAndQuery::from_static(rpc.0))
            .build()
            .map_err(CallError::before_sending)?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_2;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        // A member without a leader says so at once, and cancels its watches.
        headers.insert("hasleader", HeaderValue::from_static("true"));
        spans::inject(headers);
        self.sender
            .send_request(request, false)
            .map_err(CallError::before_sending)
    }

    /// One message there, one back.
    pub(super) async fn unary<A: Message + Default>(
        mut self,
        rpc: Rpc,
        question: &impl Message,
    ) -> Result<A, CallError> {
        let _call = Call::count(&self.calls);
        let (answer, mut stream) = self.begin(rpc)?;
        stream
            .send_data(framed(question), true)
            .map_err(CallError::under_way)?;
        let (head, body) = answer.await.map_err(CallError::under_way)?.into_parts();
        check(head.status, &head.headers)?;
        let mut messages = Messages::new(body);
        let message = messages.next().await?;
        messages.end().await?;
        decoded(message.ok_or_else(|| CallError::new(Code::Internal, "an answer without a message"))?)
    }

    /// Many messages both ways.
    pub(super) async fn stream(
        mut self,
        rpc: Rpc,
        first: &impl Message,
    ) -> Result<(Requests, Responses), CallError> {
        let call = Call::count(&self.calls);
        let (answer, mut stream) = self.begin(rpc)?;
        stream
            .send_data(framed(first), false)
            .map_err(CallError::under_way)?;
        let (head, body) = answer.await.map_err(CallError::under_way)?.into_parts();
        check(head.status, &head.headers)?;
        let responses = Responses {
            messages: Messages::new(body),
            _call: call,
        };
        Ok((Requests(stream), responses))
    }
}

/// What is still to be asked on a stream. Dropping it resets the stream.
pub(super) struct Requests(SendStream<Bytes>);

impl Requests {
    pub(super) fn send(&mut self, message: &impl Message) -> Result<(), CallError> {
        self.0
            .send_data(framed(message), false)
            .map_err(CallError::under_way)
    }
}

/// What a stream answers.
pub(super) struct Responses {
    messages: Messages,
    _call: Call,
}

impl Responses {
    /// The next message; `None` at the end. Cancel safe.
    pub(super) async fn next<A: Message + Default>(&mut self) -> Result<Option<A>, CallError> {
        match self.messages.next().await? {
            Some(message) => decoded(message).map(Some),
            None => Ok(None),
        }
    }
}

/// Asks for signs of life while calls are under way; returns when there are none.
async fn keep_alive(mut pings: PingPong, calls: Arc<AtomicUsize>) {
    loop {
        tokio::time::sleep(KEEP_ALIVE).await;
        if calls.load(Ordering::Relaxed) == 0 {
            continue;
        }
        let answer = timeout(KEEP_ALIVE_ANSWER, pings.ping(Ping::opaque())).await;
        if !matches!(answer, Ok(Ok(_))) {
            return;
        }
    }
}

fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX + length);
    // Not compressed.
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // The buffer grows as it is needed, so this can't fail.
    let _ = message.encode(&mut frame);
    frame.freeze()
}

fn decoded<A: Message + Default>(message: Bytes) -> Result<A, CallError> {
    A::decode(message).map_err(|error| CallError::new(Code::Internal, &format!("unreadable answer: {error}")))
}

/// Splits a body into messages.
struct Messages {
    body: RecvStream,
    /// Received and not yet given out.
    rest: BytesMut,
    /// The only bytes received, still in the memory in which they came.
    whole: Bytes,
}

impl Messages {
    fn new(body: RecvStream) -> Self {
        Self {
            body,
            rest: BytesMut::new(),
            whole: Bytes::new(),
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            let Some(data) = self.body.data().await else {
                return self.end().await.map(|()| None);
            };
            let data = data.map_err(CallError::under_way)?;
            self.body
                .flow_control()
                .release_capacity(data.len())
                .map_err(CallError::under_way)?;
            if self.rest.is_empty() && self.whole.is_empty() {
                self.whole = data;
            } else {
                self.rest.extend_from_slice(&std::mem::take(&mut self.whole));
                self.rest.extend_from_slice(&data);
            }
        }
    }

    /// The next message, if it is all there.
    fn take(&mut self) -> Result<Option<Bytes>, CallError> {
        if !self.rest.is_empty() {
            let Some(length) = length_of(&self.rest)? else {
                return Ok(None);
            };
            if self.rest.len() < PREFIX + length {
                self.rest.reserve(PREFIX + length - self.rest.len());
                return Ok(None);
            }
            self.rest.advance(PREFIX);
            return Ok(Some(self.rest.split_to(length).freeze()));
        }
        match length_of(&self.whole)? {
            Some(length) if self.whole.len() >= PREFIX + length => {
                self.whole.advance(PREFIX);
                Ok(Some(self.whole.split_to(length)))
            }
            _ => Ok(None),
        }
    }

    /// Reads to the end and what the member says there.
    async fn end(&mut self) -> Result<(), CallError> {
        while let Some(data) = self.body.data().await {
            let data = data.map_err(CallError::under_way)?;
            self.body
                .flow_control()
                .release_capacity(data.len())
                .map_err(CallError::under_way)?;
        }
        match self.body.trailers().await.map_err(CallError::under_way)? {
            Some(trailers) => status_of(&trailers),
            // A status without messages comes in the headers, which were looked at.
            None => Ok(()),
        }
    }
}

/// The length of the message that begins here, once it is known.
fn length_of(bytes: &[u8]) -> Result<Option<usize>, CallError> {
    let Some((mut prefix, _)) = bytes.split_at_checked(PREFIX) else {
        return Ok(None);
    };
    if prefix.get_u8() != 0 {
        return Err(CallError::new(Code::Internal, "a compressed message"));
    }
    Ok(Some(prefix.get_u32() as usize))
}

fn check(status: http::StatusCode, headers: &HeaderMap) -> Result<(), CallError> {
    if status != http::StatusCode::OK {
        return Err(CallError::new(
            Code::Unavailable,
            &format!("HTTP status {status}"),
        ));
    }
    status_of(headers)
}

fn status_of(headers: &HeaderMap) -> Result<(), CallError> {
    let Some(code) = headers.get("grpc-status") else {
        return Ok(());
    };
    match Code::from_bytes(code.as_bytes()) {
        Code::Ok => Ok(()),
        code => {
            let message = headers
                .get("grpc-message")
                .map(|message| percent_decoded(message.as_bytes()))
                .unwrap_or_default();
            Err(CallError::new(code, &message))
        }
    }
}

/// gRPC's messages are percent-encoded: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.
fn percent_decoded(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                digit(high)
                    .zip(digit(low))
                    .map(|(high, low)| (high * 16 + low) as u8)
            }
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_a_status_are_percent_encoded() {
        for (text, want) in [
            ("etcdserver: no leader", "etcdserver: no leader"),
            ("100%25 of%20it", "100% of it"),
            ("cut off %", "cut off %"),
            ("odd %zz", "odd %zz"),
            ("%E2%82%AC", "€"),
        ] {
            assert_eq!(percent_decoded(text.as_bytes()), want);
        }
    }

    #[test]
    fn a_message_has_its_length_in_front() {
        let frame = framed(&super::super::wire::LeaseGrantRequest { ttl: 300 });
        assert_eq!(frame, &b"\0\0\0\0\x03\x08\xac\x02"[..]);
        assert_eq!(length_of(&frame).unwrap(), Some(3));
        assert_eq!(length_of(b"\0\0\0").unwrap(), None);
        assert!(length_of(b"\x01\0\0\0\0").is_err(), "compressed");
    }
}
