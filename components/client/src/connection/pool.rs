//! As many HTTP/2 connections as there are streams for.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use hyper_util::client::legacy::Client as HyperClient;
use kube::client::Body;

/// Streams that one connection carries at once. Upstream's API server takes 100 by default; one more waits until another ends,
/// and where all of them are watches that takes minutes. Some room is left for streams that have ended here and not there.
const MOST_STREAMS: usize = 90;

/// Connections to one server. A daemon that watches some hundred resources, as the garbage collector does, has several.
pub(super) struct Pool<C> {
    make: Box<dyn Fn() -> HyperClient<C, Body> + Send>,
    connections: Vec<Pooled<C>>,
}

struct Pooled<C> {
    http: HyperClient<C, Body>,
    /// Each stream holds it.
    streams: Arc<()>,
}

/// A stream of a connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Stream {
    _held: Arc<()>,
}

impl<C: Clone> Pool<C> {
    /// `make` makes a client with one connection.
    pub(super) fn new(make: impl Fn() -> HyperClient<C, Body> + Send + 'static) -> Self {
        Self {
            make: Box::new(make),
            connections: Vec::new(),
        }
    }

    /// A connection that has room for one more stream.
    pub(super) fn take(&mut self) -> (HyperClient<C, Body>, Stream) {
        // The pool itself is one of those that hold it.
        let has_room = |pooled: &Pooled<C>| Arc::strong_count(&pooled.streams) <= MOST_STREAMS;
        let position = self.connections.iter().position(has_room).unwrap_or_else(|| {
            self.connections.push(Pooled {
                http: (self.make)(),
                streams: Arc::default(),
            });
            self.connections.len() - 1
        });
        let pooled = &self.connections[position];
        let stream = Stream {
            _held: Arc::clone(&pooled.streams),
        };
        (pooled.http.clone(), stream)
    }
}

/// An answer's body, which has its stream to itself until it is dropped.
#[derive(Debug)]
pub(super) struct Streamed {
    body: Incoming,
    _stream: Stream,
}

impl Streamed {
    pub(super) fn new(body: Incoming, stream: Stream) -> Self {
        Self {
            body,
            _stream: stream,
        }
    }
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Request, Response};
    use http_body_util::{BodyExt, Empty, StreamBody, combinators::BoxBody};
    use hyper::server::conn::http2;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use std::convert::Infallible;
    use std::time::Duration;

    /// Answers `/watch` without an end, on connections that take as many streams as upstream's.
    async fn serve(listener: tokio::net::TcpListener) {
        while let Ok((tcp, _)) = listener.accept().await {
            let answer = service_fn(async |request: Request<Incoming>| {
                let body: BoxBody<Bytes, Infallible> = match request.uri().path() {
                    "/watch" => BodyExt::boxed(StreamBody::new(futures::stream::pending())),
                    _ => BodyExt::boxed(Empty::new()),
                };
                Ok::<_, Infallible>(Response::new(body))
            });
            tokio::spawn(
                http2::Builder::new(TokioExecutor::new())
                    .max_concurrent_streams(100)
                    .serve_connection(TokioIo::new(tcp), answer),
            );
        }
    }

    /// Regression: behind 100 watches nothing else was sent, and nothing said so.
    #[tokio::test]
    async fn requests_do_not_wait_for_watches_to_end() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(serve(listener));
        let mut pool = Pool::new(|| {
            HyperClient::builder(TokioExecutor::new())
                .http2_only(true)
                .build_http()
        });
        let mut ask = async |path: &str| {
            let request = Request::get(format!("{server}{path}"))
                .body(Body::empty())
                .unwrap();
            let (http, stream) = pool.take();
            let asked = tokio::time::timeout(Duration::from_secs(60), http.request(request)).await;
            let response = asked.expect("an answer while others watch").unwrap();
            Streamed::new(response.into_body(), stream)
        };
        let mut watches = Vec::new();
        for _ in 0..250 {
            watches.push(ask("/watch").await);
        }
        assert!(ask("/once").await.collect().await.is_ok());
        drop(watches);
        // What has ended makes room.
        for _ in 0..200 {
            ask("/watch").await;
        }
        assert_eq!(pool.connections.len(), 3);
        serving.abort();
    }
}
