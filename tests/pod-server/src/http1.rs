//! HTTP/1.1, one request for each connection.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// Nobody sends more here.
const LARGEST: u64 = 64 * 1024;

pub(crate) async fn serve(port: u16, unhealthy_from: Option<Instant>) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(("0.0.0.0", port))
        .await
        .with_context(|| format!("cannot listen on TCP {port}"))?;
    println!("http {port}");
    loop {
        let (stream, from) = listener.accept().await?;
        // A client that goes away half way is its own business.
        tokio::spawn(async move { drop(answer(stream, from, unhealthy_from).await) });
    }
}

async fn answer(
    mut stream: TcpStream,
    from: SocketAddr,
    unhealthy_from: Option<Instant>,
) -> std::io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader.take(LARGEST)).lines();
    let mut head = Vec::new();
    while let Some(line) = lines.next_line().await?
        && !line.is_empty()
    {
        head.push(line);
    }
    let mut words = head.first().map_or("", String::as_str).split(' ');
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    println!("{method} {target}");
    for header in head.iter().skip(1) {
        println!("header {header}");
    }
    let (status, body) = respond(method, target, from, unhealthy_from);
    let location = if status.starts_with('3') {
        "Location: /landed\r\n"
    } else {
        ""
    };
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n{location}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    writer.write_all(text.as_bytes()).await?;
    if method != "HEAD" {
        writer.write_all(body.as_bytes()).await?;
    }
    writer.shutdown().await
}

/// The status line and the body.
fn respond(
    method: &str,
    target: &str,
    from: SocketAddr,
    unhealthy_from: Option<Instant>,
) -> (&'static str, String) {
    match target {
        "/hostname" => ("200 OK", crate::hostname()),
        "/client" => ("200 OK", from.ip().to_string()),
        "/redirect" => ("301 Moved Permanently", String::new()),
        "/healthz" if unhealthy_from.is_some_and(|from| from <= Instant::now()) => {
            ("500 Internal Server Error", "unhealthy".to_owned())
        }
        _ => ("200 OK", format!("{method} {target}")),
    }
}
