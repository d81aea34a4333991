//! Health, state and metrics on loopback.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::backend::Backends;
use crate::health::Status;

/// Time that one request may take, so that a silent client does not stay.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Answers until the future is dropped; one request at a time is enough for a probe.
pub async fn serve(listener: TcpListener, backends: watch::Receiver<Arc<Backends>>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let backends = backends.borrow().clone();
                match timeout(REQUEST_TIMEOUT, answer(stream, &backends)).await {
                    Ok(Err(error)) => tracing::debug!(%error, "status request failed"),
                    Err(_) => tracing::debug!("status request timed out"),
                    Ok(Ok(())) => {}
                }
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn answer(mut stream: TcpStream, backends: &Backends) -> std::io::Result<()> {
    let mut request = Vec::with_capacity(512);
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 || request.len() > 8192 {
            return Ok(());
        }
    }
    let line = String::from_utf8_lossy(&request);
    let path = line.split(' ').nth(1).unwrap_or_default();
    let (status, body) = respond(path, backends);
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}

/// Status line and body for a path.
pub fn respond(path: &str, backends: &Backends) -> (&'static str, String) {
    match path {
        "/healthz" | "/livez" => ("200 OK", "ok".to_owned()),
        "/readyz" if backends.any_healthy() => ("200 OK", "ok".to_owned()),
        "/readyz" => (
            "503 Service Unavailable",
            format!("no healthy backend\n{}", table(backends)),
        ),
        "/status" => ("200 OK", table(backends)),
        "/metrics" => ("200 OK", metrics(backends)),
        _ => ("404 Not Found", "not found".to_owned()),
    }
}

fn table(backends: &Backends) -> String {
    backends.list.iter().fold(String::new(), |mut text, backend| {
        let health = backend.health();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{} {:?} failures={} connections={}",
            backend.address,
            health.status,
            health.failures,
            backend.active()
        );
        text
    })
}

fn metrics(backends: &Backends) -> String {
    let mut text = String::from("# TYPE api_balancer_backend_healthy gauge\n");
    for backend in &backends.list {
        let healthy = u8::from(backend.health().status == Status::Healthy);
        let _ = writeln!(
            text,
            "api_balancer_backend_healthy{{backend=\"{}\"}} {healthy}",
            backend.address
        );
    }
    text.push_str("# TYPE api_balancer_backend_connections gauge\n");
    for backend in &backends.list {
        let active = backend.active();
        let _ = writeln!(
            text,
            "api_balancer_backend_connections{{backend=\"{}\"}} {active}",
            backend.address
        );
    }
    text
}
