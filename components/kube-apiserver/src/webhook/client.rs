//! Clients with pooled connections, and endpoints that use them.

use super::answer::{self, CallError, Reply};
use super::connection::{DialError, Dialed, Dialer};
use super::credentials::Credentials;
use super::place::Place;
use super::redirect::{MOST_REQUESTS, is_same_server, onward};
use super::resolver::Resolver;
use super::trust::{self, TrustError};
use super::weakness::{Callee, Weakness};
use crate::connect::egress::{Egress, Proxy, Way};
use crate::metrics::clients::Host;
use ahash::AHashMap;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::uri::Authority;
use http::{Method, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry::KeyValue;
use parking_lot::Mutex;
use std::error::Error;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use storage::spans::{self, SpanKind};
use url::Url;

/// How long an unused connection is kept; upstream's transport does so as well.
const IDLE: Duration = Duration::from_secs(90);
/// A silent HTTP/2 connection is probed after this, and given up after [`PING_TIMEOUT`].
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);

/// Attempts of who asks patiently, and the usual pause before the second.
const ATTEMPTS: u32 = 5;
pub const PAUSE: Duration = Duration::from_millis(500);

type Pool = Client<Connector, Full<Bytes>>;

/// What makes two webhooks share connections (together with their host).
#[derive(Clone, PartialEq, Eq, Hash)]
struct Identity {
    bundle: Vec<u8>,
    credentials: Arc<Credentials>,
    services: bool,
    plain: bool,
}

/// Makes endpoints; clients are kept for as long as an endpoint uses them.
pub struct Clients {
    resolver: Option<Arc<Resolver>>,
    egress: Egress,
    agent: HeaderValue,
    pools: Mutex<AHashMap<Identity, Weak<Pool>>>,
}

/// A webhook, ready to be called. Cheap to clone.
#[derive(Clone)]
pub struct Endpoint {
    place: Place,
    credentials: Arc<Credentials>,
    agent: HeaderValue,
    pool: Arc<Pool>,
    /// What is counted of it, from the first call on.
    counts: Arc<OnceLock<Host>>,
}

impl Clients {
    /// Without a resolver no service can be reached.
    pub fn new(resolver: Option<Arc<Resolver>>) -> Self {
        Self {
            resolver,
            egress: Egress::default(),
            agent: HeaderValue::from_static("kube-apiserver-admission"),
            pools: Mutex::default(),
        }
    }

    /// The endpoints are told that the server itself asks, and not its admission: those that kubeconfigs describe.
    pub fn of_server(mut self) -> Self {
        if let Ok(agent) = HeaderValue::try_from(component_config::user_agent("kube-apiserver")) {
            self.agent = agent;
        }
        self
    }

    /// Connections go these ways.
    pub fn by(mut self, egress: &Egress) -> Self {
        self.egress = egress.clone();
        self
    }

    /// A webhook at a place, believed by a bundle (PEM; empty for the system's authorities).
    pub fn endpoint(
        &self,
        place: Place,
        bundle: &[u8],
        credentials: Arc<Credentials>,
    ) -> Result<Endpoint, TrustError> {
        let identity = Identity {
            bundle: bundle.to_vec(),
            credentials: Arc::clone(&credentials),
            services: place.service.is_some(),
            plain: place.is_plain(),
        };
        let mut pools = self.pools.lock();
        let pool = match pools.get(&identity).and_then(Weak::upgrade) {
            Some(pool) => pool,
            None => {
                let pool = Arc::new(self.pool(&identity)?);
                pools.retain(|_, pool| pool.strong_count() > 0);
                pools.insert(identity, Arc::downgrade(&pool));
                pool
            }
        };
        Ok(Endpoint {
            place,
            credentials,
            agent: self.agent.clone(),
            pool,
            counts: Arc::default(),
        })
    }

    fn pool(&self, identity: &Identity) -> Result<Pool, TrustError> {
        let tls = match identity.plain {
            true => None,
            false => Some(trust::client_config(&identity.bundle, &identity.credentials)?),
        };
        let mut egress = self.egress.clone();
        if let Some(url) = &identity.credentials.proxy {
            if matches!(egress.control_plane, Way::Proxy(_)) {
                return Err(TrustError::TwoProxies);
            }
            let proxy = Proxy::at(url).map_err(|error| TrustError::Proxy(format!("{error:#}")))?;
            egress.control_plane = Way::Proxy(Arc::new(proxy));
        }
        let dialer = Dialer {
            tls: tls.map(Arc::new),
            resolver: self.resolver.clone(),
            server_name: identity.credentials.server_name.clone(),
            service: None,
            egress,
            callee: Callee::Webhook,
        };
        let connector = Connector {
            dialer: Arc::new(dialer),
            services: identity.services,
        };
        Ok(Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_adaptive_window(true)
            .build(connector))
    }
}

impl Endpoint {
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Posts a JSON document and gives the body of a successful answer, which has to have one.
    pub async fn post(&self, body: Bytes, timeout: Duration) -> Result<Bytes, CallError> {
        self.deliver(body, timeout).await?.body()
    }

    /// Posts a JSON document. The webhook is told the timeout in whole seconds as a parameter, rounded up. Redirects
    /// are followed.
    pub async fn deliver(&self, body: Bytes, timeout: Duration) -> Result<Reply, CallError> {
        let told = timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0);
        let url = self.place.with_parameter("timeout", &go_duration(told));
        let sent = body.len();
        let request = self
            .request(&url, Some(body.clone()))
            .map_err(|why| failed(&url, &why, false))?;
        let host = || Host::of(request.uri().authority().map_or("", Authority::as_str));
        let counts = self.counts.get_or_init(host);
        let begun = Instant::now();
        let mut code = None;
        let mut read = None;
        let exchange = async {
            let response = self.exchange(&url, request, body).await?;
            let status = response.status().as_u16();
            code = Some(status);
            if let Some(weakness) = response.extensions().get::<Weakness>() {
                weakness.count();
            }
            spans::note(|| KeyValue::new("http.response.status_code", i64::from(status)));
            answer::read(response, &mut read).await
        };
        let attributes = || {
            let full = KeyValue::new("url.full", url.clone());
            vec![KeyValue::new("http.request.method", "POST"), full]
        };
        let exchange = spans::traced("HTTP POST", SpanKind::Client, attributes, exchange);
        let outcome = match tokio::time::timeout(timeout, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(failed(&url, "context deadline exceeded", false)),
        };
        counts.posted(sent, code, read, begun.elapsed());
        outcome
    }

    /// The answer to a request, wherever redirects lead.
    async fn exchange(
        &self,
        url: &str,
        mut request: Request<Full<Bytes>>,
        body: Bytes,
    ) -> Result<Response<Incoming>, CallError> {
        let mut url = url.to_owned();
        let mut body = Some(body);
        for _ in 0..MOST_REQUESTS {
            spans::inject(request.headers_mut());
            let response = self
                .pool
                .request(request)
                .await
                .map_err(|error| failed(&url, &why(&error), !error.is_connect()))?;
            let refused = |why: String| failed(&url, &why, false);
            let from = Url::parse(&url).map_err(|error| refused(error.to_string()))?;
            let Some(onward) = onward(response.status(), response.headers(), &from).map_err(refused)? else {
                return Ok(response);
            };
            body = body.filter(|_| onward.is_same);
            url = String::from(onward.url);
            let next = self.request(&url, body.clone());
            request = next.map_err(|why| failed(&url, &why, false))?;
        }
        let why = format!("stopped after {MOST_REQUESTS} redirects");
        Err(failed(&url, &why, false))
    }

    /// The same with several attempts, as long as another one may do better; `pause` passes before the second, and
    /// each is half as long again as the one before.
    pub async fn post_patiently(
        &self,
        body: Bytes,
        timeout: Duration,
        mut pause: Duration,
    ) -> Result<Bytes, CallError> {
        for _ in 1..ATTEMPTS {
            match self.post(body.clone(), timeout).await {
                Err(error) if error.is_passing() => {
                    tokio::time::sleep(pause).await;
                    pause = pause.mul_f64(1.5);
                }
                decided => return decided,
            }
        }
        self.post(body, timeout).await
    }

    /// A POST of the body, or a GET without one.
    fn request(&self, url: &str, body: Option<Bytes>) -> Result<Request<Full<Bytes>>, String> {
        let is_own = Url::parse(url).is_ok_and(|url| is_same_server(&url, &self.place.url));
        let uri: Uri = url
            .parse()
            .map_err(|error: http::uri::InvalidUri| error.to_string())?;
        let method = match body {
            Some(_) => Method::POST,
            None => Method::GET,
        };
        let mut request = Request::new(Full::new(body.unwrap_or_default()));
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        if method == Method::POST {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, */*"));
        headers.insert(USER_AGENT, self.agent.clone());
        if is_own {
            self.credentials.show(headers);
        }
        *request.method_mut() = method;
        Ok(request)
    }
}

fn failed(url: &str, why: &str, broke_off: bool) -> CallError {
    CallError::Transport {
        message: format!("Post {url:?}: {why}"),
        broke_off,
    }
}

/// Whole seconds as Go prints a duration.
fn go_duration(seconds: u64) -> String {
    let (minutes, rest) = (seconds / 60, seconds % 60);
    if minutes == 0 {
        format!("{rest}s")
    } else {
        format!("{minutes}m{rest}s")
    }
}

/// Why a request got no answer, in Go's words.
fn why(error: &hyper_util::client::legacy::Error) -> String {
    let hung_up = error
        .source()
        .and_then(|source| source.downcast_ref::<hyper::Error>())
        .is_some_and(hyper::Error::is_incomplete_message);
    if hung_up {
        return "EOF".to_owned();
    }
    root_cause(error)
}

/// The innermost error says what happened; those around it only that something did.
pub fn root_cause(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// Makes the connections of a pool.
#[derive(Clone)]
pub struct Connector {
    pub dialer: Arc<Dialer>,
    /// Whether hosts of services are looked up in the caches.
    pub services: bool,
}

impl tower::Service<Uri> for Connector {
    type Response = Dialed;
    type Error = DialError;
    type Future = BoxFuture<'static, Result<Dialed, DialError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (dialer, services) = (Arc::clone(&self.dialer), self.services);
        Box::pin(async move { dialer.dial(&uri, services).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_told_as_go_prints_them() {
        for (seconds, text) in [(1, "1s"), (30, "30s"), (60, "1m0s"), (61, "1m1s")] {
            assert_eq!(go_duration(seconds), text);
        }
    }
}
