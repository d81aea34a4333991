//! `--debug-socket-path`: what `/debug` has of the process, on a Unix socket and without authentication. Who may connect
//! is up to the permissions of its folder; the socket itself is for its owner.

use super::body::Response;
use crate::answer;
use crate::handlers::debug;
use crate::handlers::paths::not_found;
use anyhow::Context;
use http::StatusCode;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::fs::Permissions;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use tokio::net::UnixListener;
use tokio::task::JoinSet;

/// Longest body that is read: a number.
const LONGEST_BODY: usize = 1024;
/// Connections at once; more wait.
const MOST_CONNECTIONS: usize = 16;
/// Whom the log names for what came this way.
const USER: &str = "debug socket";

/// Listens at `path`. A socket that an earlier process left there is replaced, anything else is not.
pub fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    let told = || format!("--debug-socket-path {}", path.display());
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path).with_context(told)?,
        Ok(_) => anyhow::bail!("{}: there is something that is no socket", told()),
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).with_context(told)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).with_context(told)?;
    Ok(listener)
}

/// Answers. Never ends but by an error of the listener.
pub async fn serve(listener: UnixListener) -> anyhow::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= MOST_CONNECTIONS {
            connections.join_next().await;
        }
        let (stream, _) = listener.accept().await.context("accepting on the debug socket")?;
        connections.spawn(async move {
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service_fn(handle));
            if let Err(error) = served.await {
                tracing::debug!(%error, "a connection to the debug socket ended");
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn handle(request: http::Request<Incoming>) -> Result<Response, Infallible> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, LONGEST_BODY).collect().await else {
        return Ok(answer::text(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is too long\n",
        ));
    };
    let path = parts.uri.path().trim_matches('/');
    let words: Vec<&str> = path.split('/').collect();
    Ok(match words.as_slice() {
        ["debug", rest @ ..] => debug::of_process(&parts.method, rest, &body.to_bytes(), USER),
        _ => not_found(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    #[tokio::test]
    async fn the_owner_reads_the_command_line_and_nobody_else_connects() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        // One that nobody listens on any more.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let listener = listen(&path).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let serving = tokio::spawn(serve(listener));
        for (line, expected) in [
            ("GET /debug/pprof/cmdline", "200 OK"),
            ("GET /debug/pprof/heap", "501 Not Implemented"),
            (
                "GET /debug/api_priority_and_fairness/dump_queues",
                "404 Not Found",
            ),
            ("GET /metrics", "404 Not Found"),
        ] {
            let mut stream = UnixStream::connect(&path).await.unwrap();
            let request = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {expected}")),
                "{line}: {answer}"
            );
        }
        serving.abort();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(listen(&file).unwrap_err().to_string().contains("no socket"));
    }
}
