//! Dialing a webhook: to the service's endpoints or the URL's host, then TLS unless there is none.

use super::opening::{InPlain, Opening};
use super::place::Service;
use super::resolver::Resolver;
use super::trust;
use super::weakness::{Callee, Weakness};
use crate::connect::abrupt::Abrupt;
use crate::connect::egress::{Egress, Proxy, Stream, Way};
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// A failure to connect, in upstream's words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DialError(pub String);

/// What connections of one client have in common.
pub struct Dialer {
    /// `None` is plain HTTP.
    pub tls: Option<Arc<ClientConfig>>,
    pub resolver: Option<Arc<Resolver>>,
    /// Instead of the URL's host.
    pub server_name: Option<String>,
    /// Where connections go, whatever the URL's host is.
    pub service: Option<Service>,
    pub egress: Egress,
    pub callee: Callee,
}

impl Dialer {
    /// Connects to what the URI names. Hosts of services (`name.namespace.svc`) are looked up in the caches when
    /// `services` is set.
    pub async fn dial(&self, uri: &Uri, services: bool) -> Result<Dialed, DialError> {
        let host = uri.host().unwrap_or("").trim_matches(['[', ']']);
        let usual = if self.tls.is_some() { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(usual);
        let named = || service_of(host, port).filter(|_| services);
        let addresses = match (self.service.clone().or_else(named), &self.resolver) {
            (Some(service), Some(resolver)) => resolver
                .resolve(&service.namespace, &service.name, service.port)
                .map_err(|error| DialError(error.to_string()))?,
            _ => vec![(host.to_owned(), port)],
        };
        let way = if services {
            &self.egress.cluster
        } else {
            &self.egress.control_plane
        };
        let stream = match way {
            Way::Direct => Either::Left(connect(&addresses).await?),
            Way::Proxy(proxy) => Either::Right(through(proxy, &addresses).await?),
        };
        let Some(tls) = &self.tls else {
            return Ok(Dialed {
                stream: TokioIo::new(Either::Right(stream)),
                weakness: None,
            });
        };
        let name = self.server_name.as_deref().unwrap_or(host);
        let server_name =
            ServerName::try_from(name.to_owned()).map_err(|error| DialError(error.to_string()))?;
        let in_plain = InPlain::default();
        let stream = TlsConnector::from(Arc::clone(tls))
            .connect(server_name, Opening::new(stream, Arc::clone(&in_plain)))
            .await
            .map_err(|error| {
                DialError(if in_plain.get() == Some(&true) {
                    "http: server gave HTTP response to HTTPS client".to_owned()
                } else {
                    self.handshake_failure(&error)
                })
            })?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let weakness = Weakness::of_chain(self.callee, chain);
        Ok(Dialed {
            stream: TokioIo::new(Either::Left(Abrupt(stream))),
            weakness,
        })
    }

    fn handshake_failure(&self, error: &io::Error) -> String {
        match error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            Some(tls) => {
                if let Some(weakness) = Weakness::of_failure(self.callee, tls) {
                    weakness.count();
                }
                trust::explain(tls)
            }
            None if error.kind() == io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
            None => go_text(error),
        }
    }
}

/// The service that a host name made by [`super::Place`] stands for.
fn service_of(host: &str, port: u16) -> Option<Service> {
    let (name, namespace) = host.strip_suffix(".svc")?.split_once('.')?;
    Some(Service {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        port,
    })
}

/// The address of a host that takes the connection; otherwise what the first one says.
async fn connect_to(host: &str, port: u16) -> Result<TcpStream, DialError> {
    let addresses = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| DialError(format!("dial tcp: lookup {host}: {}", lookup_text(&error))))?;
    let mut first = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(tcp) => return Ok(tcp),
            Err(error) => {
                first.get_or_insert_with(|| DialError(format!("dial tcp {address}: {}", go_text(&error))));
            }
        }
    }
    Err(first.unwrap_or_else(|| DialError(format!("dial tcp: lookup {host}: no such host"))))
}

/// Why a name has no address, in Go's words.
fn lookup_text(error: &io::Error) -> String {
    // The resolver's errors have no kinds of their own.
    let text = error.to_string();
    if text.contains("Temporary failure") {
        "server misbehaving".to_owned()
    } else if text.contains("not known") || text.contains("No address") {
        "no such host".to_owned()
    } else {
        text
    }
}

/// The first address that takes the connection.
async fn connect(addresses: &[(String, u16)]) -> Result<TcpStream, DialError> {
    let mut last = DialError("there is no address".to_owned());
    for (host, port) in addresses {
        match connect_to(host, *port).await {
            Ok(tcp) => {
                // A request is one small write that should leave at once.
                tcp.set_nodelay(true)
                    .map_err(|error| DialError(error.to_string()))?;
                return Ok(tcp);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The same by a proxy.
async fn through(proxy: &Proxy, addresses: &[(String, u16)]) -> Result<Box<dyn Stream>, DialError> {
    let mut last = DialError("there is no address".to_owned());
    for (host, port) in addresses {
        match proxy.dial(&joined(host, *port)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = DialError(error.to_string()),
        }
    }
    Err(last)
}

pub(super) fn joined(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// What went wrong with a connection, in Go's words.
pub fn go_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "read: connection reset by peer".to_owned(),
        io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        _ => error.to_string(),
    }
}

type Plain = Either<TcpStream, Box<dyn Stream>>;

/// A connection that tells the pool whether it speaks HTTP/2, and each answer's reader of its [`Weakness`].
pub struct Dialed {
    stream: TokioIo<Either<Abrupt<TlsStream<Opening<Plain>>>, Plain>>,
    pub weakness: Option<Weakness>,
}

impl Connection for Dialed {
    fn connected(&self) -> Connected {
        let protocol = match self.stream.inner() {
            Either::Left(tls) => tls.0.get_ref().1.alpn_protocol(),
            Either::Right(_) => None,
        };
        let connected = match self.weakness {
            Some(weakness) => Connected::new().extra(weakness),
            None => Connected::new(),
        };
        if protocol == Some(b"h2") {
            connected.negotiated_h2()
        } else {
            connected
        }
    }
}

impl Read for Dialed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Dialed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_services() {
        let service = service_of("a.b.svc", 443).unwrap();
        assert_eq!((service.name.as_str(), service.namespace.as_str()), ("a", "b"));
        assert_eq!(service_of("a.example", 443), None);
        assert_eq!(service_of("svc", 443), None);
    }

    #[tokio::test]
    async fn a_name_without_addresses_reads_as_upstreams() {
        let unknown = connect(&[("nothing.invalid".to_owned(), 443)]).await.unwrap_err();
        let text = unknown.to_string();
        // Where no resolver answers, the name is not known to be unknown.
        assert!(
            [
                "dial tcp: lookup nothing.invalid: no such host",
                "dial tcp: lookup nothing.invalid: server misbehaving",
            ]
            .contains(&text.as_str()),
            "{text}"
        );
    }

    #[tokio::test]
    async fn a_refused_connection_reads_as_upstreams() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let refused = connect(&[("127.0.0.1".to_owned(), port)]).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("dial tcp 127.0.0.1:{port}: connect: connection refused")
        );
    }
}
