//! Accepting connections and serving requests on them until told to stop.

use super::body::{Body, Response};
use super::cork;
use super::names::LOCAL_ADDRESS;
use super::peer::Peer;
use super::threads::Threads;
use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use prometheus_client::metrics::counter::Counter;
use rustls::ServerConfig;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Bytes of a request's headers at most, Go's default: a proxy that impersonates sends a header for each group.
const HEADER_BYTES: usize = 1 << 20;
/// Headers of a request over HTTP/1.1 at most. Go has no such limit.
const MOST_HEADERS: usize = 4096;
/// For what is still to be sent when a connection has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// A client whose connection was made while the server stopped has this long for its first request.
const FIRST_REQUEST: Duration = Duration::from_secs(2);
/// Streams of one HTTP/2 connection. Upstream takes 100, and its clients open another connection then; many others, such as those
/// over hyper, let what is beyond wait, which looks like a server that hangs.
const DEFAULT_STREAMS: u32 = 250;

/// How connections are served.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Of one HTTP/2 connection; 0 is the default.
    pub max_streams: u32,
    /// A client that has not finished its handshake by then is cut off.
    pub handshake: Duration,
    /// A client that has not finished sending its headers by then is cut off.
    pub headers: Duration,
    /// Counts handshakes that failed.
    pub handshake_errors: Counter,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_streams: 0,
            handshake: Duration::from_secs(10),
            headers: Duration::from_secs(32),
            handshake_errors: Counter::default(),
        }
    }
}

/// Accepts until `stop`, then tells open connections to finish. Connections are counted in `tracker`.
/// `threads` must outlive them.
pub async fn serve<H, F>(
    listener: TcpListener,
    threads: Arc<Threads>,
    tls: Arc<ArcSwap<ServerConfig>>,
    limits: Limits,
    handler: H,
    stop: CancellationToken,
    tracker: TaskTracker,
) where
    H: Fn(http::Request<Incoming>, Arc<Peer>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            // Whom the kernel has connected already is served too.
            biased;
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let acceptor = TlsAcceptor::from(tls.load_full());
                let (limits, handler, stop) = (limits.clone(), handler.clone(), stop.clone());
                let serving = move |stream| connection(stream, address, acceptor, limits, handler, stop);
                if let Err(error) = threads.serve(stream, &tracker, serving) {
                    tracing::warn!(%address, %error, "a connection cannot be served");
                }
            }
            Err(error) => {
                // Out of descriptors, most likely: wait for connections to close instead of spinning.
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection<H, F>(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    limits: Limits,
    handler: H,
    stop: CancellationToken,
) where
    H: Fn(http::Request<Incoming>, Arc<Peer>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "setting TCP_NODELAY failed");
    }
    let local = stream.local_addr().unwrap_or(address);
    let mut tls = match tokio::time::timeout(
        limits.handshake,
        LOCAL_ADDRESS.scope(local.ip(), acceptor.accept(stream)),
    )
    .await
    {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "TLS handshake failed");
            limits.handshake_errors.inc();
            return;
        }
        Err(_) => {
            limits.handshake_errors.inc();
            return;
        }
    };
    let chain = tls
        .get_ref()
        .1
        .peer_certificates()
        .unwrap_or_default()
        .iter()
        .map(|der| der.clone().into_owned())
        .collect();
    let peer = Arc::new(Peer::new(address, local, chain));
    let of_requests = Arc::clone(&peer);
    let service = hyper::service::service_fn(move |request| {
        of_requests.note_request();
        // Boxed, so that a stream that only sends its body, a watch, doesn't keep the handler's memory.
        let answer = Box::pin(handler(request, Arc::clone(&of_requests)));
        async move { Ok::<http::Response<Body>, Infallible>(answer.await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers)
        .max_headers(MOST_HEADERS)
        .max_buf_size(HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(if limits.max_streams == 0 {
            DEFAULT_STREAMS
        } else {
            limits.max_streams
        })
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(256 * 1024 * 4)
        .max_send_buf_size(256 * 1024)
        .max_header_list_size(HEADER_BYTES as u32)
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(15));
    let is_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    if is_http2 {
        // The cork has a limit of its own, which leaves records whole.
        tls.get_mut().1.set_buffer_limit(None);
    }
    let (corked, cork) = cork::corked(tls, is_http2);
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(corked), service);
    tokio::pin!(serving);
    let stopped = async {
        tokio::select! {
            () = peer.retire.notified() => {}
            () = stop.cancelled() => {
                // Ended before its first request, a new connection would look to the client as if that had failed.
                let _ = tokio::time::timeout(FIRST_REQUEST, peer.asked.notified()).await;
            }
        }
    };
    tokio::pin!(stopped);
    let mut stopping = false;
    let outcome = std::future::poll_fn(|context| {
        if !stopping && stopped.as_mut().poll(context).is_ready() {
            stopping = true;
            serving.as_mut().graceful_shutdown();
        }
        let outcome = serving.as_mut().poll(context);
        // What was written meanwhile leaves in one piece; an error in it shows with the next read or write.
        let _ = cork.poll_flush(context);
        outcome
    })
    .await;
    // The last words, such as GOAWAY; a client that doesn't take them is not waited for.
    let rest = std::future::poll_fn(|context| cork.poll_flush(context));
    let _ = tokio::time::timeout(LAST_WORDS, rest).await;
    if let Err(error) = outcome {
        tracing::debug!(%address, %error, "connection ended");
    }
}
