//! grpc.health.v1.Health: always SERVING.

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};

/// An uncompressed message of two bytes: field 1, SERVING.
const SERVING: &[u8] = &[0, 0, 0, 0, 2, 0x08, 0x01];

pub(crate) async fn serve(port: u16) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(("0.0.0.0", port))
        .await
        .with_context(|| format!("cannot listen on TCP {port}"))?;
    println!("grpc {port}");
    loop {
        let (stream, _) = listener.accept().await?;
        // A client that goes away half way is its own business.
        tokio::spawn(async move { drop(answer(stream).await) });
    }
}

async fn answer(stream: tokio::net::TcpStream) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, mut respond) = request?;
        println!("grpc {}", request.uri().path());
        let mut response = Response::new(());
        response
            .headers_mut()
            .insert("content-type", HeaderValue::from_static("application/grpc"));
        let mut body = respond.send_response(response, false)?;
        body.send_data(Bytes::from_static(SERVING), false)?;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        body.send_trailers(trailers)?;
    }
    Ok(())
}
