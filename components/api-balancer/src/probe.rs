//! One probe: `GET /readyz` over TLS, on a connection that is kept for the next one.

use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::backend::Backend;
use crate::health::Outcome;

/// Longest answer that is read; a ready API server says two letters.
const MAX_RESPONSE: usize = 64 * 1024;

/// Why a probe failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    #[error("no connection within the time of a probe")]
    ConnectTimeout,
    #[error("{0:?} is not a valid name for a certificate")]
    Name(String),
    #[error("connection broke or TLS failed")]
    Exchange(#[source] std::io::Error),
    #[error("no answer within the time of a probe")]
    AnswerTimeout,
    #[error("answered with status {0}")]
    Status(u16),
    #[error("answer is not HTTP")]
    NotHttp,
}

impl ProbeError {
    pub fn outcome(&self) -> Outcome {
        match self {
            ProbeError::Connect(_) | ProbeError::ConnectTimeout => Outcome::Unreachable,
            _ => Outcome::NotReady,
        }
    }
}

/// Probes one backend.
pub struct Probe {
    pub path: String,
    pub timeout: Duration,
    kept: Option<TlsStream<TcpStream>>,
}

impl Probe {
    pub fn new(path: String, timeout: Duration) -> Probe {
        Probe {
            path,
            timeout,
            kept: None,
        }
    }

    /// Asks the backend whether it is ready. `tls` is passed each time because the authority can be renewed.
    pub async fn run(
        &mut self,
        backend: &Backend,
        tls: &Arc<rustls::ClientConfig>,
    ) -> Result<(), ProbeError> {
        let deadline = Instant::now() + self.timeout;
        if let Some(stream) = self.kept.take() {
            match self.exchange(stream, backend, deadline).await {
                // The server may close a kept connection at any time; only a new one tells.
                Err(ProbeError::Exchange(_)) => {}
                other => return other,
            }
        }
        let connect = TcpStream::connect((backend.host.as_str(), backend.port));
        let tcp = match timeout_at(deadline, connect).await {
            Ok(connected) => connected.map_err(ProbeError::Connect)?,
            Err(_) => return Err(ProbeError::ConnectTimeout),
        };
        tcp.set_nodelay(true).map_err(ProbeError::Exchange)?;
        let name =
            ServerName::try_from(backend.host.clone()).map_err(|_| ProbeError::Name(backend.host.clone()))?;
        let handshake = TlsConnector::from(tls.clone()).connect(name, tcp);
        let stream = match timeout_at(deadline, handshake).await {
            Ok(done) => done.map_err(ProbeError::Exchange)?,
            Err(_) => return Err(ProbeError::AnswerTimeout),
        };
        self.exchange(stream, backend, deadline).await
    }

    /// Forgets the kept connection, so that the next probe makes a new one.
    pub fn forget(&mut self) {
        self.kept = None;
    }

    async fn exchange(
        &mut self,
        mut stream: TlsStream<TcpStream>,
        backend: &Backend,
        deadline: Instant,
    ) -> Result<(), ProbeError> {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: api-balancer\r\n\r\n",
            self.path, backend.address
        );
        let answer = async {
            stream.write_all(request.as_bytes()).await?;
            stream.flush().await?;
            read_response(&mut stream).await
        };
        let (status, whole) = match timeout_at(deadline, answer).await {
            Err(_) => return Err(ProbeError::AnswerTimeout),
            Ok(answer) => answer.map_err(ProbeError::Exchange)?.ok_or(ProbeError::NotHttp)?,
        };
        if whole {
            self.kept = Some(stream);
        }
        if status == 200 {
            Ok(())
        } else {
            Err(ProbeError::Status(status))
        }
    }
}

/// Reads one answer: its status, and whether the connection can take another request.
async fn read_response(stream: &mut TlsStream<TcpStream>) -> std::io::Result<Option<(u16, bool)>> {
    let mut buffer = Vec::new();
    loop {
        let length = stream.read_buf(&mut buffer).await?;
        if length == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        match parse(&buffer) {
            Parsed::Partial if buffer.len() < MAX_RESPONSE => {}
            Parsed::Partial | Parsed::Invalid => return Ok(None),
            Parsed::Whole { status, reusable } => return Ok(Some((status, reusable))),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    Partial,
    Invalid,
    /// The head is there, and the body too if its length was given.
    Whole {
        status: u16,
        reusable: bool,
    },
}

fn parse(bytes: &[u8]) -> Parsed {
    let Some(head_length) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Parsed::Partial;
    };
    let Ok(head) = std::str::from_utf8(&bytes[..head_length]) else {
        return Parsed::Invalid;
    };
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1."))
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|code| code.parse().ok());
    let Some(status) = status else {
        return Parsed::Invalid;
    };
    let mut body_length = None;
    let mut close = false;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            body_length = value.trim().parse::<usize>().ok();
        } else if name.eq_ignore_ascii_case("connection") {
            close |= value.trim().eq_ignore_ascii_case("close");
        }
    }
    let received = bytes.len() - head_length - 4;
    match body_length {
        // Without a length the end isn't looked for: the status is all that matters.
        None => Parsed::Whole {
            status,
            reusable: false,
        },
        Some(length) if received < length => Parsed::Partial,
        Some(length) => Parsed::Whole {
            status,
            reusable: !close && received == length,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_parsed() {
        let table: &[(&str, Parsed)] = &[
            ("HTTP/1.1 200 OK\r\nContent-Len", Parsed::Partial),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no", Parsed::Partial),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
                Parsed::Whole {
                    status: 200,
                    reusable: true,
                },
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
                Parsed::Whole {
                    status: 200,
                    reusable: false,
                },
            ),
            (
                "HTTP/1.1 500 Internal Server Error\r\nTransfer-Encoding: chunked\r\n\r\n",
                Parsed::Whole {
                    status: 500,
                    reusable: false,
                },
            ),
            ("SSH-2.0-x\r\n\r\n", Parsed::Invalid),
            ("HTTP/1.1 abc\r\n\r\n", Parsed::Invalid),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text.as_bytes()), *expected, "{text:?}");
        }
    }
}
