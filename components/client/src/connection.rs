//! A [`kube::Client`] over HTTP/2 that follows its credential files.

mod pool;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, Uri, header};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::Body;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;

use crate::credentials::{Credentials, CredentialsError};
use pool::{Pool, Stream, Streamed};

/// How often the credential files' times are looked at, at most.
const RELOAD_INTERVAL: Duration = Duration::from_secs(10);
/// A silent peer is given up after one interval and one timeout; the local balancer usually is faster.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(4);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client and the credentials that it was made from, for daemons that make further clients.
#[derive(Clone)]
pub struct Connection {
    pub client: kube::Client,
    pub credentials: Credentials,
    user_agent: String,
}

impl Connection {
    /// A client at the same server that sends `token` instead of the certificate.
    pub fn with_token(&self, token: Vec<u8>) -> Result<Connection, CredentialsError> {
        connect(self.credentials.with_token(token), &self.user_agent)
    }
}

/// Makes a client. Nothing is sent yet; unreadable or malformed credentials are an error at once.
///
/// When a certificate, CA or token file changes later, new requests use a new connection with the new
/// content, and running watches finish on the old one. A half-written file is retried, the old
/// credentials staying in use. Must be called within a tokio runtime.
pub fn connect(credentials: Credentials, user_agent: &str) -> Result<Connection, CredentialsError> {
    let user_agent_header = HeaderValue::from_str(user_agent).map_err(|error| CredentialsError::Invalid {
        what: "user agent",
        reason: error.to_string(),
    })?;
    let service = Reloading {
        shared: Arc::new(Shared {
            current: Mutex::new(Current::load(&credentials)?),
            credentials: credentials.clone(),
            user_agent: user_agent_header,
        }),
    };
    let client = kube::Client::new(service, credentials.default_namespace.clone());
    Ok(Connection {
        client,
        credentials,
        user_agent: user_agent.to_owned(),
    })
}

type Connector = HttpsConnector<HttpConnector>;
type Http = HyperClient<Connector, Body>;

struct Current {
    pool: Pool<Connector>,
    authorization: Option<HeaderValue>,
    fingerprint: Vec<Option<SystemTime>>,
    checked: Instant,
}

impl Current {
    fn load(credentials: &Credentials) -> Result<Self, CredentialsError> {
        // Taken before the files are read, so that a change in between is seen at the next check.
        let fingerprint = credentials.fingerprint();
        let authorization = credentials
            .read_token()?
            .map(|token| {
                let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|error| {
                    CredentialsError::Invalid {
                        what: "token",
                        reason: error.to_string(),
                    }
                })?;
                value.set_sensitive(true);
                Ok::<_, CredentialsError>(value)
            })
            .transpose()?;
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let mut builder = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(credentials.tls()?)
            .https_only();
        if let Some(name) = &credentials.server_name {
            let name = ServerName::try_from(name.clone()).map_err(|error| CredentialsError::Invalid {
                what: "tls-server-name",
                reason: error.to_string(),
            })?;
            builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
        }
        let connector = builder.enable_all_versions().wrap_connector(connector);
        let make = move || {
            HyperClient::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
                .http2_keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
                .http2_keep_alive_while_idle(true)
                .http2_initial_stream_window_size(1 << 20)
                .http2_initial_connection_window_size(4 << 20)
                .build(connector.clone())
        };
        Ok(Self {
            pool: Pool::new(make),
            authorization,
            fingerprint,
            checked: Instant::now(),
        })
    }
}

struct Shared {
    current: Mutex<Current>,
    credentials: Credentials,
    user_agent: HeaderValue,
}

impl Shared {
    fn current(&self) -> (Http, Stream, Option<HeaderValue>) {
        let mut current = self.current.lock();
        if current.checked.elapsed() >= RELOAD_INTERVAL {
            current.checked = Instant::now();
            if self.credentials.fingerprint() != current.fingerprint {
                match Current::load(&self.credentials) {
                    Ok(fresh) => {
                        tracing::info!(server = %self.credentials.server, "credentials reloaded");
                        *current = fresh;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "changed credentials cannot be used yet, keeping the old ones");
                    }
                }
            }
        }
        let (http, stream) = current.pool.take();
        (http, stream, current.authorization.clone())
    }
}

#[derive(Clone)]
struct Reloading {
    shared: Arc<Shared>,
}

impl tower::Service<Request<Body>> for Reloading {
    type Response = Response<Streamed>;
    type Error = hyper_util::client::legacy::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let (http, stream, authorization) = self.shared.current();
        *request.uri_mut() = absolute(&self.shared.credentials.server, request.uri());
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, self.shared.user_agent.clone());
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value);
        }
        Box::pin(async move {
            let response = http.request(request).await?;
            Ok(response.map(|body| Streamed::new(body, stream)))
        })
    }
}

/// The request's path and query at the server, below the path that the server's URL may have.
fn absolute(server: &Uri, request: &Uri) -> Uri {
    let mut parts = server.clone().into_parts();
    let path = request.path_and_query().map_or("/", |path| path.as_str());
    let prefix = server.path().trim_end_matches('/');
    parts.path_and_query = format!("{prefix}{path}").parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| server.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_below_the_servers_path() {
        for (server, request, want) in [
            (
                "https://127.0.0.1:7443",
                "/api/v1/pods?limit=1",
                "https://127.0.0.1:7443/api/v1/pods?limit=1",
            ),
            ("https://h/k8s/", "/version", "https://h/k8s/version"),
        ] {
            let server: Uri = server.parse().expect("test input");
            let request: Uri = request.parse().expect("test input");
            assert_eq!(absolute(&server, &request).to_string(), want);
        }
    }
}
