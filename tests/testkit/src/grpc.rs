//! A gRPC service of unary calls on a connection that somebody accepted.

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// Length of what stands before a message: a flag and the message's length.
const FRAME: usize = 5;

/// Answers the calls of one connection until the client ends it. `answer` gets a call's path and message, and gives the
/// message to answer with.
pub async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    answer: impl Fn(&str, &[u8]) -> Vec<u8> + Send + Sync + 'static,
) {
    let answer = Arc::new(answer);
    let handle = service_fn(move |request: http::Request<Incoming>| {
        let answer = Arc::clone(&answer);
        async move {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await?.to_bytes();
            let message = answer(&path, body.get(FRAME..).unwrap_or_default());
            let mut frame = BytesMut::with_capacity(FRAME + message.len());
            frame.put_u8(0);
            frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
            frame.extend_from_slice(&message);
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            let body = Full::<Bytes>::new(frame.freeze())
                .with_trailers(async { Some(Ok::<_, Infallible>(trailers)) });
            let mut response = http::Response::new(body);
            response.headers_mut().insert(
                http::header::CONTENT_TYPE,
                http::HeaderValue::from_static("application/grpc"),
            );
            Ok::<_, hyper::Error>(response)
        }
    });
    // A client that goes away is no failure of the service.
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), handle)
        .await;
}
