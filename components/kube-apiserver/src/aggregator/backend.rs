//! Connections to an aggregated server or to another API server: pooled, with this server's identity as a front proxy.

use super::service::Spec;
use crate::connect::egress::Egress;
use crate::connect::relay::OutgoingBody;
use crate::serving::certificates::provider;
use crate::webhook::{Callee, Connector, Credentials, Dialer, Resolver, Weakness, client_config, root_cause};
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

/// One other server.
pub struct Backend {
    /// `https://name.namespace.svc:port`, or with the address of an API server.
    origin: String,
    pool: Client<Connector, OutgoingBody>,
    /// For connections that change protocol, which HTTP/2 can't.
    single: Dialer,
    /// Whether the origin names a service.
    of_service: bool,
    identity: Arc<ProxyIdentity>,
    credentials: Arc<Credentials>,
}

/// A connection or exchange failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub String);

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
        let service = spec.service.as_ref().ok_or("there is no service")?;
        let credentials = identity.current.load_full();
        let config = tls(spec, &credentials)?;
        let origin = format!(
            "https://{}.{}.svc:{}",
            service.name, service.namespace, service.port
        );
        let dialer = |config: ClientConfig| Dialer {
            tls: Arc::new(config),
            resolver: Some(Arc::clone(&resolver)),
            server_name: None,
            egress: egress.clone(),
            callee: Callee::ApiServer,
        };
        Ok(Self::over(origin, config, dialer, true, identity, credentials))
    }

    /// Another API server of the cluster at `address` (`host:port`), which `authorities` (PEM) vouch for.
    pub fn of_peer(address: &str, authorities: &[u8], identity: Arc<ProxyIdentity>) -> Result<Self, String> {
        let credentials = identity.current.load_full();
        let config = client_config(authorities, &credentials).map_err(|error| error.to_string())?;
        // Its address need not be in its certificate; what pods call it is.
        let dialer = |config: ClientConfig| Dialer {
            tls: Arc::new(config),
            resolver: None,
            server_name: Some(EVERY_API_SERVER.to_owned()),
            egress: Egress::default(),
            callee: Callee::Other,
        };
        let origin = format!("https://{address}");
        Ok(Self::over(origin, config, dialer, false, identity, credentials))
    }

    fn over(
        origin: String,
        config: ClientConfig,
        dialer: impl Fn(ClientConfig) -> Dialer,
        of_service: bool,
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
                services: of_service,
            });
        Self {
            origin,
            pool,
            single: dialer(single),
            of_service,
            identity,
            credentials,
        }
    }

    /// Whether it shows the identity that is in use.
    pub fn is_current(&self) -> bool {
        Arc::ptr_eq(&self.credentials, &self.identity.current.load())
    }

    /// `https://host:port`
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The server's URL for a path and query.
    pub fn uri(&self, path_and_query: &str) -> Result<Uri, Unreachable> {
        format!("{}{path_and_query}", self.origin)
            .parse()
            .map_err(|_| Unreachable("the path can't be sent on".to_owned()))
    }

    /// Sends over a pooled connection.
    pub async fn send(&self, request: Request<OutgoingBody>) -> Result<Response<Incoming>, Unreachable> {
        let response = self
            .pool
            .request(request)
            .await
            .map_err(|error| Unreachable(root_cause(&error)))?;
        if let Some(weakness) = response.extensions().get::<Weakness>() {
            weakness.count();
        }
        Ok(response)
    }

    /// A connection for one exchange.
    pub async fn dial(&self) -> Result<crate::webhook::Secured, Unreachable> {
        let connection = self
            .single
            .dial(&self.uri("/")?, self.of_service)
            .await
            .map_err(|error| Unreachable(error.to_string()))?;
        if let Some(weakness) = connection.weakness {
            weakness.count();
        }
        Ok(connection)
    }
}
