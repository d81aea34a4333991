//! Connections to an aggregated server or to another API server: pooled, with this server's identity as a front proxy.

use super::service::Spec;
use crate::connect::egress::Egress;
use crate::connect::relay::OutgoingBody;
use crate::serving::certificates::provider;
use crate::webhook::{
    Callee, Connector, Credentials, Dialer, ResolveError, Resolver, Service, Weakness, client_config,
    go_text, root_cause,
};
use arc_swap::ArcSwap;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use x509::AnyServer;

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(90);
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);
/// A name in the certificate of every API server.
const EVERY_API_SERVER: &str = "kubernetes.default.svc";

/// The certificate that aggregated servers know this server by, re-read when its files change.
#[derive(Default)]
pub struct ProxyIdentity {
    files: Option<(PathBuf, PathBuf)>,
    current: ArcSwap<Credentials>,
    /// Whether other servers are not told the uids of users.
    pub hides_uids: bool,
}

impl ProxyIdentity {
    /// Certificate and key files of `--proxy-client-cert-file` and `--proxy-client-key-file`.
    pub fn load(files: Option<(PathBuf, PathBuf)>) -> anyhow::Result<Self> {
        let identity = Self {
            files,
            current: ArcSwap::default(),
            hides_uids: false,
        };
        identity.reload()?;
        Ok(identity)
    }

    /// Whether there is a certificate at all.
    pub fn is_there(&self) -> bool {
        self.files.is_some()
    }

    /// Whether the files have changed; a pair that can't be read leaves the old one.
    pub fn reload(&self) -> anyhow::Result<bool> {
        let Some((certificate, key)) = &self.files else {
            return Ok(false);
        };
        // Checked together, so that a half-written pair isn't used.
        crate::serving::certificates::certified_key(certificate, key)?;
        let fresh = Credentials::of_certificate(std::fs::read(certificate)?, std::fs::read(key)?);
        let changed = **self.current.load() != fresh;
        if changed {
            self.current.store(Arc::new(fresh));
        }
        Ok(changed)
    }
}

/// Where another server is.
enum Location {
    /// `host:port`
    Address(String),
    Service(Service, Arc<Resolver>),
}

/// One other server.
pub struct Backend {
    location: Location,
    pool: Client<Connector, OutgoingBody>,
    /// For connections that change protocol, which HTTP/2 can't.
    single: Dialer,
    identity: Arc<ProxyIdentity>,
    credentials: Arc<Credentials>,
}

/// A connection or exchange failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub String);

/// The URL of a server at `host:port` for a path and query.
pub fn uri(authority: &str, path_and_query: &str) -> Result<Uri, Unreachable> {
    format!("https://{authority}{path_and_query}")
        .parse()
        .map_err(|_| Unreachable("the path can't be sent on".to_owned()))
}

/// Why there is no answer, in Go's words.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = || std::iter::successors(Some(error), |error| error.source());
    let ends = |error: &(dyn std::error::Error + 'static)| {
        let io = error.downcast_ref::<std::io::Error>();
        let http = error.downcast_ref::<hyper::Error>();
        io.is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof)
            || http.is_some_and(hyper::Error::is_incomplete_message)
    };
    if chain().any(ends) {
        return "EOF".to_owned();
    }
    match chain().find_map(|error| error.downcast_ref::<std::io::Error>()) {
        Some(error) => go_text(error),
        None => root_cause(error),
    }
}

fn tls(spec: &Spec, credentials: &Credentials) -> Result<ClientConfig, String> {
    let believe = |bundle: &[u8]| client_config(bundle, credentials).map_err(|error| error.to_string());
    if !spec.insecure {
        return believe(&spec.ca_bundle);
    }
    // Asked for by whoever may write APIServices.
    let mut config = client_config_of_anybody(credentials)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn client_config_of_anybody(credentials: &Credentials) -> Result<ClientConfig, String> {
    let text = |error: rustls::Error| error.to_string();
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(text)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider())));
    match credentials.chain_and_key().map_err(|error| error.to_string())? {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(text),
    }
}

impl Backend {
    /// Whether the other server is not told the uids of users.
    pub fn hides_uids(&self) -> bool {
        self.identity.hides_uids
    }

    /// An aggregated server, behind its service.
    pub fn new(
        spec: &Spec,
        identity: Arc<ProxyIdentity>,
        resolver: Arc<Resolver>,
        egress: &Egress,
    ) -> Result<Self, String> {
        let reference = spec.service.as_ref().ok_or("there is no service")?;
        let service = Service {
            namespace: reference.namespace.clone(),
            name: reference.name.clone(),
            port: reference.port,
        };
        let credentials = identity.current.load_full();
        let config = tls(spec, &credentials)?;
        let dialer = |config: ClientConfig| Dialer {
            tls: Some(Arc::new(config)),
            resolver: Some(Arc::clone(&resolver)),
            server_name: Some(format!("{}.{}.svc", service.name, service.namespace)),
            service: Some(service.clone()),
            egress: egress.clone(),
            callee: Callee::ApiServer,
        };
        let location = Location::Service(service.clone(), Arc::clone(&resolver));
        Ok(Self::over(location, config, dialer, identity, credentials))
    }

    /// Another API server of the cluster at `address` (`host:port`), which `authorities` (PEM) vouch for.
    pub fn of_peer(address: &str, authorities: &[u8], identity: Arc<ProxyIdentity>) -> Result<Self, String> {
        let credentials = identity.current.load_full();
        let config = client_config(authorities, &credentials).map_err(|error| error.to_string())?;
        // Its address need not be in its certificate; what pods call it is.
        let dialer = |config: ClientConfig| Dialer {
            tls: Some(Arc::new(config)),
            resolver: None,
            server_name: Some(EVERY_API_SERVER.to_owned()),
            service: None,
            egress: Egress::default(),
            callee: Callee::Other,
        };
        let location = Location::Address(address.to_owned());
        Ok(Self::over(location, config, dialer, identity, credentials))
    }

    fn over(
        location: Location,
        config: ClientConfig,
        dialer: impl Fn(ClientConfig) -> Dialer,
        identity: Arc<ProxyIdentity>,
        credentials: Arc<Credentials>,
    ) -> Self {
        let mut single = config.clone();
        single.alpn_protocols = vec![b"http/1.1".to_vec()];
        let pool = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_adaptive_window(true)
            .build(Connector {
                dialer: Arc::new(dialer(config)),
                services: matches!(location, Location::Service(..)),
            });
        Self {
            location,
            pool,
            single: dialer(single),
            identity,
            credentials,
        }
    }

    /// Whether it shows the identity that is in use.
    pub fn is_current(&self) -> bool {
        Arc::ptr_eq(&self.credentials, &self.identity.current.load())
    }

    /// The `host:port` that it is asked at, by what its Service is now.
    pub fn authority(&self) -> Result<String, ResolveError> {
        match &self.location {
            Location::Address(address) => Ok(address.clone()),
            Location::Service(service, resolver) => resolver.authority(service),
        }
    }

    /// Sends over a pooled connection.
    pub async fn send(&self, request: Request<OutgoingBody>) -> Result<Response<Incoming>, Unreachable> {
        let response = self
            .pool
            .request(request)
            .await
            .map_err(|error| Unreachable(cause(&error)))?;
        if let Some(weakness) = response.extensions().get::<Weakness>() {
            weakness.count();
        }
        Ok(response)
    }

    /// A connection for one exchange.
    pub async fn dial(&self, authority: &str) -> Result<crate::webhook::Dialed, Unreachable> {
        let services = matches!(self.location, Location::Service(..));
        let connection = self
            .single
            .dial(&uri(authority, "/")?, services)
            .await
            .map_err(|error| Unreachable(error.to_string()))?;
        if let Some(weakness) = connection.weakness {
            weakness.count();
        }
        Ok(connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn the_end_of_a_connection_reads_as_gos() {
        let unfinished = "peer closed connection without sending TLS close_notify";
        for (error, text) in [
            (io::Error::new(io::ErrorKind::UnexpectedEof, unfinished), "EOF"),
            (
                io::ErrorKind::ConnectionReset.into(),
                "read: connection reset by peer",
            ),
        ] {
            assert_eq!(cause(&error), text);
        }
        assert_eq!(cause(&Unreachable("x509: no".to_owned())), "x509: no");
    }
}
